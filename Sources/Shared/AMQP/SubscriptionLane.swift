// One subscription on the connection's thread: its channel, its handlers, its answers.

internal import DequeModule

/// Starts handlers for deliveries, at most `prefetch` at a time, and collects their answers.
final class SubscriptionLane {
    /// What the driver should know of a frame.
    enum Event {
        case nothing
        case cancelled
        case closed(code: Int, text: String)
    }

    private static let unansweredLimit = 10_000
    /// What running handlers get before the channel of a cancelled consumer is given up.
    private static let recoveryPatience: Duration = .seconds(30)

    private let index: Int
    private let subscription: AMQPConsumer.Subscription
    private let sizeLimit: Int
    private let post: @Sendable (AMQPConsumer.Command) -> Void

    private(set) var channel: UInt16?
    /// Until when the broker may take to agree to the consumer; nil while it owes no answer.
    private(set) var consumesBy: Moment?
    /// Rises with every channel: an answer to a delivery of an older one is void.
    private var incarnation = 0
    private var assembler: ContentAssembler
    private var batcher = AckBatcher()
    private(set) var hasAnswers = false
    private var waiting: Deque<(tag: UInt64, delivery: AMQPDelivery)> = []
    private var handlers: [Key: Task<Void, Never>] = [:]
    private var backoff = Backoff()
    /// When consuming is tried again, unless its handlers end before.
    private(set) var recoversAt: Moment?
    private var isStopped = false
    private var stream: AsyncStream<AMQPDelivery>.Continuation?
    private var streamTask: Task<Void, Never>?

    private struct Key: Hashable {
        let incarnation: Int
        let tag: UInt64
    }

    init(
        _ index: Int,
        _ subscription: AMQPConsumer.Subscription,
        sizeLimit: Int,
        post: @escaping @Sendable (AMQPConsumer.Command) -> Void
    ) {
        self.index = index
        self.subscription = subscription
        self.sizeLimit = sizeLimit
        self.post = post
        assembler = ContentAssembler(sizeLimit: sizeLimit)
    }

    /// For logs.
    var name: String {
        switch subscription.source {
        case .queue(let name): name
        case .exclusive(let bindings, _): "(exclusive) " + bindings.map(\.exchange).joined(separator: ",")
        }
    }

    private var tag: String { "c\(index)" }

    /// Whether nothing of it is running and nothing is left to send.
    var isQuiet: Bool { handlers.isEmpty && !hasAnswers }

    func isDueToRecover(_ now: Moment) -> Bool {
        guard let recoversAt, !isStopped else { return false }
        let ownHandlers = handlers.keys.contains { $0.incarnation == incarnation }
        return now >= recoversAt || channel != nil && !ownHandlers
    }

    // MARK: Channel

    /// Consumes on a channel. The broker's agreement is not waited for: a queue without a leader never gives it, and
    /// must hold up nobody else.
    func start(_ connection: Connection, channel: UInt16) throws(AMQPError) {
        incarnation += 1
        assembler = ContentAssembler(sizeLimit: sizeLimit)
        batcher = AckBatcher()
        hasAnswers = false
        waiting = []
        recoversAt = nil
        try connection.openChannel(channel)
        if !subscription.noAck { try connection.setPrefetch(channel, UInt16(subscription.prefetch)) }
        let queue = try declareSource(connection, channel)
        try connection.sendConsume(channel, queue: queue, tag: tag, noAck: subscription.noAck)
        self.channel = channel
        consumesBy = Moment.now + connection.configuration.operationTimeout
        if subscription.noAck, stream == nil { startStream() }
    }

    private func declareSource(_ connection: Connection, _ channel: UInt16) throws(AMQPError) -> String {
        switch subscription.source {
        case .queue(let name):
            return name
        case .exclusive(let bindings, let arguments):
            let queue = AMQPTopology.Queue(
                name: "",
                durable: false,
                exclusive: true,
                autoDelete: true,
                arguments: arguments
            )
            guard let name = try connection.declare(.queue(queue), channel: channel) else {
                throw .protocolViolation("no name for a queue")
            }
            for (exchange, routingKey) in bindings {
                let binding = AMQPTopology.Binding(queue: name, exchange: exchange, routingKey: routingKey)
                try connection.declare(.binding(binding), channel: channel)
            }
            return name
        }
    }

    /// Consuming was refused: try again later.
    func failed() {
        channel = nil
        consumesBy = nil
        recoversAt = isStopped ? nil : Moment.now + backoff.next()
    }

    /// Leaves the channel of a consumer that the broker did not agree to in time. Should it agree after all, what it
    /// delivers goes back to the queue, because the channel is closed next.
    func giveUp(_ connection: Connection) throws(AMQPError) -> UInt16? {
        guard let channel else { return nil }
        try connection.sendChannelClose(channel)
        failed()
        return channel
    }

    /// Closes the channel of a cancelled consumer, after its answers went out, and returns its number.
    func leaveChannel(_ connection: Connection) throws(AMQPError) -> UInt16? {
        guard let channel else { return nil }
        try sendAnswers(connection)
        self.channel = nil
        waiting = []
        do {
            try connection.closeChannel(channel)
        } catch .channelClosed {
            // Both sides closed it at once.
        }
        return channel
    }

    func connectionBegins() {
        channel = nil
        consumesBy = nil
        recoversAt = nil
    }

    func connectionEnds() {
        channel = nil
        consumesBy = nil
        recoversAt = nil
        waiting = []
        hasAnswers = false
        batcher = AckBatcher()
        incarnation += 1
    }

    /// Takes no more deliveries; those not begun go back when the connection closes.
    func stop(_ connection: Connection?) throws(AMQPError) {
        guard !isStopped else { return }
        isStopped = true
        waiting = []
        recoversAt = nil
        if let channel { try connection?.sendCancel(channel, tag: tag) }
    }

    func end() {
        isStopped = true
        for handler in handlers.values { handler.cancel() }
        handlers = [:]
        stream?.finish()
        streamTask?.cancel()
    }

    // MARK: Frames

    func receive(_ frame: InboundFrame, _ connection: Connection) throws(AMQPError) -> Event {
        do {
            switch frame {
            case .method(let channel, let method):
                switch method {
                case .deliver:
                    try assembler.begin(method)
                    return .nothing
                case .consumeOk:
                    consumesBy = nil
                    backoff.reset()
                case .cancel:
                    try assembler.other()
                    // Its handlers may finish first: their answers belong to this channel.
                    recoversAt = isStopped ? nil : Moment.now + Self.recoveryPatience
                    waiting = []
                    return .cancelled
                case .channelClose(let code, let text):
                    self.channel = nil
                    connectionEnds()
                    recoversAt = isStopped ? nil : Moment.now + backoff.next()
                    try connection.sendChannelCloseOk(channel)
                    return .closed(code: code, text: text)
                case .flow(let active):
                    try connection.sendFlowOk(channel, active: active)
                default:
                    break
                }
                try assembler.other()
            case .header(_, let size, let message):
                try delivered(assembler.header(message, bodySize: size))
            case .body(_, let bytes):
                try delivered(assembler.body(bytes))
            }
        } catch let error as AMQPError {
            throw error
        } catch {
            throw .protocolViolation("\(error)")
        }
        return .nothing
    }

    private func delivered(_ content: ContentAssembler.Content?) throws(AMQPError) {
        guard let content, case .deliver(let deliver) = content.method else { return }
        let delivery = AMQPDelivery(
            message: content.message,
            exchange: deliver.exchange,
            routingKey: deliver.routingKey,
            redelivered: deliver.redelivered
        )
        guard !subscription.noAck else {
            stream?.yield(delivery)
            return
        }
        guard batcher.delivered(deliver.tag) else {
            throw .protocolViolation("delivery tag \(deliver.tag) does not rise")
        }
        guard batcher.count <= max(subscription.prefetch, Self.unansweredLimit) else {
            throw .protocolViolation("more deliveries than the prefetch allows")
        }
        guard !isStopped, recoversAt == nil else { return }
        if handlers.count < subscription.prefetch {
            startHandler(deliver.tag, delivery)
        } else {
            waiting.append((deliver.tag, delivery))
        }
    }

    // MARK: Handlers

    private func startHandler(_ tag: UInt64, _ delivery: AMQPDelivery) {
        let handler = subscription.handler
        handlers[Key(incarnation: incarnation, tag: tag)] = Task { [index, incarnation, post] in
            let disposition = await handler(delivery)
            post(.answered(subscription: index, incarnation: incarnation, tag: tag, disposition))
        }
    }

    private func startStream() {
        let (stream, continuation) = AsyncStream.makeStream(
            of: AMQPDelivery.self,
            bufferingPolicy: .bufferingNewest(Self.unansweredLimit)
        )
        self.stream = continuation
        streamTask = Task { [handler = subscription.handler] in
            for await delivery in stream { _ = await handler(delivery) }
        }
    }

    func answered(incarnation: Int, tag: UInt64, _ disposition: AMQPConsumer.Disposition) {
        handlers[Key(incarnation: incarnation, tag: tag)] = nil
        if incarnation == self.incarnation {
            batcher.settle(tag, disposition)
            hasAnswers = channel != nil
        }
        while handlers.count < subscription.prefetch, let next = waiting.popFirst() {
            startHandler(next.tag, next.delivery)
        }
    }

    func sendAnswers(_ connection: Connection) throws(AMQPError) {
        hasAnswers = false
        guard let channel else { return }
        for action in batcher.flush() { try connection.send(action, channel: channel) }
    }
}
