// Request and reply over direct reply-to: what a program calls.

public import Logging
internal import Synchronization

/// Sends requests and waits for their replies, on a connection and channel of its own, over RabbitMQ's direct
/// reply-to (pseudo-queue `amq.rabbitmq.reply-to`).
public final class AMQPRequester: Sendable {
    enum Command: Sendable {
        case request(Request)
        case stop
    }

    struct Request: Sendable {
        let message: AMQPMessage
        let exchange: String
        let routingKey: String
        let ticket: Ticket<AMQPMessage?>
        let deadline: Moment
    }

    private let configuration: AMQPConfiguration
    private let topology: AMQPTopology
    private let logger: Logger
    private let mailbox = Mailbox<Command>()
    private let link = LinkState()
    private let callers = Atomic<Int>(0)

    /// A requester; nothing happens before `run`.
    public init(configuration: AMQPConfiguration, topology: AMQPTopology = AMQPTopology(), logger: Logger) {
        self.configuration = configuration
        self.topology = topology
        self.logger = logger
    }

    /// Whether requests can be sent now.
    public var state: AMQPLinkState { link.current }

    /// Returns once connected; throws `timedOut` with the last reason otherwise.
    public func waitUntilConnected(within: Duration = .seconds(10)) async throws(AMQPError) {
        try await link.waitUntilConnected(within: within)
    }

    /// Keeps a connection until the task is cancelled or `stop` is called. To be called once. Throws if the arguments
    /// are invalid or the first login is refused.
    public func run() async throws {
        try topology.validate()
        try link.begin()
        defer {
            link.set(.stopped)
            for case .request(let request) in mailbox.close() {
                request.ticket.finish(.failure(.connectionClosed("the requester was stopped")))
            }
        }
        let result: Result<Void, AMQPError> = try await withTaskCancellationHandler {
            try await OwnThread.run(name: "amqp-requester") { [configuration, topology, logger, mailbox, link] in
                let driver = RequesterDriver(
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

    /// Ends `run`; waiting requests fail.
    public func stop() { mailbox.post(.stop) }

    /// Sends a request and returns its reply: nil if no queue is bound there, or nobody answered within `timeout`.
    /// Throws if there is no connection to ask over. `replyTo` and `correlationID` of the message are overwritten.
    public func request(
        _ message: AMQPMessage,
        exchange: String,
        routingKey: String,
        timeout: Duration
    ) async throws(AMQPError) -> AMQPMessage? {
        try Wire.checkName(exchange, "exchange")
        try Wire.checkName(routingKey, "routing key")
        try message.validate(sizeLimit: configuration.messageSizeLimit)
        guard callers.add(1, ordering: .relaxed).newValue <= configuration.waitingLimit else {
            callers.subtract(1, ordering: .relaxed)
            throw .queueFull
        }
        defer { callers.subtract(1, ordering: .relaxed) }
        let ticket = Ticket<AMQPMessage?>()
        let request = Request(
            message: message,
            exchange: exchange,
            routingKey: routingKey,
            ticket: ticket,
            deadline: Moment.now + timeout
        )
        guard mailbox.post(.request(request)) else { throw .connectionClosed("the requester was stopped") }
        guard !link.hasBegun else { return try await ticket.value() }
        let timer = Task {
            try? await Task.sleep(for: timeout)
            ticket.finish(.failure(.timedOut("the requester is not running")))
        }
        defer { timer.cancel() }
        return try await ticket.value()
    }
}
