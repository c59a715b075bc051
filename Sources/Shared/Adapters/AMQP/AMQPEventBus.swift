// The port for events: told to everybody, waiting for nobody.

public import AMQP
public import Core
public import Logging
internal import Synchronization

/// Publishes events to `ferry.events`. `publish` only puts an event into a bounded buffer, from which the oldest is
/// dropped when it is full; `run` sends them. Events of one upload are sent in their order.
public final class AMQPEventBus: EventBus {
    private struct Lane: Sendable {
        let stream: AsyncStream<Event>
        let input: AsyncStream<Event>.Continuation
    }

    private let publisher: AMQPPublisher
    private let lanes: [Lane]
    private let dropped = Atomic<Int>(0)
    private let logger: Logger

    /// A bus; nothing is sent before `run`.
    ///
    /// - Parameter capacity: how many events wait at most.
    public init(configuration: AMQPConfiguration, capacity: Int = 4_096, logger: Logger) {
        let laneCount = 8
        publisher = AMQPPublisher(configuration: configuration, topology: FerryTopology.eventExchange, logger: logger)
        lanes = (0..<laneCount).map { _ in
            // One confirm at a time a lane: that keeps the order within it.
            let (stream, input) = AsyncStream.makeStream(
                of: Event.self,
                bufferingPolicy: .bufferingNewest(max(capacity / laneCount, 1))
            )
            return Lane(stream: stream, input: input)
        }
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
        let lane = lanes[Int(event.upload.description.utf8.last ?? 0) % lanes.count]
        if case .dropped = lane.input.yield(event) { dropped.add(1, ordering: .relaxed) }
    }

    /// Sends events until the task is cancelled. To be called once. Throws if the first login is refused.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [publisher] in try await publisher.run() }
            for lane in lanes {
                group.addTask { for await event in lane.stream { await self.send(event) } }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func send(_ event: Event) async {
        do {
            _ = try await publisher.publish(
                AMQPMessage(
                    body: EventMessage.encode(event),
                    persistent: false,
                    contentType: "application/json",
                    type: event.kind.rawValue
                ),
                exchange: FerryTopology.events,
                routingKey: "",
                mandatory: false
            )
        } catch {
            dropped.add(1, ordering: .relaxed)
            logger.debug("Event was not sent", metadata: ["error": "\(error)", "type": "\(event.kind.rawValue)"])
        }
    }
}

/// Reads events from a queue of this process alone, which goes with its connection.
public final class AMQPEventSubscriber: Sendable {
    private let consumer: AMQPConsumer

    /// A subscriber; nothing is read before `run`.
    ///
    /// - Parameter handler: gets one event at a time, in order. While it is slow the broker keeps 10,000 and drops the
    ///   oldest beyond that.
    public init(
        configuration: AMQPConfiguration,
        logger: Logger,
        handler: @escaping @Sendable (Event) async -> Void
    ) {
        let source = AMQPConsumer.Source.exclusive(
            bindings: [(exchange: FerryTopology.events, routingKey: "")],
            arguments: ["x-max-length": 10_000, "x-overflow": "drop-head"]
        )
        let subscription = AMQPConsumer.Subscription(source, prefetch: 1_000, noAck: true) { delivery in
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
