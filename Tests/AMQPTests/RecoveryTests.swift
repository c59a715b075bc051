// What is done when the broker, or the way to it, fails.

import AMQP
import Foundation
import Harness
import Testing

@Suite(.timeLimit(.minutes(5))) struct RecoveryTests {
    private func isGone(_ error: AMQPError?) -> Bool {
        switch error {
        case .connectionClosed, .timedOut, .connectFailed: true
        default: false
        }
    }

    @Test func killedBrokerIsComeBackToAndGetsItsTopology() async throws {
        let scene = Scene(try await RabbitMQServer.start())
        // Not durable: after the restart they exist only if they were declared again.
        let exchange = AMQPTopology.Exchange(name: scene.name, kind: .direct, durable: false)
        let queue = AMQPTopology.Queue(name: scene.name, durable: false)
        let topology = AMQPTopology(
            exchanges: [exchange],
            queues: [queue],
            bindings: [.init(queue: queue.name, exchange: exchange.name, routingKey: "k")]
        )
        let seen = Seen<String>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 4) {
            seen.add($0.text)
            return .ack
        }
        try await scene.withPublisher(topology) { publisher in
            @Sendable func publish(_ text: String) async throws(AMQPError) -> PublishOutcome {
                try await publisher.publish(
                    AMQPMessage(text),
                    exchange: exchange.name,
                    routingKey: "k",
                    mandatory: true
                )
            }
            let late = AMQPTopology.Queue(name: scene.name + "-late", durable: false)
            try await publisher.declare(AMQPTopology(queues: [late]))
            try await scene.withConsumer([subscription], topology: topology) { consumer in
                #expect(try await publish("before") == .confirmed)
                try await eventually("it arrives") { seen.all == ["before"] }
                try await scene.broker.kill()
                try await eventually("both notice") {
                    publisher.state != .connected && consumer.state != .connected
                }
                try await scene.broker.restart()
                try await publisher.waitUntilConnected(within: .seconds(20))
                try await consumer.waitUntilConnected(within: .seconds(20))
                #expect(try await publish("after") == .confirmed)
                try await eventually("it arrives") { seen.all.contains("after") }
                let depth = try await publisher.inspect(queue: late.name)
                #expect(depth != nil, "what was declared later is declared again too")
            }
        }
    }

    @Test func silentBrokerIsNoticedAndNothingHangs() async throws {
        let scene = Scene(try await RabbitMQServer.start())
        let queue = scene.queue()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 4) { _ in .ack }
        let change: (inout AMQPConfiguration) -> Void = {
            $0.heartbeat = .seconds(1)
            $0.operationTimeout = .seconds(3)
            $0.connectTimeout = .seconds(2)
        }
        try await scene.withPublisher(AMQPTopology(queues: [queue]), change) { publisher in
            try await scene.withConsumer([subscription], topology: AMQPTopology(queues: [queue]), change) { consumer in
                try scene.broker.suspend()
                let start = ContinuousClock.now
                // More than all socket buffers hold, so that writing itself blocks.
                let errors = await withTaskGroup(of: AMQPError?.self) { group in
                    for _ in 0..<40 {
                        group.addTask {
                            var message = AMQPMessage("")
                            message.body = Array(repeating: 1, count: 1_000_000)
                            do throws(AMQPError) {
                                _ = try await publisher.publish(
                                    message,
                                    exchange: "",
                                    routingKey: queue.name,
                                    mandatory: true
                                )
                                return nil
                            } catch {
                                return error
                            }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(ContinuousClock.now - start < .seconds(15))
                #expect(errors.allSatisfy(isGone), "\(errors)")
                try await eventually("both notice") {
                    publisher.state != .connected && consumer.state != .connected
                }
                try scene.broker.resume()
                try await publisher.waitUntilConnected(within: .seconds(20))
                try await consumer.waitUntilConnected(within: .seconds(20))
                let outcome = try await publisher.publish(
                    AMQPMessage("m"),
                    exchange: "",
                    routingKey: queue.name,
                    mandatory: true
                )
                #expect(outcome == .confirmed)
            }
        }
    }

    @Test func watchdogFreesAPublishThatHangsWithHeartbeatsOff() async throws {
        let scene = Scene(try await RabbitMQServer.start())
        let queue = scene.queue()
        // A heartbeat so long that only the watchdog can end the write.
        let change: (inout AMQPConfiguration) -> Void = {
            $0.heartbeat = .seconds(600)
            $0.operationTimeout = .seconds(2)
            $0.connectTimeout = .seconds(2)
        }
        try await scene.withPublisher(AMQPTopology(queues: [queue]), change) { publisher in
            try scene.broker.suspend()
            for _ in 0..<2 {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<30 {
                        group.addTask {
                            var message = AMQPMessage("")
                            message.body = Array(repeating: 1, count: 1_000_000)
                            _ = try? await publisher.publish(
                                message,
                                exchange: "",
                                routingKey: queue.name,
                                mandatory: true
                            )
                        }
                    }
                }
            }
            try await eventually("the connection is given up", within: .seconds(10)) { publisher.state != .connected }
            try scene.broker.resume()
            try await publisher.waitUntilConnected(within: .seconds(20))
        }
    }

    @Test func deletedQueueIsDeclaredAndConsumedAgain() async throws {
        let scene = try await Scene.shared()
        let doomed = scene.queue("-doomed", quorum: true)
        let other = scene.queue("-other", quorum: true)
        let topology = AMQPTopology(queues: [doomed, other])
        let seen = Seen<String>()
        let gate = Gate()
        let subscriptions = [
            AMQPConsumer.Subscription(.queue(doomed.name), prefetch: 4) {
                seen.add($0.text)
                return .ack
            },
            AMQPConsumer.Subscription(.queue(other.name), prefetch: 4) {
                seen.add($0.text + ($0.redelivered ? " again" : ""))
                await gate.wait()
                return .ack
            },
        ]
        try await scene.withPublisher(topology) { publisher in
            @Sendable func publish(_ text: String, _ queue: AMQPTopology.Queue) async throws -> PublishOutcome {
                try await publisher.publish(AMQPMessage(text), exchange: "", routingKey: queue.name, mandatory: true)
            }
            try await scene.withConsumer(subscriptions, topology: topology) { consumer in
                #expect(try await publish("held", other) == .confirmed)
                #expect(try await publish("one", doomed) == .confirmed)
                try await eventually("both arrive") { seen.count == 2 }
                for round in 1...3 {
                    _ = try await scene.broker.control("delete_queue", "-p", "ferry", doomed.name)
                    try await eventually("there again, consumed again") {
                        try await publisher.inspect(queue: doomed.name)?.consumers == 1
                    }
                    #expect(try await publish("round \(round)", doomed) == .confirmed)
                    try await eventually("it arrives") { seen.all.contains("round \(round)") }
                }
                #expect(consumer.state == .connected)
                await gate.open()
                try await eventually("the other queue is empty") {
                    try await publisher.inspect(queue: other.name)?.messages == 0
                }
                #expect(!seen.all.contains("held again"), "the other subscription was not disturbed")
            }
        }
    }

    @Test func missingQueueHoldsUpOnlyItsOwnSubscription() async throws {
        let scene = try await Scene.shared()
        let present = scene.queue("-present")
        let missing = scene.queue("-missing")
        let seen = Seen<String>()
        let subscriptions = [missing, present].map { queue in
            AMQPConsumer.Subscription(.queue(queue.name), prefetch: 2) {
                seen.add($0.text)
                return .ack
            }
        }
        try await scene.withPublisher(AMQPTopology(queues: [present])) { publisher in
            @Sendable func publish(_ text: String, _ queue: AMQPTopology.Queue) async throws -> PublishOutcome {
                try await publisher.publish(AMQPMessage(text), exchange: "", routingKey: queue.name, mandatory: true)
            }
            try await scene.withConsumer(subscriptions) { consumer in
                #expect(try await publish("one", present) == .confirmed)
                try await eventually("the other works") { seen.all == ["one"] }
                try await publisher.declare(AMQPTopology(queues: [missing]))
                #expect(try await publish("two", missing) == .confirmed)
                try await eventually("it is consumed once it is there", within: .seconds(15)) {
                    seen.all == ["one", "two"]
                }
                #expect(try await publish("three", present) == .confirmed)
                try await eventually("the other still works") { seen.count == 3 }
                #expect(consumer.state == .connected)
            }
        }
    }

    @Test func queueThatNeverAgreesHoldsUpOnlyItsOwnSubscription() async throws {
        let scene = try await Scene.shared()
        let stuck = scene.queue("-stuck"), sound = scene.queue("-sound")
        let seen = Seen<String>()
        func subscription(_ queue: AMQPTopology.Queue) -> AMQPConsumer.Subscription {
            .init(.queue(queue.name), prefetch: 2) {
                seen.add($0.text)
                return .ack
            }
        }
        try await scene.withPublisher(AMQPTopology(queues: [stuck, sound])) { publisher in
            @Sendable func publish(_ text: String, _ queue: AMQPTopology.Queue) async throws -> PublishOutcome {
                try await publisher.publish(AMQPMessage(text), exchange: "", routingKey: queue.name, mandatory: true)
            }
            // As a queue without a leader: its process answers nobody, and the broker waits for it.
            let process = """
                {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"\(scene.broker.virtualHost)">>, queue, \
                <<"\(stuck.name)">>)), P = amqqueue:get_pid(Q)
                """
            _ = try await scene.broker.control("eval", "\(process), sys:suspend(P).")
            let subscriptions = [subscription(stuck), subscription(sound)]
            try await scene.withConsumer(subscriptions, { $0.operationTimeout = .seconds(2) }) { consumer in
                for number in 1...20 {
                    #expect(try await publish("sound \(number)", sound) == .confirmed)
                    try await eventually("it arrives at once", within: .seconds(1)) { seen.count == number }
                    try await Task.sleep(for: .milliseconds(200))
                    #expect(consumer.state == .connected, "the connection outlives the silence")
                }
                _ = try await scene.broker.control("eval", "\(process), sys:resume(P).")
                for number in 1...4 { #expect(try await publish("stuck \(number)", stuck) == .confirmed) }
                try await eventually("it is consumed again, all of it") {
                    Set(seen.all).isSuperset(of: (1...4).map { "stuck \($0)" })
                }
            }
        }
    }

    @Test func blockedConnectionIsSeenAndEnds() async throws {
        let scene = Scene(try await RabbitMQServer.start())
        let queue = scene.queue()
        try await scene.withPublisher(AMQPTopology(queues: [queue]), { $0.operationTimeout = .seconds(2) }) {
            publisher in
            @Sendable func publish() async throws(AMQPError) -> PublishOutcome {
                try await publisher.publish(AMQPMessage("m"), exchange: "", routingKey: queue.name, mandatory: true)
            }
            _ = try await scene.broker.control("set_vm_memory_high_watermark", "0")
            // The broker says so when the first publish arrives.
            let first = Task { try? await publish() }
            try await eventually("blocked") {
                if case .blocked = publisher.state { true } else { false }
            }
            let error = await #expect(throws: AMQPError.self) { try await publish() }
            guard case .blocked(let reason) = error else {
                Issue.record("expected blocked, got \(String(describing: error))")
                return
            }
            #expect(reason.contains("memory"))
            _ = await first.value
            _ = try await scene.broker.control("set_vm_memory_high_watermark", "0.4")
            try await eventually("unblocked", within: .seconds(20)) { publisher.state == .connected }
            #expect(try await publish() == .confirmed)
        }
    }

    @Test func connectionsClosedByTheOperatorComeBack() async throws {
        let scene = Scene(try await RabbitMQServer.start())
        let queue = scene.queue(quorum: true)
        let seen = Seen<String>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 4) {
            seen.add($0.text)
            return .ack
        }
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            try await scene.withConsumer([subscription], topology: AMQPTopology(queues: [queue])) { consumer in
                for round in 1...3 {
                    _ = try await scene.broker.control("close_all_connections", "operator's wish")
                    try await eventually("a message gets through") {
                        try await publisher.publish(
                            AMQPMessage("\(round)"),
                            exchange: "",
                            routingKey: queue.name,
                            mandatory: true
                        ) == .confirmed
                    }
                    try await eventually("and arrives", within: .seconds(20)) { seen.all.contains("\(round)") }
                }
                #expect(consumer.state == .connected)
            }
        }
    }

    @Test func brokenConnectionRedeliversAndVoidsOldAnswers() async throws {
        let scene = try await Scene.shared()
        let proxy = try FaultProxy(to: scene.broker.port)
        defer { proxy.stop() }
        let queue = scene.queue(quorum: true)
        let seen = Seen<Bool>()
        let gate = Gate()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) {
            seen.add($0.redelivered)
            if !$0.redelivered { await gate.wait() }
            return .ack
        }
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            _ = try await publisher.publish(AMQPMessage("m"), exchange: "", routingKey: queue.name, mandatory: true)
            try await scene.withConsumer([subscription], { $0.port = proxy.port }) { consumer in
                try await eventually("at work") { seen.count == 1 }
                try proxy.cut()
                try await eventually("noticed") { proxy.acceptedConnections >= 2 }
                try await consumer.waitUntilConnected()
                #expect(seen.count == 1, "no second handler while the first holds the only place")
                await gate.open()
                try await eventually("delivered again") { seen.all == [false, true] }
                try await eventually("acknowledged") { try await publisher.inspect(queue: queue.name)?.messages == 0 }
                #expect(consumer.state == .connected, "the old answer did not go to the new channel")
            }
        }
    }
}
