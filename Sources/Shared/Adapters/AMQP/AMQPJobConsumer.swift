// Jobs on their way into a worker, with what the broker gave up and the questions of the API.

public import AMQP
public import Core
public import Logging

/// A job as a worker gets it.
public struct JobDelivery: Hashable, Sendable {
    /// What is asked for.
    public let job: Job
    /// Whose queue it was in.
    public let target: TargetID
    /// Whether it may have been delivered before.
    public let redelivered: Bool
    /// How often the broker delivered it before.
    public let deliveryCount: Int

    /// A delivery.
    public init(job: Job, target: TargetID, redelivered: Bool = false, deliveryCount: Int = 0) {
        self.job = job
        self.target = target
        self.redelivered = redelivered
        self.deliveryCount = deliveryCount
    }
}

/// A job that the broker gave up.
public struct DeadDelivery: Hashable, Sendable {
    /// What was asked for.
    public let job: Job
    /// Whose queue it was in; nil where that cannot be told.
    public let target: TargetID?
    /// The broker's reason: `delivery_limit`, `rejected`, `expired`, `maxlen`.
    public let reason: String

    /// A job with the broker's reason.
    public init(job: Job, target: TargetID?, reason: String) {
        self.job = job
        self.target = target
        self.reason = reason
    }
}

/// Consumes the job queues of a worker's targets, and if asked to `ferry.dead` and the probe queues, over one
/// connection with one channel a queue.
///
/// A job is acknowledged when its handler says that it is done; one that is to come later is held for the pause and
/// put back. What is not a job is dropped and logged; what a newer program sent is put back for it, slowly.
public final class AMQPJobConsumer: Sendable {
    /// How much a worker takes at a time.
    public struct Options: Hashable, Sendable {
        /// What the queues are declared with.
        public var topology = FerryTopology()
        /// Which kinds of jobs the worker takes.
        public var kinds: Set<JobQueueKind> = [.ship, .merge]
        /// Ship jobs a target at a time: some for each of its sessions.
        public var shipPrefetch = 8
        /// Merge and clean jobs a target at a time.
        public var mergePrefetch = 1
        /// Probes a target at a time.
        public var probePrefetch = 16
        /// The pause before a message of a newer version goes back.
        public var newerPause = Duration.seconds(5)
        /// What running handlers get when the worker is told to stop.
        public var drain = Duration.seconds(30)

        /// The defaults.
        public init() {}
    }

    /// What is done with what comes.
    public struct Handlers: Sendable {
        /// Works on a job.
        public var job: @Sendable (JobDelivery) async -> JobOutcome
        /// Records a job anew that the broker gave up; nil leaves `ferry.dead` to others.
        public var dead: (@Sendable (DeadDelivery) async -> JobOutcome)?
        /// Whether something is at a path of a target, nil where that cannot be told; nil leaves probes to others.
        public var probe: (@Sendable (TargetPath, TargetID) async -> Bool?)?

        /// Handlers.
        public init(
            job: @escaping @Sendable (JobDelivery) async -> JobOutcome,
            dead: (@Sendable (DeadDelivery) async -> JobOutcome)? = nil,
            probe: (@Sendable (TargetPath, TargetID) async -> Bool?)? = nil
        ) {
            self.job = job
            self.dead = dead
            self.probe = probe
        }
    }

    private let consumer: AMQPConsumer

    /// A consumer; nothing is taken before `run`.
    ///
    /// - Parameter replies: through which probes are answered.
    public init(
        configuration: AMQPConfiguration,
        targets: [TargetID],
        options: Options = Options(),
        replies: AMQPJobQueue,
        handlers: Handlers,
        logger: Logger
    ) {
        let desk = DeliveryDesk(newerPause: options.newerPause, logger: logger)
        var subscriptions: [AMQPConsumer.Subscription] = []
        for target in targets {
            for kind in JobQueueKind.allCases where options.kinds.contains(kind) {
                subscriptions.append(
                    .init(
                        .queue(FerryTopology.queue(kind, of: target)),
                        prefetch: kind == .ship ? options.shipPrefetch : options.mergePrefetch
                    ) { await desk.job($0, of: target, handlers.job) }
                )
            }
            if let probe = handlers.probe {
                subscriptions.append(
                    .init(.queue(FerryTopology.probeQueue(of: target)), prefetch: options.probePrefetch) {
                        await desk.probe($0, of: target, replies, probe)
                    }
                )
            }
        }
        if let dead = handlers.dead {
            subscriptions.append(.init(.queue(FerryTopology.dead), prefetch: 16) { await desk.dead($0, dead) })
        }
        consumer = AMQPConsumer(
            configuration: configuration,
            topology: options.topology.jobs(of: targets),
            subscriptions: subscriptions,
            drainTimeout: options.drain,
            logger: logger
        )
    }

    /// What there is of a connection.
    public var state: AMQPLinkState { consumer.state }

    /// Returns once jobs are taken.
    public func waitUntilConnected(within time: Duration = .seconds(10)) async throws(AMQPError) {
        try await consumer.waitUntilConnected(within: time)
    }

    /// Takes jobs until the task is cancelled or `drain` is called, and what runs has had its time. To be called once.
    public func run() async throws { try await consumer.run() }

    /// Takes no more, lets what runs finish, and lets `run` return.
    public func drain(within time: Duration) { consumer.drain(within: time) }
}

/// What happens to one delivery.
struct DeliveryDesk: Sendable {
    let newerPause: Duration
    let logger: Logger

    func job(
        _ delivery: AMQPDelivery,
        of target: TargetID,
        _ handler: @Sendable (JobDelivery) async -> JobOutcome
    ) async -> AMQPConsumer.Disposition {
        let job: Job
        do {
            job = try JobMessage.decode(delivery.body)
        } catch {
            return await unreadable(delivery, error)
        }
        let outcome = await handler(
            JobDelivery(
                job: job,
                target: target,
                redelivered: delivery.redelivered,
                deliveryCount: delivery.deliveryCount ?? 0
            )
        )
        return await disposition(outcome)
    }

    func dead(
        _ delivery: AMQPDelivery,
        _ handler: @Sendable (DeadDelivery) async -> JobOutcome
    ) async -> AMQPConsumer.Disposition {
        let job: Job
        do {
            job = try JobMessage.decode(delivery.body)
        } catch {
            return await unreadable(delivery, error)
        }
        var reason = "unknown"
        if case .string(let text) = delivery.headers["x-first-death-reason"] { reason = text }
        let target = FerryTopology.target(ofRoutingKey: delivery.routingKey)
        return await disposition(await handler(DeadDelivery(job: job, target: target, reason: reason)))
    }

    func probe(
        _ delivery: AMQPDelivery,
        of target: TargetID,
        _ replies: AMQPJobQueue,
        _ handler: @Sendable (TargetPath, TargetID) async -> Bool?
    ) async -> AMQPConsumer.Disposition {
        do throws(MessageError) {
            let path = try ProbeMessage.path(delivery.body)
            // "Cannot tell" is answered too, so that nobody waits in vain.
            let answer = ProbeMessage.encode(exists: await handler(path, target))
            do {
                try await replies.reply(answer, to: delivery)
            } catch {
                logger.debug("Probe was not answered", metadata: ["error": "\(error)", "target": "\(target)"])
            }
        } catch {
            // Whoever asked waits no longer than without a worker.
            logger.warning("Probe cannot be read", metadata: ["error": "\(error)", "target": "\(target)"])
        }
        return .ack
    }

    private func disposition(_ outcome: JobOutcome) async -> AMQPConsumer.Disposition {
        switch outcome {
        case .done: return .ack
        case .later(let pause):
            // Held meanwhile, so that it takes up a place: trouble slows the worker down. Ends early in a drain.
            if pause > .zero { try? await Task.sleep(for: pause) }
            return .reject(requeue: true)
        }
    }

    private func unreadable(_ delivery: AMQPDelivery, _ error: MessageError) async -> AMQPConsumer.Disposition {
        let details: Logger.Metadata = [
            "error": "\(error)", "routing_key": "\(delivery.routingKey)", "bytes": "\(delivery.body.count)",
        ]
        switch error {
        case .malformed:
            // Nobody can read it, now or later. The upload's state knows what is to be done.
            logger.error("Message is not a job and was dropped", metadata: details)
            return .ack
        case .newer:
            logger.warning("Job is of a newer version and was put back", metadata: details)
            try? await Task.sleep(for: newerPause)
            return .reject(requeue: true)
        }
    }
}
