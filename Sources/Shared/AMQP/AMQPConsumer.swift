// Consuming: what a program calls.

public import Logging
internal import Synchronization

/// Consumes from several queues over one connection, each on a channel of its own with its own prefetch, so that a
/// refusal or a `basic.cancel` for one does not touch the others.
///
/// Handlers are tasks of their own: heartbeats go on however long one works. `run` reconnects with jittered waits of
/// 100 ms to 5 s and declares the topology anew each time.
public final class AMQPConsumer: Sendable {
    /// What becomes of a delivery.
    public enum Disposition: Sendable, Equatable {
        /// Done.
        case ack
        /// Not wanted: back into the queue, or dropped or dead-lettered.
        case reject(requeue: Bool)
        /// No answer: it stays with this connection and is delivered again when that ends.
        case leave
    }

    /// Where deliveries come from.
    public enum Source: Sendable {
        /// A queue of the topology, or one that is there.
        case queue(String)
        /// A queue of this connection only, named by the broker and gone with it, bound to these exchanges: for
        /// fanout events.
        case exclusive(bindings: [(exchange: String, routingKey: String)], arguments: AMQPTable)
    }

    /// One queue and what is done with its messages.
    public struct Subscription: Sendable {
        let source: Source
        let prefetch: Int
        let noAck: Bool
        let handler: @Sendable (AMQPDelivery) async -> Disposition

        /// A subscription.
        ///
        /// - Parameters:
        ///   - prefetch: 1 to 65,535: deliveries unanswered at a time, and handlers running at a time, also right
        ///     after a reconnect when handlers of the old connection are still at work.
        ///   - noAck: the broker forgets a message when it is sent. The handler then gets one at a time, in order,
        ///     and what it returns is ignored; of more than 10,000 waiting the oldest are dropped.
        ///   - handler: its task is cancelled only when draining takes too long.
        public init(
            _ source: Source,
            prefetch: Int,
            noAck: Bool = false,
            handler: @escaping @Sendable (AMQPDelivery) async -> Disposition
        ) {
            self.source = source
            self.prefetch = min(max(prefetch, 1), 65_535)
            self.noAck = noAck
            self.handler = handler
        }
    }

    enum Command: Sendable {
        case answered(subscription: Int, incarnation: Int, tag: UInt64, Disposition)
        case drain(Duration)
    }

    private let configuration: AMQPConfiguration
    private let topology: AMQPTopology
    private let subscriptions: [Subscription]
    private let drainTimeout: Duration
    private let logger: Logger
    private let mailbox = Mailbox<Command>()
    private let link = LinkState()

    /// A consumer; nothing happens before `run`.
    ///
    /// - Parameter drainTimeout: what running handlers get when `run`'s task is cancelled.
    public init(
        configuration: AMQPConfiguration,
        topology: AMQPTopology = AMQPTopology(),
        subscriptions: [Subscription],
        drainTimeout: Duration = .seconds(30),
        logger: Logger
    ) {
        self.configuration = configuration
        self.topology = topology
        self.subscriptions = subscriptions
        self.drainTimeout = drainTimeout
        self.logger = logger
    }

    /// Whether there is a connection.
    public var state: AMQPLinkState { link.current }

    /// Returns once connected and consuming; throws `timedOut` with the last reason otherwise.
    public func waitUntilConnected(within: Duration = .seconds(10)) async throws(AMQPError) {
        try await link.waitUntilConnected(within: within)
    }

    /// Consumes until the task is cancelled or `drain` is called, and until the drain is over. To be called once.
    /// Throws if the arguments are invalid or the first login is refused.
    public func run() async throws {
        try validate()
        try link.begin()
        defer {
            link.set(.stopped)
            _ = mailbox.close()
        }
        let result: Result<Void, AMQPError> = try await withTaskCancellationHandler {
            try await OwnThread.run(name: "amqp-consumer") {
                [configuration, topology, subscriptions, logger, mailbox, link] in
                let driver = ConsumerDriver(
                    configuration: configuration,
                    topology: topology,
                    subscriptions: subscriptions,
                    mailbox: mailbox,
                    logger: logger
                )
                let loop = SessionLoop(
                    configuration: configuration,
                    link: link,
                    wakeUp: mailbox.descriptor,
                    logger: logger
                )
                defer { driver.end() }
                return Result { () throws(AMQPError) in try loop.run(driver) }
            }
        } onCancel: {
            mailbox.post(.drain(drainTimeout))
        }
        try result.get()
    }

    /// Cancels the consumers at the broker, lets running handlers finish and their answers go out, then closes; `run`
    /// returns. Handlers that take longer than `within` are cancelled and their deliveries go back to the queue.
    public func drain(within: Duration) { mailbox.post(.drain(within)) }

    private func validate() throws(AMQPError) {
        try topology.validate()
        for subscription in subscriptions {
            switch subscription.source {
            case .queue(let name): try Wire.checkName(name, "queue")
            case .exclusive(let bindings, let arguments):
                try Wire.checkTable(arguments, "arguments of an exclusive queue")
                for (exchange, routingKey) in bindings {
                    try Wire.checkName(exchange, "exchange")
                    try Wire.checkName(routingKey, "routing key")
                }
            }
        }
        guard subscriptions.count <= 1_000 else { throw .invalid("more than 1,000 subscriptions on a connection") }
    }
}
