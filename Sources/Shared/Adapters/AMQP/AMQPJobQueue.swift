// The port to the broker's queues: jobs out, depths and probes.

public import AMQP
public import Core
public import Logging
internal import Synchronization

/// Sends jobs with confirms, and asks about queues and paths. It keeps two connections while `run` runs: one to
/// publish, one for questions and their answers.
public final class AMQPJobQueue: JobQueue {
    /// The limits of asking.
    public struct Options: Hashable, Sendable {
        /// What the queues are declared with.
        public var topology = FerryTopology()
        /// How long a queue's depth is taken for true.
        public var depthLifetime = Duration.seconds(1)
        /// How long to wait for a worker's answer to a probe.
        public var probeTimeout = Duration.seconds(2)
        /// How long no answer is waited for once none came.
        public var silence = Duration.seconds(2)
        /// Jobs of one call that are on their way at a time.
        public var window = 1_000

        /// The defaults.
        public init() {}
    }

    private struct KnownDepth: Sendable {
        var depths: [JobQueueKind: QueueDepth]
        var until: ContinuousClock.Instant
    }

    private let publisher: AMQPPublisher
    private let requester: AMQPRequester
    private let options: Options
    private let known = Mutex<[TargetID: KnownDepth]>([:])
    /// Targets of which a probe was not answered, and until when nobody waits for another answer.
    private let silent = Mutex<[TargetID: ContinuousClock.Instant]>([:])
    /// When each target's queues were last declared anew.
    private let declared = Mutex<[TargetID: ContinuousClock.Instant]>([:])

    /// A queue; nothing is sent before `run`.
    ///
    /// - Parameter targets: whose queues are declared. Jobs can be sent to others too, whose queues somebody else
    ///   declared.
    public init(
        configuration: AMQPConfiguration,
        targets: [TargetID],
        options: Options = Options(),
        logger: Logger
    ) {
        self.options = options
        let topology = options.topology.jobs(of: targets)
        publisher = AMQPPublisher(configuration: configuration, topology: topology, logger: logger)
        requester = AMQPRequester(configuration: configuration, logger: logger)
    }

    /// Keeps both connections until the task is cancelled. To be called once. Throws if the first login is refused.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [publisher] in try await publisher.run() }
            group.addTask { [requester] in try await requester.run() }
            defer { group.cancelAll() }
            // Whichever ends first takes the other along.
            try await group.next()
        }
    }

    /// What there is of a connection, for readiness and metrics.
    public var state: AMQPLinkState { publisher.state }

    /// Returns once jobs can be sent and probes asked.
    public func waitUntilConnected(within time: Duration = .seconds(10)) async throws(AMQPError) {
        try await publisher.waitUntilConnected(within: time)
        try await requester.waitUntilConnected(within: time)
    }

    // MARK: Port

    /// Whether jobs can be sent now.
    public var isAvailable: Bool { publisher.state == .connected }

    /// Sends jobs, many at a time, and answers for each what became of it.
    public func send(_ jobs: [Job], to target: TargetID) async -> [SendResult] {
        if jobs.count == 1 { return [await send(jobs[0], to: target)] }
        return await withTaskGroup(of: (Int, SendResult).self) { group in
            var results = [SendResult](repeating: .unavailable("not sent"), count: jobs.count)
            var next = 0
            func sendNext() {
                guard next < jobs.count else { return }
                let index = next
                next += 1
                group.addTask { (index, await self.send(jobs[index], to: target)) }
            }
            for _ in 0..<max(options.window, 1) { sendNext() }
            while let (index, result) = await group.next() {
                results[index] = result
                sendNext()
            }
            return results
        }
    }

    private func send(_ job: Job, to target: TargetID) async -> SendResult {
        do {
            let outcome = try await publisher.publish(
                AMQPMessage(body: JobMessage.encode(job), contentType: "application/json"),
                exchange: FerryTopology.jobs,
                routingKey: FerryTopology.routingKey(job.queue, of: target),
                mandatory: true
            )
            switch outcome {
            case .confirmed: return .confirmed
            case .returned(_, let text):
                await declareAgain(target)
                return .refused("no queue takes it: \(text)")
            case .rejected: return .refused("its queue is full or cannot keep it")
            }
        } catch {
            return .unavailable("\(error)")
        }
    }

    /// Declares a target's queues and bindings, which somebody took away: no connection is lost by that, and nothing
    /// else would bring them back. At most once a second.
    private func declareAgain(_ target: TargetID) async {
        let isDue = declared.withLock { declared in
            if let last = declared[target], .now < last + .seconds(1) { return false }
            declared[target] = .now
            return true
        }
        // Where it fails, the next job that comes back tries again.
        if isDue { try? await publisher.declare(options.topology.jobs(of: [target])) }
    }

    /// How deep a target's queues are, as of a moment ago; a queue that is not there is left out.
    public func depths(of target: TargetID) async -> [JobQueueKind: QueueDepth]? {
        let cached = known.withLock { known in known[target].flatMap { .now < $0.until ? $0.depths : nil } }
        if let cached { return cached }
        var depths: [JobQueueKind: QueueDepth] = [:]
        for kind in JobQueueKind.allCases {
            do {
                if let depth = try await publisher.inspect(queue: FerryTopology.queue(kind, of: target)) {
                    depths[kind] = QueueDepth(messages: depth.messages, consumers: depth.consumers)
                }
            } catch {
                return nil
            }
        }
        let answer = KnownDepth(depths: depths, until: .now + options.depthLifetime)
        known.withLock { known in
            known = known.filter { .now < $0.value.until }
            known[target] = answer
        }
        return depths
    }

    /// Asks a target's workers whether something is at a path; nil where none answers, or none can tell.
    public func probe(_ path: TargetPath, on target: TargetID) async -> Bool? {
        // Without a worker not every creation waits for an answer that does not come.
        let isSilent = silent.withLock { silent in silent[target].map { .now < $0 } ?? false }
        guard requester.state == .connected, !isSilent else { return nil }
        let lifetime = String(options.probeTimeout.milliseconds)
        let question = AMQPMessage(
            body: ProbeMessage.encode(path),
            persistent: false,
            contentType: "application/json",
            expiration: lifetime
        )
        do {
            let answer = try await requester.request(
                question,
                exchange: "",
                routingKey: FerryTopology.probeQueue(of: target),
                timeout: options.probeTimeout
            )
            silent.withLock { $0[target] = answer == nil ? .now + options.silence : nil }
            return try answer.flatMap { message throws(MessageError) in try ProbeMessage.exists(message.body) }
        } catch {
            return nil
        }
    }

    /// Answers a probe: not mandatory, since whoever asked may have gone.
    func reply(_ body: [UInt8], to question: AMQPDelivery) async throws(AMQPError) {
        guard let replyTo = question.replyTo else { return }
        _ = try await publisher.publish(
            AMQPMessage(
                body: body,
                persistent: false,
                contentType: "application/json",
                correlationID: question.correlationID
            ),
            exchange: "",
            routingKey: replyTo,
            mandatory: false
        )
    }
}
