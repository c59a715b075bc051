// Publishing with confirms: what a program calls.

public import Logging
internal import Synchronization

/// Publishes over one connection, many messages at a time, each answered when the broker has it.
///
/// `run` keeps the connection: it reconnects with jittered waits of 100 ms to 5 s and declares the topology anew each
/// time. While there is no connection, calls wait for one within `operationTimeout`.
public final class AMQPPublisher: Sendable {
    enum Command: Sendable {
        case publish(Publication)
        case declare(AMQPTopology, Ticket<QueueDepth?>)
        case inspect(String, Ticket<QueueDepth?>)
        case stop
    }

    /// A message on its way, with the caller who waits.
    struct Publication: Sendable {
        let message: AMQPMessage
        let exchange: String
        let routingKey: String
        let mandatory: Bool
        let ticket: Ticket<PublishOutcome>
        let deadline: Moment
    }

    private let configuration: AMQPConfiguration
    private let topology: AMQPTopology
    private let logger: Logger
    private let mailbox = Mailbox<Command>()
    private let link = LinkState()
    private let callers = Atomic<Int>(0)
    private let unnamed = Atomic<UInt64>(0)

    /// A publisher; nothing happens before `run`.
    ///
    /// - Parameter topology: declared on every new connection. What the broker refuses is logged, the rest declared.
    public init(configuration: AMQPConfiguration, topology: AMQPTopology = AMQPTopology(), logger: Logger) {
        self.configuration = configuration
        self.topology = topology
        self.logger = logger
    }

    /// Whether messages can be published now.
    public var state: AMQPLinkState { link.current }

    /// Returns once connected; throws `timedOut` with the last reason otherwise.
    public func waitUntilConnected(within: Duration = .seconds(10)) async throws(AMQPError) {
        try await link.waitUntilConnected(within: within)
    }

    /// Keeps a connection until the task is cancelled or `stop` is called; what is in flight then gets up to five
    /// seconds. To be called once. Throws if the arguments are invalid or the first login is refused.
    public func run() async throws {
        try topology.validate()
        try link.begin()
        defer {
            link.set(.stopped)
            for command in mailbox.close() { command.fail(.connectionClosed("the publisher was stopped")) }
        }
        let result: Result<Void, AMQPError> = try await withTaskCancellationHandler {
            try await OwnThread.run(name: "amqp-publisher") { [configuration, topology, logger, mailbox, link] in
                let driver = PublisherDriver(
                    configuration: configuration,
                    topology: topology,
                    mailbox: mailbox,
                    logger: logger
                )
                let loop = SessionLoop(
                    configuration: configuration,
                    link: link,
                    wakeUp: mailbox.descriptor,
                    logger: logger
                )
                return Result { () throws(AMQPError) in try loop.run(driver) }
            }
        } onCancel: {
            mailbox.post(.stop)
        }
        try result.get()
    }

    /// Ends `run` as cancelling its task does.
    public func stop() { mailbox.post(.stop) }

    /// Publishes and waits for the broker's word, at most `operationTimeout`.
    ///
    /// A mandatory message without a `messageID` gets one, because a returned message is recognised by it. On
    /// `connectionClosed`, `channelClosed` and `timedOut` it is not known whether the broker has the message.
    public func publish(
        _ message: AMQPMessage,
        exchange: String,
        routingKey: String,
        mandatory: Bool
    ) async throws(AMQPError) -> PublishOutcome {
        try Wire.checkName(exchange, "exchange")
        try Wire.checkName(routingKey, "routing key")
        try message.validate(sizeLimit: configuration.messageSizeLimit)
        guard callers.add(1, ordering: .relaxed).newValue <= configuration.waitingLimit else {
            callers.subtract(1, ordering: .relaxed)
            throw .queueFull
        }
        defer { callers.subtract(1, ordering: .relaxed) }
        var message = message
        if mandatory, message.messageID == nil {
            message.messageID = "m\(unnamed.add(1, ordering: .relaxed).newValue)"
        }
        let ticket = Ticket<PublishOutcome>()
        let publication = Publication(
            message: message,
            exchange: exchange,
            routingKey: routingKey,
            mandatory: mandatory,
            ticket: ticket,
            deadline: Moment.now + configuration.operationTimeout
        )
        return try await answer(ticket, to: .publish(publication))
    }

    /// Publishes without waiting for the broker's word, for messages that may be lost; false where this one is lost already,
    /// because it is malformed or the publisher was stopped. Nobody is told of what is refused later. Whoever posts without
    /// end must wait for a `publish` now and then: what is posted is in no bound.
    public func post(_ message: AMQPMessage, exchange: String, routingKey: String = "") -> Bool {
        do throws(AMQPError) {
            try Wire.checkName(exchange, "exchange")
            try Wire.checkName(routingKey, "routing key")
            try message.validate(sizeLimit: configuration.messageSizeLimit)
        } catch {
            return false
        }
        let publication = Publication(
            message: message,
            exchange: exchange,
            routingKey: routingKey,
            mandatory: false,
            ticket: Ticket(),
            deadline: Moment.now + configuration.operationTimeout
        )
        return mailbox.post(.publish(publication))
    }

    /// Declares at once, and again on every later connection. Throws `channelClosed` with 406 if something is there
    /// with other arguments.
    public func declare(_ topology: AMQPTopology) async throws(AMQPError) {
        try topology.validate()
        let ticket = Ticket<QueueDepth?>()
        _ = try await answer(ticket, to: .declare(topology, ticket))
    }

    /// Messages that wait in a queue (not those with a consumer) and its consumers; nil if there is no such queue.
    /// Publishing goes on undisturbed.
    public func inspect(queue: String) async throws(AMQPError) -> (messages: Int, consumers: Int)? {
        try Wire.checkName(queue, "queue")
        let ticket = Ticket<QueueDepth?>()
        let depth = try await answer(ticket, to: .inspect(queue, ticket))
        return depth.map { ($0.messages, $0.consumers) }
    }

    private func answer<Value>(_ ticket: Ticket<Value>, to command: Command) async throws(AMQPError) -> Value {
        guard mailbox.post(command) else { throw .connectionClosed("the publisher was stopped") }
        // The thread meets deadlines once it is there; until `run` is called nobody else would.
        guard !link.hasBegun else { return try await ticket.value() }
        let timer = Task { [configuration] in
            try? await Task.sleep(for: configuration.operationTimeout)
            ticket.finish(.failure(.timedOut("the publisher is not running")))
        }
        defer { timer.cancel() }
        return try await ticket.value()
    }
}

extension AMQPPublisher.Command {
    fileprivate func fail(_ error: AMQPError) {
        switch self {
        case .publish(let publication): publication.ticket.finish(.failure(error))
        case .declare(_, let ticket), .inspect(_, let ticket): ticket.finish(.failure(error))
        case .stop: break
        }
    }
}
