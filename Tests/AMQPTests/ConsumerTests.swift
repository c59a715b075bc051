// Consuming from a real broker.

import AMQP
import Foundation
import Harness
import Testing

private func blockThisThread(seconds: Double) { Thread.sleep(forTimeInterval: seconds) }

@Suite(.timeLimit(.minutes(3))) struct ConsumerTests {
    private func fill(_ scene: Scene, _ queue: AMQPTopology.Queue, _ texts: [String]) async throws {
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            for text in texts {
                let outcome = try await publisher.publish(
                    AMQPMessage(text, id: text),
                    exchange: "",
                    routingKey: queue.name,
                    mandatory: true
                )
                #expect(outcome == .confirmed)
            }
        }
    }

    @Test func prefetchBoundsWhatIsAtWork() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        try await fill(scene, queue, (0..<10).map { "\($0)" })
        let seen = Seen<String>()
        let gate = Gate()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 3) {
            seen.add($0.text)
            await gate.wait()
            return .ack
        }
        try await scene.withPublisher { publisher in
            try await scene.withConsumer([subscription]) { _ in
                try await eventually("three are at work") { seen.count == 3 }
                try await eventually("seven wait in the queue") {
                    try await publisher.inspect(queue: queue.name)?.messages == 7
                }
                #expect(seen.count == 3)
                await gate.open()
                try await eventually("all are done") { seen.count == 10 }
            }
            try await eventually("all are acknowledged") {
                guard let depth = try await publisher.inspect(queue: queue.name) else { return false }
                return depth.messages == 0 && depth.consumers == 0
            }
        }
        #expect(Set(seen.all).count == 10)
    }

    @Test func rejectRequeuesOrDropsAndCounts() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        try await fill(scene, queue, ["again", "drop", "keep"])
        let seen = Seen<AMQPDelivery>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) { delivery in
            seen.add(delivery)
            switch delivery.text {
            case "again": return delivery.redelivered ? .ack : .reject(requeue: true)
            case "drop": return .reject(requeue: false)
            default: return .ack
            }
        }
        try await scene.withPublisher { publisher in
            try await scene.withConsumer([subscription]) { _ in
                try await eventually("four deliveries") { seen.count == 4 }
                try await eventually("the queue is empty") {
                    try await publisher.inspect(queue: queue.name)?.messages == 0
                }
            }
        }
        let again = seen.all.filter { $0.text == "again" }
        #expect(again.map(\.redelivered) == [false, true])
        #expect(again.last?.deliveryCount == 1)
        #expect(seen.all.filter { $0.text == "drop" }.count == 1)
    }

    @Test func unansweredComesBackAfterTheConnection() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        try await fill(scene, queue, ["a", "b", "c"])
        let first = Seen<String>()
        let leaving = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 10) {
            first.add($0.text)
            return $0.text == "b" ? .ack : .leave
        }
        try await scene.withConsumer([leaving]) { _ in
            try await eventually("all arrive") { first.count == 3 }
        }
        let second = Seen<AMQPDelivery>()
        let taking = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 10) {
            second.add($0)
            return .ack
        }
        try await scene.withConsumer([taking]) { _ in
            try await eventually("what was left arrives") { second.count == 2 }
        }
        #expect(Set(second.all.map(\.text)) == ["a", "c"])
        #expect(second.all.allSatisfy { $0.redelivered })
    }

    @Test func manyAreConsumedAndAcknowledgedTogether() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue(quorum: true)
        let count = 5_000
        let seen = Seen<String>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 64) {
            seen.add($0.text)
            return .ack
        }
        try await scene.withPublisher(AMQPTopology(queues: [queue])) { publisher in
            try await withThrowingTaskGroup(of: PublishOutcome.self) { group in
                for number in 0..<count {
                    group.addTask {
                        try await publisher.publish(
                            AMQPMessage("\(number)"),
                            exchange: "",
                            routingKey: queue.name,
                            mandatory: true
                        )
                    }
                }
                for try await outcome in group { #expect(outcome == .confirmed) }
            }
            let start = ContinuousClock.now
            try await scene.withConsumer([subscription]) { _ in
                try await eventually("all are consumed") { seen.count == count }
            }
            print("\(count) deliveries consumed in \(ContinuousClock.now - start)")
            let depth = try await publisher.inspect(queue: queue.name)
            #expect(depth?.messages == 0, "the drain lets the last acknowledgements out")
        }
        #expect(Set(seen.all).count == count)
    }

    @Test func heartbeatsGoOnWhileAHandlerBlocksItsThread() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await fill(scene, queue, ["slow"])
        let seen = Seen<Bool>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) {
            // Blocks a thread of Swift's pool on purpose, for several times what the broker waits for a heartbeat.
            blockThisThread(seconds: 7)
            seen.add($0.redelivered)
            return .ack
        }
        try await scene.withPublisher { publisher in
            try await scene.withConsumer([subscription], { $0.heartbeat = .seconds(1) }) { consumer in
                try await eventually("the handler is done", within: .seconds(20)) { seen.count == 1 }
                #expect(consumer.state == .connected)
                try await eventually("acknowledged") { try await publisher.inspect(queue: queue.name)?.messages == 0 }
            }
            let depth = try await publisher.inspect(queue: queue.name)
            #expect(depth?.messages == 0)
        }
        #expect(seen.all == [false], "delivered once, on one connection")
    }

    @Test func fanoutReachesEveryExclusiveQueueInOrder() async throws {
        let scene = try await Scene.shared()
        let topology = AMQPTopology(exchanges: [.init(name: scene.name, kind: .fanout)])
        let texts = (0..<200).map { "\($0)" }
        let first = Seen<String>()
        let second = Seen<String>()
        func subscription(_ seen: Seen<String>) -> AMQPConsumer.Subscription {
            let source = AMQPConsumer.Source.exclusive(
                bindings: [(exchange: scene.name, routingKey: "")],
                arguments: ["x-max-length": 10_000, "x-overflow": "drop-head"]
            )
            return AMQPConsumer.Subscription(source, prefetch: 1, noAck: true) {
                seen.add($0.text)
                return .ack
            }
        }
        try await scene.withConsumer([subscription(first)], topology: topology) { _ in
            try await scene.withConsumer([subscription(second)], topology: topology) { _ in
                try await scene.withPublisher(topology) { publisher in
                    for text in texts {
                        _ = try await publisher.publish(
                            AMQPMessage(text),
                            exchange: scene.name,
                            routingKey: "",
                            mandatory: false
                        )
                    }
                    try await eventually("both have all") {
                        first.count == texts.count && second.count == texts.count
                    }
                }
            }
        }
        #expect(first.all == texts)
        #expect(second.all == texts)
    }

    @Test func drainLetsRunningHandlersFinish() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await fill(scene, queue, ["a", "b"])
        let gate = Gate()
        let seen = Seen<String>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) {
            seen.add($0.text)
            await gate.wait()
            return .ack
        }
        let consumer = AMQPConsumer(
            configuration: try scene.configuration(),
            subscriptions: [subscription],
            logger: scene.logger
        )
        try await scene.withPublisher { publisher in
            let task = Task { try await consumer.run() }
            try await eventually("one is at work") { seen.count == 1 }
            consumer.drain(within: .seconds(10))
            try await eventually("no consumer is left at the broker") {
                try await publisher.inspect(queue: queue.name)?.consumers == 0
            }
            #expect(consumer.state == .connected, "it waits for the handler")
            await gate.open()
            try await task.value
            #expect(seen.all == ["a"])
            try await eventually("b is back, a is not") {
                try await publisher.inspect(queue: queue.name)?.messages == 1
            }
        }
    }

    @Test func drainEndsInTime() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        try await fill(scene, queue, ["a"])
        let seen = Seen<String>()
        let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 1) { _ in
            seen.add("begun")
            try? await Task.sleep(for: .seconds(600))
            seen.add("cancelled: \(Task.isCancelled)")
            return .ack
        }
        try await scene.withConsumer([subscription]) { consumer in
            try await eventually("at work") { seen.count == 1 }
            consumer.drain(within: .milliseconds(300))
            try await eventually("the handler is cancelled") { seen.all == ["begun", "cancelled: true"] }
            try await eventually("stopped") { consumer.state == .stopped }
        }
        try await scene.withPublisher { publisher in
            try await eventually("its message is back") {
                try await publisher.inspect(queue: queue.name)?.messages == 1
            }
        }
    }
}
