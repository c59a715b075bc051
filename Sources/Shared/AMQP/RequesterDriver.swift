// Request and reply: what happens on the connection's thread.

internal import DequeModule
internal import Logging

/// Sends requests and matches replies by correlation id.
final class RequesterDriver: SessionDriver {
    private static let channel: UInt16 = 1
    private static let replyQueue = "amq.rabbitmq.reply-to"

    private let configuration: AMQPConfiguration
    private let topology: AMQPTopology
    private let mailbox: Mailbox<AMQPRequester.Command>
    private let logger: Logger
    private var waiting: Deque<AMQPRequester.Request> = []
    private var asked: [String: AMQPRequester.Request] = [:]
    private var assembler: ContentAssembler
    private var number: UInt64 = 0
    private var lastError: AMQPError?
    private var blocked: String?
    private(set) var isFinished = false
    private(set) var wantsToWrite = false
    private(set) var nextDeadline: Moment?

    init(
        configuration: AMQPConfiguration,
        topology: AMQPTopology,
        mailbox: Mailbox<AMQPRequester.Command>,
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
        // Direct reply-to: consumed without acknowledgement, before the first request, on the same channel.
        try connection.consume(Self.channel, queue: Self.replyQueue, tag: "replies", noAck: true)
    }

    func receive(_ frame: InboundFrame, _ connection: Connection) throws(AMQPError) {
        do {
            switch frame {
            case .method(let channel, let method):
                switch method {
                case .deliver, .returned:
                    try assembler.begin(method)
                    return
                case .channelClose(let code, let text):
                    try connection.sendChannelCloseOk(channel)
                    throw AMQPError.channelClosed(code: code, text: text)
                case .flow(let active):
                    try connection.sendFlowOk(channel, active: active)
                default:
                    break
                }
                try assembler.other()
            case .header(_, let size, let message):
                received(try assembler.header(message, bodySize: size))
            case .body(_, let bytes):
                received(try assembler.body(bytes))
            }
        } catch let error as AMQPError {
            throw error
        } catch {
            throw .protocolViolation("\(error)")
        }
    }

    private func received(_ content: ContentAssembler.Content?) {
        guard let content, let id = content.message.correlationID, let request = asked.removeValue(forKey: id) else {
            // Late, or not ours.
            return
        }
        if case .deliver = content.method {
            request.ticket.finish(.success(content.message))
        } else {
            request.ticket.finish(.success(nil))
        }
    }

    func work(_ connection: Connection?, blocked: String?) throws(AMQPError) {
        self.blocked = blocked
        for command in mailbox.take() {
            switch command {
            case .request(let request): waiting.append(request)
            case .stop: isFinished = true
            }
        }
        wantsToWrite = false
        if isFinished {
            failAll(.connectionClosed("the requester was stopped"))
        } else if let connection, blocked == nil, !waiting.isEmpty {
            try send(connection)
        }
        expire(.now)
    }

    private func send(_ connection: Connection) throws(AMQPError) {
        try connection.batch { () throws(AMQPError) in
            while let request = waiting.popFirst() {
                if request.ticket.isFinished { continue }
                guard connection.isWritable else {
                    waiting.prepend(request)
                    wantsToWrite = true
                    return
                }
                connection.progress()
                number += 1
                let id = "r\(number)"
                var message = request.message
                message.correlationID = id
                message.replyTo = Self.replyQueue
                asked[id] = request
                // Mandatory: where no queue is bound nobody can answer, and the caller should know at once.
                try connection.publish(
                    message,
                    channel: Self.channel,
                    exchange: request.exchange,
                    routingKey: request.routingKey,
                    mandatory: true
                )
            }
        }
    }

    /// Deadlines differ by request, so all are looked at.
    private func expire(_ now: Moment) {
        for (id, request) in asked where request.deadline <= now || request.ticket.isFinished {
            asked[id] = nil
            request.ticket.finish(.success(nil))
        }
        waiting.removeAll { request in
            guard request.deadline <= now || request.ticket.isFinished else { return false }
            request.ticket.finish(.failure(unsent))
            return true
        }
        nextDeadline = [asked.values.map(\.deadline).min(), waiting.map(\.deadline).min()].compactMap(\.self).min()
    }

    private var unsent: AMQPError {
        if let blocked { return .blocked(reason: blocked) }
        return lastError ?? .timedOut("no connection to send the request over")
    }

    func lost(_ error: AMQPError) {
        wantsToWrite = false
        lastError = error
        for request in asked.values { request.ticket.finish(.failure(error)) }
        asked = [:]
        if case .accessRefused = error { failAll(error) }
    }

    private func failAll(_ error: AMQPError) {
        for request in asked.values { request.ticket.finish(.failure(error)) }
        asked = [:]
        while let request = waiting.popFirst() { request.ticket.finish(.failure(error)) }
    }
}
