// Publishing with confirms: what happens on the connection's thread.

internal import DequeModule
internal import Logging

/// Sends publications within the window, matches confirms, and runs the control channel.
final class PublisherDriver: SessionDriver {
    private typealias Publication = AMQPPublisher.Publication

    private static let channel: UInt16 = 1
    /// After so many messages or bytes the socket is asked whether it takes more.
    private static let messagesInChunk = 32
    private static let bytesInChunk = 16_384

    private let configuration: AMQPConfiguration
    private let mailbox: Mailbox<AMQPPublisher.Command>
    private let logger: Logger
    /// Confirmed declarations, to be repeated on a new connection.
    private var topology: AMQPTopology
    private var waiting: Deque<Publication> = []
    private var tracker = ConfirmTracker<Ticket<PublishOutcome>>()
    private var assembler: ContentAssembler
    private var control = ControlChannel()
    private var deadlines = DeadlineQueue()
    private var lastError: AMQPError?
    private var blocked: String?
    private var isOnline = false
    private var stopsAt: Moment?
    private(set) var wantsToWrite = false

    init(
        configuration: AMQPConfiguration,
        topology: AMQPTopology,
        mailbox: Mailbox<AMQPPublisher.Command>,
        logger: Logger
    ) {
        self.configuration = configuration
        self.topology = topology
        self.mailbox = mailbox
        self.logger = logger
        assembler = ContentAssembler(sizeLimit: configuration.messageSizeLimit)
    }

    func open(_ connection: Connection) throws(AMQPError) {
        assembler = ContentAssembler(sizeLimit: configuration.messageSizeLimit)
        try connection.openChannel(Self.channel)
        try connection.declare(topology, channel: Self.channel) { step, error in
            logger.error(
                "the broker refused a declaration",
                metadata: ["step": "\(step.description)", "error": "\(error)"]
            )
        }
        try connection.selectConfirms(Self.channel)
        isOnline = true
        lastError = nil
    }

    func receive(_ frame: InboundFrame, _ connection: Connection) throws(AMQPError) {
        guard frame.channel == Self.channel else {
            if case .method(control.channel, let method) = frame {
                if let action = control.receive(method) { try perform(action, connection) }
            }
            return
        }
        do {
            switch frame {
            case .method(_, let method): try receive(method, connection)
            case .header(_, let size, let message): try returned(assembler.header(message, bodySize: size))
            case .body(_, let bytes): try returned(assembler.body(bytes))
            }
        } catch let error as AMQPError {
            throw error
        } catch {
            throw .protocolViolation("\(error)")
        }
    }

    private func receive(_ method: InboundFrame.Method, _ connection: Connection) throws {
        switch method {
        case .returned:
            try assembler.begin(method)
            return
        case .ack(let tag, let multiple):
            try tracker.settle(tag: tag, multiple: multiple, positive: true) { $0.finish(.success($1)) }
        case .nack(let tag, let multiple):
            try tracker.settle(tag: tag, multiple: multiple, positive: false) { $0.finish(.success($1)) }
        case .channelClose(let code, let text):
            try connection.sendChannelCloseOk(Self.channel)
            throw AMQPError.channelClosed(code: code, text: text)
        case .flow(let active):
            try connection.sendFlowOk(Self.channel, active: active)
        default:
            break
        }
        try assembler.other()
    }

    private func returned(_ content: ContentAssembler.Content?) throws {
        guard let content, case .returned(let code, let text, let exchange, let routingKey) = content.method else {
            return
        }
        try tracker.returned(
            exchange: exchange,
            routingKey: routingKey,
            messageID: content.message.messageID,
            code: code,
            text: text
        )
    }

    func work(_ connection: Connection?, blocked: String?) throws(AMQPError) {
        self.blocked = blocked
        for command in mailbox.take() { accept(command) }
        if let connection, blocked == nil {
            try send(connection)
            while let action = control.next() { try perform(action, connection) }
            if control.isExhausted { throw .timedOut("the broker does not answer declarations") }
        } else {
            wantsToWrite = false
        }
        deadlines.run(.now)
        // While nothing can be sent, what callers gave up must not pile up.
        while let first = waiting.first, first.ticket.isFinished { waiting.removeFirst() }
        control.forgetFinished()
        if tracker.count >= configuration.inFlightLimit, tracker.oldest?.isFinished == true {
            throw .timedOut("the broker confirms nothing")
        }
        if isFinished { failAll(.connectionClosed("the publisher was stopped")) }
    }

    private func accept(_ command: AMQPPublisher.Command) {
        switch command {
        case .publish(let publication):
            waiting.append(publication)
            deadlines.add(publication.ticket, deadline: publication.deadline) { [unowned self] in
                publication.ticket.finish(.failure(expiry("confirm from exchange \(publication.exchange)")))
            }
        case .declare(let addition, let ticket):
            let operation = ControlChannel.Operation(steps: addition.steps, ticket: ticket) { [unowned self] in
                topology.merge(addition)
            }
            add(operation, "declare")
        case .inspect(let queue, let ticket):
            add(ControlChannel.Operation(steps: [.inspect(queue: queue)], ticket: ticket), "inspect \(queue)")
        case .stop:
            if stopsAt == nil { stopsAt = Moment.now + min(configuration.operationTimeout, .seconds(5)) }
        }
    }

    private func add(_ operation: ControlChannel.Operation, _ what: String) {
        control.add(operation)
        deadlines.add(operation.ticket, deadline: Moment.now + configuration.operationTimeout) { [unowned self] in
            operation.ticket.finish(.failure(expiry(what)))
        }
    }

    /// Why something was not done in time, as far as it is known.
    private func expiry(_ what: String) -> AMQPError {
        if let blocked { return .blocked(reason: blocked) }
        if !isOnline, let lastError { return lastError }
        return .timedOut(what)
    }

    private func send(_ connection: Connection) throws(AMQPError) {
        wantsToWrite = false
        guard !waiting.isEmpty, tracker.count < configuration.inFlightLimit else { return }
        try connection.batch { () throws(AMQPError) in
            var messages = 0
            var bytes = 0
            while tracker.count < configuration.inFlightLimit, let publication = waiting.popFirst() {
                // The caller has gone: nothing may be sent that it believes was not.
                if publication.ticket.isFinished { continue }
                if messages % Self.messagesInChunk == 0 || bytes > Self.bytesInChunk {
                    guard connection.isWritable else {
                        waiting.prepend(publication)
                        wantsToWrite = true
                        return
                    }
                    connection.progress()
                    bytes = 0
                }
                messages += 1
                bytes += publication.message.body.count
                tracker.published(
                    publication.ticket,
                    exchange: publication.exchange,
                    routingKey: publication.routingKey,
                    messageID: publication.message.messageID
                )
                try connection.publish(
                    publication.message,
                    channel: Self.channel,
                    exchange: publication.exchange,
                    routingKey: publication.routingKey,
                    mandatory: publication.mandatory
                )
            }
        }
    }

    private func perform(_ action: ControlChannel.Action, _ connection: Connection) throws(AMQPError) {
        switch action {
        case .open(let channel): try connection.sendChannelOpen(channel)
        case .send(let step, let channel): try connection.send(step, channel: channel)
        case .acceptClose(let channel): try connection.sendChannelCloseOk(channel)
        }
    }

    func lost(_ error: AMQPError) {
        isOnline = false
        wantsToWrite = false
        lastError = error
        tracker.abandon { $0.finish(.failure(error)) }
        control.lost(error)
        if case .accessRefused = error { failAll(error) }
    }

    private func failAll(_ error: AMQPError) {
        tracker.abandon { $0.finish(.failure(error)) }
        control.lost(error)
        while let publication = waiting.popFirst() { publication.ticket.finish(.failure(error)) }
    }

    var nextDeadline: Moment? {
        [deadlines.next, stopsAt].compactMap(\.self).min()
    }

    var isFinished: Bool {
        guard let stopsAt else { return false }
        return waiting.isEmpty && tracker.count == 0 || Moment.now >= stopsAt
    }
}
