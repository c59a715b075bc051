// Request and reply over direct reply-to.

import AMQP
import Harness
import Testing

@Suite(.timeLimit(.minutes(3))) struct RequesterTests {
    @Test func repliesFindTheirRequests() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        let topology = AMQPTopology(queues: [queue])
        let requester = AMQPRequester(configuration: try scene.configuration(), logger: scene.logger)
        try await scene.withPublisher(topology) { publisher in
            let publish: @Sendable (AMQPMessage, String) async throws -> Void = { [publisher] message, key in
                _ = try await publisher.publish(message, exchange: "", routingKey: key, mandatory: false)
            }
            let subscription = AMQPConsumer.Subscription(.queue(queue.name), prefetch: 20) { delivery in
                guard let replyTo = delivery.replyTo else { return .reject(requeue: false) }
                var reply = AMQPMessage("re: " + delivery.text)
                reply.correlationID = delivery.correlationID
                reply.persistent = false
                try? await publish(reply, replyTo)
                return .ack
            }
            try await scene.withConsumer([subscription]) { _ in
                try await running({ try await requester.run() }) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<100 {
                            group.addTask {
                                let reply = try await requester.request(
                                    AMQPMessage("\(number)"),
                                    exchange: "",
                                    routingKey: queue.name,
                                    timeout: .seconds(10)
                                )
                                #expect(reply?.body == Array("re: \(number)".utf8))
                            }
                        }
                        try await group.waitForAll()
                    }
                }
            }
        }
    }

    @Test func noAnswerIsNil() async throws {
        let scene = try await Scene.shared()
        let queue = scene.queue()
        let requester = AMQPRequester(
            configuration: try scene.configuration(),
            topology: AMQPTopology(queues: [queue]),
            logger: scene.logger
        )
        try await running({ try await requester.run() }) {
            try await requester.waitUntilConnected()
            let start = ContinuousClock.now
            let unrouted = try await requester.request(
                AMQPMessage("?"),
                exchange: "",
                routingKey: scene.name + "-nowhere",
                timeout: .seconds(30)
            )
            #expect(unrouted == nil)
            #expect(ContinuousClock.now - start < .seconds(10), "told at once that no queue is there")
            let unanswered = try await requester.request(
                AMQPMessage("?"),
                exchange: "",
                routingKey: queue.name,
                timeout: .milliseconds(300)
            )
            #expect(unanswered == nil)
        }
        await #expect(throws: AMQPError.self) {
            try await requester.request(AMQPMessage("?"), exchange: "", routingKey: "q", timeout: .seconds(1))
        }
    }
}
