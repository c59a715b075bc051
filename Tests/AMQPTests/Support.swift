// What the tests with a broker share.

import AMQP
import Harness
import Logging
import Synchronization

/// Names and short-cuts for one test on the shared broker.
struct Scene: Sendable {
    let broker: RabbitMQServer
    let name: String
    let logger: Logger

    init(_ broker: RabbitMQServer) {
        self.broker = broker
        name = "t" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
        var logger = Logger(label: "amqp.test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .trace
        self.logger = logger
    }

    static func shared() async throws -> Scene { Scene(try await SharedServers.rabbitMQ()) }

    func configuration(_ change: (inout AMQPConfiguration) -> Void = { _ in }) throws -> AMQPConfiguration {
        var configuration = try AMQPConfiguration(url: broker.url)
        configuration.connectionName = name
        change(&configuration)
        return configuration
    }

    /// A durable queue of that name; quorum if asked for.
    func queue(_ suffix: String = "", quorum: Bool = false, arguments: AMQPTable = [:]) -> AMQPTopology.Queue {
        var arguments = arguments
        if quorum { arguments["x-queue-type"] = "quorum" }
        return AMQPTopology.Queue(name: name + suffix, arguments: arguments)
    }

    func withPublisher<Value>(
        _ topology: AMQPTopology = AMQPTopology(),
        _ change: (inout AMQPConfiguration) -> Void = { _ in },
        _ body: (AMQPPublisher) async throws -> Value
    ) async throws -> Value {
        let publisher = AMQPPublisher(configuration: try configuration(change), topology: topology, logger: logger)
        return try await running({ try await publisher.run() }) {
            try await publisher.waitUntilConnected(within: .seconds(20))
            return try await body(publisher)
        }
    }

    func withConsumer<Value>(
        _ subscriptions: [AMQPConsumer.Subscription],
        topology: AMQPTopology = AMQPTopology(),
        _ change: (inout AMQPConfiguration) -> Void = { _ in },
        _ body: (AMQPConsumer) async throws -> Value
    ) async throws -> Value {
        let consumer = AMQPConsumer(
            configuration: try configuration(change),
            topology: topology,
            subscriptions: subscriptions,
            drainTimeout: .seconds(5),
            logger: logger
        )
        return try await running({ try await consumer.run() }) {
            try await consumer.waitUntilConnected(within: .seconds(20))
            return try await body(consumer)
        }
    }
}

/// Runs `service` while `body` runs, then cancels it and waits for its end.
func running<Value>(
    _ service: @escaping @Sendable () async throws -> Void,
    _ body: () async throws -> Value
) async throws -> Value {
    let task = Task { try await service() }
    do {
        let value = try await body()
        task.cancel()
        try await task.value
        return value
    } catch {
        task.cancel()
        _ = await task.result
        throw error
    }
}

/// What handlers saw.
final class Seen<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    func add(_ element: Element) { elements.withLock { $0.append(element) } }
    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }
}

/// Lets handlers wait until a test says so.
actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func open() {
        isOpen = true
        for continuation in waiting { continuation.resume() }
        waiting = []
    }

    func wait() async {
        guard !isOpen else { return }
        await withCheckedContinuation { waiting.append($0) }
    }
}

extension AMQPMessage {
    init(_ text: String, id: String? = nil) {
        self.init(body: Array(text.utf8), messageID: id)
    }
}

extension AMQPDelivery {
    var text: String { String(decoding: body, as: UTF8.self) }
}
