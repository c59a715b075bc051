// The broker's ports against a real broker.

import AMQP
import Adapters
import Core
import CoreTesting
import Harness
import Logging
import Synchronization
import Testing

/// The broker is shared with suites that keep both processors and the disk full, and a quorum queue's confirm waits for
/// the disk: what is late is not lost.
private let patience = Duration.seconds(60)

/// Sends jobs until the broker has them all, as the relay does: it refuses what comes before a queue's leader has time to
/// register the channel (rabbit_fifo's `register_enqueuer`), and has nothing of it then.
private func sendAll(_ jobs: [Job], to target: TargetID, by queue: AMQPJobQueue) async throws {
    var left = jobs
    try await eventually("the broker has \(jobs.count) jobs", within: patience) {
        let fates = Array(zip(left, await queue.send(left, to: target)))
        #expect(fates.count == left.count)
        for case (let job, .unavailable(let reason)) in fates { Issue.record("\(job): \(reason)") }
        left = fates.compactMap { job, fate in if case .refused = fate { job } else { nil } }
        return left.isEmpty
    }
}

/// A collection that handlers fill and tests wait for.
final class Collected<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }

    func add(_ element: Element) { elements.withLock { $0.append(element) } }

    func wait(for count: Int, _ what: String) async throws -> [Element] {
        try await eventually("\(count) of \(what)", within: patience) {
            guard all.count < count else { return true }
            throw HarnessError("\(all.count) came")
        }
        return all
    }
}

@Suite struct AMQPAdapterTests {
    let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    /// A target of this test alone, since the broker is shared.
    private func newTarget() throws -> TargetID {
        try #require(TargetID("t" + String(UInt64.random(in: 0...UInt64.max), radix: 36)))
    }

    private func newID() -> UploadID {
        UploadID(high: .random(in: 0...UInt64.max), low: .random(in: 0...UInt64.max))
    }

    private func configuration() async throws -> AMQPConfiguration {
        var configuration = try AMQPConfiguration(url: try await SharedServers.rabbitMQ().url)
        configuration.operationTimeout = patience
        return configuration
    }

    /// Runs services while the body runs, and waits for their end.
    private func running(_ services: [@Sendable () async throws -> Void], _ body: () async throws -> Void) async throws
    {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services { group.addTask { try await service() } }
            do {
                try await body()
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            while let result = await group.nextResult() {
                if case .failure(let error) = result, !(error is CancellationError) { throw error }
            }
        }
    }

    @Test func jobsGoToTheirQueuesAndComeOut() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        let id = newID()
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], logger: logger)
        let received = Collected<JobDelivery>()
        let consumer = AMQPJobConsumer(
            configuration: configuration,
            targets: [target],
            replies: queue,
            handlers: .init(job: { delivery in
                received.add(delivery)
                return .done
            }),
            logger: logger
        )
        try await running([{ try await queue.run() }, { try await consumer.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            #expect(queue.isAvailable)
            let jobs = (0..<300 as Range<Int64>).map { Job.ship(id, offset: $0) } + [.merge(id), .clean(id)]
            try await sendAll(jobs, to: target, by: queue)
            let all = try await received.wait(for: jobs.count, "jobs")
            #expect(Set(all.map(\.job)) == Set(jobs))
            #expect(all.count == jobs.count)
            #expect(all.allSatisfy { $0.target == target && !$0.redelivered && $0.deliveryCount == 0 })
            try await eventually("the queues are empty and have their consumers", within: patience) {
                let depths = await queue.depths(of: target)
                return depths == [.ship: .init(messages: 0, consumers: 1), .merge: .init(messages: 0, consumers: 1)]
            }
        }
        #expect(!queue.isAvailable)
    }

    @Test func depthsCountWhatWaits() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        var options = AMQPJobQueue.Options()
        options.depthLifetime = .zero
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], options: options, logger: logger)
        #expect(await queue.probe(try TargetPath("x"), on: target) == nil)
        try await running([{ try await queue.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            try await sendAll([.merge(newID()), .merge(newID()), .ship(newID(), offset: 0)], to: target, by: queue)
            try await eventually("three jobs wait", within: patience) {
                let depths = await queue.depths(of: target)
                return depths == [.ship: .init(messages: 1, consumers: 0), .merge: .init(messages: 2, consumers: 0)]
            }
            #expect(await queue.depths(of: try newTarget()) == [:])
        }
        #expect(await queue.depths(of: target) == nil)
    }

    @Test func aJobWithoutAQueueIsRefused() async throws {
        let queue = AMQPJobQueue(configuration: try await configuration(), targets: [], logger: logger)
        try await running([{ try await queue.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            let results = await queue.send([.merge(newID()), .ship(newID(), offset: 1)], to: try newTarget())
            for result in results {
                guard case .refused(let text) = result else { throw HarnessError("not refused: \(result)") }
                #expect(text.contains("no queue"))
            }
            #expect(results.count == 2)
        }
        let results = await queue.send([.merge(newID())], to: try newTarget())
        guard case .unavailable = results[0] else { throw HarnessError("not unavailable: \(results)") }
    }

    @Test func aFullQueueRefuses() async throws {
        let target = try newTarget()
        var options = AMQPJobQueue.Options()
        options.topology.maximumLength = 3
        let configuration = try await configuration()
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], options: options, logger: logger)
        try await running([{ try await queue.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            try await sendAll([.merge(newID()), .merge(newID()), .merge(newID())], to: target, by: queue)
            // A quorum queue notices its length a few messages late.
            try await eventually("a job is refused", within: patience) {
                guard case .refused = await queue.send([.merge(newID())], to: target)[0] else { return false }
                return true
            }
        }
    }

    @Test func probesAreAnswered() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        let lonely = try newTarget()
        var options = AMQPJobQueue.Options()
        options.probeTimeout = .milliseconds(500)
        let asker = AMQPJobQueue(
            configuration: configuration,
            targets: [target, lonely],
            options: options,
            logger: logger
        )
        let worker = AMQPJobQueue(configuration: configuration, targets: [target], logger: logger)
        let consumer = AMQPJobConsumer(
            configuration: configuration,
            targets: [target],
            replies: worker,
            handlers: .init(
                job: { _ in .done },
                probe: { path, asked in
                    guard asked == target else { return nil }
                    if path.name == "slow" { try? await Task.sleep(for: .seconds(2)) }
                    return path.name == "unclear" ? nil : path.description == "dir/thére"
                }
            ),
            logger: logger
        )
        let services: [@Sendable () async throws -> Void] = [
            { try await asker.run() }, { try await worker.run() }, { try await consumer.run() },
        ]
        try await running(services) {
            try await asker.waitUntilConnected(within: patience)
            try await worker.waitUntilConnected(within: patience)
            try await consumer.waitUntilConnected(within: patience)
            try await eventually("a probe finds its worker") {
                await asker.probe(try TargetPath("x"), on: target) != nil
            }
            #expect(await asker.probe(try TargetPath("dir/thére"), on: target) == true)
            #expect(await asker.probe(try TargetPath("dir/elsewhere"), on: target) == false)
            // "Cannot tell" comes at once, and so does "no queue". No worker, or a busy one, takes the whole time, but once.
            let start = ContinuousClock.now
            #expect(await asker.probe(try TargetPath("unclear"), on: target) == nil)
            #expect(await asker.probe(try TargetPath("x"), on: try newTarget()) == nil)
            #expect(start.duration(to: .now) < .milliseconds(450))
            for (asked, path) in [(lonely, "x"), (target, "slow")] {
                let patient = ContinuousClock.now
                #expect(await asker.probe(try TargetPath(path), on: asked) == nil)
                #expect(patient.duration(to: .now) >= .milliseconds(450))
                let impatient = ContinuousClock.now
                #expect(await asker.probe(try TargetPath("x"), on: asked) == nil)
                #expect(impatient.duration(to: .now) < .milliseconds(450))
            }
            try await eventually("it is asked again") { await asker.probe(try TargetPath("x"), on: target) == false }
        }
    }

    @Test func eventsReachEverySubscriberInOrder() async throws {
        let configuration = try await configuration()
        let bus = AMQPEventBus(configuration: configuration, logger: logger)
        let ids = Set((0..<5).map { _ in newID() })
        let first = Collected<Event>()
        let second = Collected<Event>()
        let subscribers = [first, second].map { collected in
            AMQPEventSubscriber(configuration: configuration, logger: logger) { event in
                if ids.contains(event.upload) { collected.add(event) }
            }
        }
        var services: [@Sendable () async throws -> Void] = [{ try await bus.run() }]
        for subscriber in subscribers { services.append { try await subscriber.run() } }
        try await running(services) {
            for subscriber in subscribers { try await subscriber.waitUntilConnected(within: patience) }
            try await bus.waitUntilConnected(within: patience)
            for number in 0..<100 as Range<Int64> {
                for id in ids {
                    var event = try SampleEvent.event(id, .partReceived)
                    event.receivedBytes = number
                    bus.publish(event)
                }
            }
            for collected in [first, second] {
                let all = try await collected.wait(for: 500, "events")
                for id in ids {
                    #expect(all.filter { $0.upload == id }.map(\.receivedBytes) == Array(0..<100))
                }
            }
            #expect(bus.droppedCount == 0)
        }
    }

    @Test func anEventBusWithoutABrokerWaitsForNobody() async throws {
        let configuration = try AMQPConfiguration(url: "amqp://127.0.0.1:1/")
        let bus = AMQPEventBus(configuration: configuration, capacity: 80, logger: logger)
        let event = try SampleEvent.event(newID(), .uploadDone)
        let time = ContinuousClock().measure {
            for _ in 0..<10_000 { bus.publish(event) }
        }
        #expect(time < .seconds(2))
        // All but the newest, as many as may wait.
        #expect(bus.droppedCount == 9_920)
    }

    @Test func aJobThatIsToComeLaterComesAgain() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], logger: logger)
        let received = Collected<JobDelivery>()
        let consumer = AMQPJobConsumer(
            configuration: configuration,
            targets: [target],
            replies: queue,
            handlers: .init(job: { delivery in
                received.add(delivery)
                return received.all.count < 3 ? .later(.milliseconds(20)) : .done
            }),
            logger: logger
        )
        let job = Job.ship(newID(), offset: 4_096)
        try await running([{ try await queue.run() }, { try await consumer.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            try await sendAll([job], to: target, by: queue)
            let all = try await received.wait(for: 3, "deliveries")
            #expect(all.map(\.job) == [job, job, job])
            #expect(all.map(\.redelivered) == [false, true, true])
            #expect(all.map(\.deliveryCount) == [0, 1, 2])
        }
    }

    @Test func whatTheBrokerGivesUpIsHandedOver() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        let job = Job.merge(newID())
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], logger: logger)
        let dead = Collected<DeadDelivery>()
        let deliveries = Collected<JobDelivery>()
        let consumer = AMQPJobConsumer(
            configuration: configuration,
            targets: [target],
            replies: queue,
            handlers: .init(
                job: { delivery in
                    deliveries.add(delivery)
                    return .later(.zero)
                },
                dead: { delivery in
                    if delivery.target == target { dead.add(delivery) }
                    return .done
                }
            ),
            logger: logger
        )
        try await running([{ try await queue.run() }]) {
            // Alone at first: two that declare the same new queue at once may be refused by the broker.
            try await queue.waitUntilConnected(within: patience)
            try await sendAll([job], to: target, by: queue)
            try await running([{ try await consumer.run() }]) {
                let all = try await dead.wait(for: 1, "dead jobs")
                #expect(all == [DeadDelivery(job: job, target: target, reason: "delivery_limit")])
                #expect(deliveries.all.count == 21)
            }
        }
    }

    @Test func malformedMessagesAreDroppedAndNewerOnesPutBack() async throws {
        let configuration = try await configuration()
        let target = try newTarget()
        let job = Job.merge(newID())
        let queue = AMQPJobQueue(configuration: configuration, targets: [target], logger: logger)
        let stranger = AMQPPublisher(configuration: configuration, logger: logger)
        let received = Collected<JobDelivery>()
        var options = AMQPJobConsumer.Options()
        options.newerPause = .milliseconds(100)
        let consumer = AMQPJobConsumer(
            configuration: configuration,
            targets: [target],
            options: options,
            replies: queue,
            handlers: .init(job: { delivery in
                received.add(delivery)
                return .done
            }),
            logger: logger
        )
        func send(_ text: String, _ key: String) async throws -> PublishOutcome {
            let message = AMQPMessage(body: Array(text.utf8))
            return try await stranger.publish(message, exchange: "ferry.jobs", routingKey: key, mandatory: true)
        }
        try await running([{ try await queue.run() }, { try await stranger.run() }]) {
            try await queue.waitUntilConnected(within: patience)
            for text in ["", "not json", #"{"v":1,"kind":"merge","upload":"../x"}"#] {
                #expect(try await send(text, "merge.\(target)") == .confirmed)
            }
            #expect(try await send(#"{"v":2}"#, "ship.\(target)") == .confirmed)
            try await sendAll([job], to: target, by: queue)
            try await running([{ try await consumer.run() }]) {
                // The malformed ones were before it in the queue, which has a prefetch of one.
                let jobs = try await received.wait(for: 1, "jobs")
                #expect(jobs.map(\.job) == [job])
            }
            // The newer one is there still, for a newer worker.
            try await eventually("only the newer message waits", within: patience) {
                await queue.depths(of: target)
                    == [.ship: .init(messages: 1, consumers: 0), .merge: .init(messages: 0, consumers: 0)]
            }
        }
    }
}
