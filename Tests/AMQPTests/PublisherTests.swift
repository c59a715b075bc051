// Publishing to a real broker.

import AMQP
import Harness
import Testing

@Suite(.timeLimit(.minutes(3))) struct PublisherTests {
    @Test func declaresAndConfirms() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        let topology = AMQPTopology(
            exchanges: [.init(name: scene.name, kind: .direct)],
            queues: [queue],
            bindings: [.init(queue: queue.name, exchange: scene.name, routingKey: "k")]
        )
        try await scene.withPublisher(topology) { publisher in
            #expect(publisher.state == .connected)
            let message = AMQPMessage("hello", id: "1")
            let outcome = try await publisher.publish(message, exchange: scene.name, routingKey: "k", mandatory: true)
            #expect(outcome == .confirmed)
            try await eventually("the queue has it") {
                try await publisher.inspect(queue: queue.name)?.messages == 1
            }
        }
    }

    @Test func tellsReturnedFromConfirmedWhileManyAreInFlight() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            try await withThrowingTaskGroup(of: (Int, PublishOutcome).self) { group in
                for number in 0..<600 {
                    group.addTask {
                        let key = number % 3 == 0 ? scene.name + "-nowhere" : queue.name
                        // Some without an id, some with the same one.
                        let id = number % 2 == 0 ? nil : "same"
                        let message = AMQPMessage("\(number)", id: id)
                        return (
                            number,
                            try await publisher.publish(message, exchange: "", routingKey: key, mandatory: true)
                        )
                    }
                }
                for try await (number, outcome) in group {
                    #expect(outcome == (number % 3 == 0 ? .returned(code: 312, text: "NO_ROUTE") : .confirmed))
                }
            }
            let nowhere = scene.name + "-nowhere"
            let message = AMQPMessage("optional")
            let outcome = try await publisher.publish(message, exchange: "", routingKey: nowhere, mandatory: false)
            #expect(outcome == .confirmed, "an unroutable message that is not mandatory is confirmed")
        }
    }

    @Test func fullQueueRejects() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true, arguments: ["x-overflow": "reject-publish", "x-max-length": 1])
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            var outcomes: [PublishOutcome] = []
            // The limit of a quorum queue is soft: a few more may be let in.
            while outcomes.count < 100, outcomes.last != .rejected {
                let message = AMQPMessage("m")
                outcomes.append(
                    try await publisher.publish(message, exchange: "", routingKey: queue.name, mandatory: true)
                )
            }
            #expect(outcomes.first == .confirmed)
            #expect(outcomes.last == .rejected)
        }
    }

    @Test func fiveThousandInFlightAreAllConfirmed() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            let start = ContinuousClock.now
            let confirmed = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<5_000 {
                    group.addTask {
                        var message = AMQPMessage("", id: "\(number)")
                        message.body = Array(repeating: 7, count: 200)
                        return try await publisher.publish(
                            message,
                            exchange: "",
                            routingKey: queue.name,
                            mandatory: true
                        ) == .confirmed
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            print("5,000 publishes confirmed in \(ContinuousClock.now - start)")
            #expect(confirmed == 5_000)
            try await eventually("the queue has all") {
                try await publisher.inspect(queue: queue.name)?.messages == 5_000
            }
        }
    }

    @Test func largeBodiesAndAllPropertiesArrive() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        let seen = Seen<AMQPDelivery>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) {
            seen.add($0)
            return .ack
        }
        var message = AMQPMessage("")
        message.body = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        message.contentType = "application/json"
        (message.messageID, message.correlationID, message.replyTo) = ("id", "correlation", "reply")
        (message.expiration, message.type) = ("60000", "kind")
        message.headers = [
            "text": "ü", "number": 5_000_000_000, "truth": true, "half": .double(0.5), "raw": .bytes([0, 255]),
            "when": .timestamp(1), "list": .array([1, "two"]), "table": .table(["deep": .void]),
        ]
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            for body in [message.body, Array(message.body.prefix(131_064)), []] {
                message.body = body
                let outcome = try await publisher.publish(
                    message,
                    exchange: "",
                    routingKey: queue.name,
                    mandatory: true
                )
                #expect(outcome == .confirmed)
            }
            try await scene.withConsumer([subscription]) { _ in
                try await eventually("all three arrive") { seen.count == 3 }
            }
        }
        #expect(seen.all.map(\.body.count) == [1_000_000, 131_064, 0])
        #expect(seen.all.last?.message == message)
        #expect(seen.all.last?.routingKey == queue.name)
    }

    @Test func declareAndInspectDoNotDisturbPublishing() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            async let published = withThrowingTaskGroup(of: PublishOutcome.self) { group in
                for _ in 0..<500 {
                    group.addTask {
                        try await publisher.publish(
                            AMQPMessage("m"),
                            exchange: "",
                            routingKey: queue.name,
                            mandatory: true
                        )
                    }
                }
                return try await group.reduce(into: [PublishOutcome]()) { $0.append($1) }
            }
            for _ in 0..<5 {
                let missing = try await publisher.inspect(queue: scene.name + "-missing")
                #expect(missing == nil)
            }
            // The same name with other arguments.
            let error = await #expect(throws: AMQPError.self) {
                try await publisher.declare(AMQPTopology(queues: [.init(name: queue.name, durable: false)]))
            }
            guard case .channelClosed(406, _) = error else {
                Issue.record("expected 406, got \(String(describing: error))")
                return
            }
            let second = scene.queue("-second")
            try await publisher.declare(AMQPTopology(queues: [second]))
            let depth = try await publisher.inspect(queue: second.name)
            #expect(depth?.messages == 0)
            #expect(depth?.consumers == 0)
            #expect(try await published == Array(repeating: .confirmed, count: 500))
        }
    }

    @Test func unknownExchangeFailsAndPublishingRecovers() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            let error = await #expect(throws: AMQPError.self) {
                try await publisher.publish(
                    AMQPMessage("m"),
                    exchange: scene.name + "-missing",
                    routingKey: "",
                    mandatory: true
                )
            }
            guard case .channelClosed(404, _) = error else {
                Issue.record("expected 404, got \(String(describing: error))")
                return
            }
            let outcome = try await publisher.publish(
                AMQPMessage("m"),
                exchange: "",
                routingKey: queue.name,
                mandatory: true
            )
            #expect(outcome == .confirmed)
        }
    }

    @Test func wrongPasswordIsSaidClearly() async throws {
        let scene = try await Scene.shared()
        var configuration = try scene.configuration()
        configuration.password = "wrong-secret"
        let publisher = AMQPPublisher(configuration: configuration, logger: scene.logger)
        let error = await #expect(throws: AMQPError.self) { try await publisher.run() }
        guard case .accessRefused(let text) = error else {
            Issue.record("expected accessRefused, got \(String(describing: error))")
            return
        }
        #expect(text.contains("403"))
        #expect(text.contains("ferry@127.0.0.1"))
        #expect(!text.contains("wrong-secret"))
        #expect(publisher.state == .stopped)

        configuration.password = scene.broker.password
        configuration.vhost = "no-such-vhost"
        let consumer = AMQPConsumer(configuration: configuration, subscriptions: [], logger: scene.logger)
        let second = await #expect(throws: AMQPError.self) { try await consumer.run() }
        guard case .accessRefused = second else {
            Issue.record("expected accessRefused, got \(String(describing: second))")
            return
        }
    }

    @Test func boundsAndCancellation() async throws {
        let scene = try await Scene.shared()
        let configuration = try scene.configuration {
            $0.operationTimeout = .milliseconds(200)
            $0.waitingLimit = 1
        }
        let publisher = AMQPPublisher(configuration: configuration, logger: scene.logger)
        @Sendable func publish() async throws(AMQPError) -> PublishOutcome {
            try await publisher.publish(AMQPMessage("m"), exchange: "", routingKey: "q", mandatory: false)
        }
        // Not running: the wait is bounded all the same.
        await #expect(throws: AMQPError.timedOut("the publisher is not running")) { try await publish() }
        let results = await withTaskGroup(of: Result<PublishOutcome, AMQPError>.self) { group in
            for _ in 0..<2 { group.addTask { await Result { () async throws(AMQPError) in try await publish() } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.contains(.failure(.queueFull)))
        let cancelled = Task { () async -> Result<PublishOutcome, AMQPError> in
            await Result { () async throws(AMQPError) in try await publish() }
        }
        cancelled.cancel()
        #expect(await cancelled.value == .failure(.cancelled))
    }
}

extension Result {
    /// `Result(catching:)` for asynchronous work.
    fileprivate init(_ work: () async throws(Failure) -> Success) async {
        do throws(Failure) {
            self = .success(try await work())
        } catch {
            self = .failure(error)
        }
    }
}
