// Where deliveries become work: each job goes to its use case, and merges go on after their delivery is acknowledged.

internal import Core
internal import Logging
internal import Metrics
internal import ServiceLifecycle
internal import Synchronization

/// Hands jobs to their use cases.
///
/// A merge is claimed, acknowledged and then worked on here, so that no delivery is held for as long as a large file
/// takes. `run` owns those merges: when it is asked to stop it waits for them, and when it is cancelled they end and
/// give their claims back.
final class JobDesk: ServiceLifecycle.Service {
    private struct Claimed {
        let upload: Upload
        let fence: Fence
        let slots: Slots
    }

    /// How many merges of a target run at once. Those of small files wait for it most of their time, and for one that hangs
    /// nobody else may wait.
    static let merges = 64
    /// How long a suspect waits for the one before it; well below the half hour after which a broker wants its delivery
    /// back.
    static let patience = Duration.seconds(300)

    private let ship: ShipPart
    private let merge: MergeUpload
    private let clean: CleanUpload
    private let poison: PoisonGuard
    private let logger: Logger
    private let slots = Mutex<[TargetID?: Slots]>([:])
    private let suspects = Slots(1)
    private let claims: AsyncStream<Claimed>
    private let claim: AsyncStream<Claimed>.Continuation
    private let running = Mutex<[UploadID: Int]>([:])

    init(_ ports: WorkPorts, instance: String, logger: Logger) {
        ship = ShipPart(ports)
        merge = MergeUpload(ports)
        clean = CleanUpload(ports)
        poison = PoisonGuard(ports, instance: instance)
        self.logger = logger
        // Never more than there are slots.
        (claims, claim) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// The uploads that are worked on now, each with how many jobs.
    var load: [UploadID: Int] { running.withLock { $0 } }

    private func begins(_ id: UploadID) { running.withLock { $0[id, default: 0] += 1 } }

    private func ends(_ id: UploadID) {
        running.withLock { running in
            guard let count = running[id] else { return }
            running[id] = count > 1 ? count - 1 : nil
        }
    }

    /// Does what a delivered job asks for, or begins to; one that took its workers down is not begun again.
    ///
    /// - Parameters:
    ///   - target: in whose queue it was; nil where that cannot be told.
    ///   - isRepeated: whether it may have been delivered before.
    ///   - deliveries: how often it was.
    func perform(_ job: Job, of target: TargetID?, isRepeated: Bool, deliveries: Int) async -> JobOutcome {
        // A new one cannot have harmed anybody, and a merge's claim counts by itself.
        guard isRepeated, job.queue == .ship else { return await perform(job, of: target) }
        // One of those that came back twice may be what its workers died of: it runs with no other suspect beside it,
        // so that nothing innocent dies with it again and again and is stopped for that.
        let isSuspect = deliveries > 1
        if isSuspect, await !suspects.take(within: Self.patience) { return .later(.seconds(1)) }
        defer { if isSuspect { suspects.give() } }
        guard await poison.admits(job, deliveries: deliveries) else {
            logger.error("Job stopped: its workers died of it", metadata: ["job": "\(job)"])
            return .done
        }
        let outcome = await perform(job, of: target)
        await poison.ended(job)
        return outcome
    }

    /// Does what a job asks for, or begins to.
    func perform(_ job: Job, of target: TargetID?) async -> JobOutcome {
        begins(job.upload)
        defer { ends(job.upload) }
        let start = ContinuousClock.now
        let outcome: JobOutcome
        switch job {
        case .ship(let id, let offset): outcome = await ship.perform(id, offset: offset)
        case .merge(let id): outcome = await begin(id, in: slots(of: target))
        case .clean(let id): outcome = await clean.perform(id)
        }
        let kind = job.kind
        Counter(label: "ferry_jobs", dimensions: [("kind", kind), ("outcome", outcome == .done ? "done" : "later")])
            .increment()
        Timer(label: "ferry_job_duration", dimensions: [("kind", kind)]).record(duration: .now - start)
        if case .later = outcome {
            logger.warning("Job put back", metadata: ["job": "\(job)"])
        }
        return outcome
    }

    private func slots(of target: TargetID?) -> Slots {
        slots.withLock { slots in
            let found = slots[target] ?? Slots(Self.merges)
            slots[target] = found
            return found
        }
    }

    private func begin(_ id: UploadID, in slots: Slots) async -> JobOutcome {
        guard await slots.take(within: .seconds(30)) else { return .later(.seconds(1)) }
        switch await merge.claim(id) {
        case .claimed(let upload, let fence):
            claim.yield(Claimed(upload: upload, fence: fence, slots: slots))
            return .done
        case .nothing:
            slots.give()
            return .done
        case .later(let pause):
            slots.give()
            return .later(pause)
        }
    }

    /// Works on claimed merges until asked to stop, then until the last one has ended.
    func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for await claimed in claims {
                    group.addTask { [self] in
                        begins(claimed.upload.id)
                        await merge.run(claimed.upload, fence: claimed.fence)
                        ends(claimed.upload.id)
                        claimed.slots.give()
                    }
                }
            }
        } onGracefulShutdown: {
            self.claim.finish()
        }
    }
}

extension ContinuousClock.Instant {
    fileprivate static func - (later: Self, earlier: Self) -> Duration { earlier.duration(to: later) }
}

extension Job {
    /// The job's kind as metrics and logs name it.
    var kind: String {
        switch self {
        case .ship: "ship"
        case .merge: "merge"
        case .clean: "clean"
        }
    }
}
