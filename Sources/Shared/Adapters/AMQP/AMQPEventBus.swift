// The port for events: told to everybody, waiting for nobody.

public import AMQP
public import Core
internal import DequeModule
public import Logging
internal import Synchronization

/// Publishes events to `ferry.events`. `publish` only puts an event into a bounded buffer, from which the oldest is
/// dropped when it is full; `run` sends them, in their order.
public final class AMQPEventBus: EventBus {
    /// Events that are sent before the broker's word on the last of them is waited for.
    private static let batch = 64

    private let publisher: AMQPPublisher
    private let capacity: Int
    private let waiting = Mutex<Deque<Event>>([])
    private let ticks: AsyncStream<Void>
    private let tick: AsyncStream<Void>.Continuation
    private let dropped = Atomic<Int>(0)
    private let logger: Logger

    /// A bus; nothing is sent before `run`.
    ///
    /// - Parameter capacity: how many events wait at most.
    public init(configuration: AMQPConfiguration, capacity: Int = 4_096, logger: Logger) {
        publisher = AMQPPublisher(configuration: configuration, topology: FerryTopology.eventExchange, logger: logger)
        self.capacity = max(capacity, 1)
        (ticks, tick) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.logger = logger
    }

    /// Events that were dropped because the broker did not keep up, or could not be sent.
    public var droppedCount: Int { dropped.load(ordering: .relaxed) }

    /// What there is of a connection.
    public var state: AMQPLinkState { publisher.state }

    /// Returns once events can be sent.
    public func waitUntilConnected(within time: Duration = .seconds(10)) async throws(AMQPError) {
        try await publisher.waitUntilConnected(within: time)
    }

    /// Tells everybody, and waits for nobody.
    public func publish(_ event: Event) {
        let isFull = waiting.withLock { waiting in
            let isFull = waiting.count >= capacity
            if isFull { waiting.removeFirst() }
            waiting.append(event)
            return isFull
        }
        if isFull { dropped.add(1, ordering: .relaxed) }
        tick.yield()
    }

    /// Sends events until the task is cancelled. To be called once. Throws if the first login is refused.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [publisher] in try await publisher.run() }
            group.addTask {
                for await _ in self.ticks {
                    while !Task.isCancelled, let batch = self.nextBatch() { await self.send(batch) }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func nextBatch() -> [Event]? {
        waiting.withLock { waiting in
            guard !waiting.isEmpty else { return nil }
            let next = Array(waiting.prefix(Self.batch))
            waiting.removeFirst(next.count)
            return next
        }
    }

    /// The next batch forms while the broker takes this one.
    private func send(_ batch: [Event]) async {
        for event in batch.dropLast() { _ = publisher.post(Self.message(event), exchange: FerryTopology.events) }
        guard let last = batch.last else { return }
        do {
            let message = Self.message(last)
            _ = try await publisher.publish(message, exchange: FerryTopology.events, routingKey: "", mandatory: false)
        } catch {
            dropped.add(batch.count, ordering: .relaxed)
            logger.debug("Event was not sent", metadata: ["error": "\(error)", "type": "\(last.kind.rawValue)"])
        }
    }

    private static func message(_ event: Event) -> AMQPMessage {
        AMQPMessage(
            body: EventMessage.encode(event),
            persistent: false,
            contentType: "application/json",
            type: event.kind.rawValue
        )
    }
}

/// Reads events from a queue of this process alone, which goes with its connection.
public final class AMQPEventSubscriber: Sendable {
    private let consumer: AMQPConsumer

    /// A subscriber; nothing is read before `run`.
    ///
    /// - Parameters:
    ///   - isWanted: whether anybody wants events now; while nobody does, they are not even read.
    ///   - handler: gets one event at a time, in order. While it is slow the broker keeps 10,000 and drops the oldest
    ///     beyond that.
    public init(
        configuration: AMQPConfiguration,
        logger: Logger,
        isWanted: @escaping @Sendable () -> Bool = { true },
        handler: @escaping @Sendable (Event) async -> Void
    ) {
        let source = AMQPConsumer.Source.exclusive(
            bindings: [(exchange: FerryTopology.events, routingKey: "")],
            arguments: ["x-max-length": 10_000, "x-overflow": "drop-head"]
        )
        let subscription = AMQPConsumer.Subscription(source, prefetch: 1_000, noAck: true) { delivery in
            guard isWanted() else { return .ack }
            do {
                await handler(try EventMessage.decode(delivery.body))
            } catch {
                logger.debug("Event cannot be read", metadata: ["error": "\(error)"])
            }
            return .ack
        }
        consumer = AMQPConsumer(
            configuration: configuration,
            topology: FerryTopology.eventExchange,
            subscriptions: [subscription],
            logger: logger
        )
    }

    /// What there is of a connection. Events of the time without one are lost: read the state again.
    public var state: AMQPLinkState { consumer.state }

    /// Returns once events are read.
    public func waitUntilConnected(within time: Duration = .seconds(10)) async throws(AMQPError) {
        try await consumer.waitUntilConnected(within: time)
    }

    /// Reads events until the task is cancelled. To be called once.
    public func run() async throws { try await consumer.run() }
}
