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
    }

    /// How many merges run at once.
    static let merges = 16

    private let ship: ShipPart
    private let merge: MergeUpload
    private let clean: CleanUpload
    private let logger: Logger
    private let slots = Slots(JobDesk.merges)
    private let claims: AsyncStream<Claimed>
    private let claim: AsyncStream<Claimed>.Continuation
    private let running = Atomic<Int>(0)

    init(_ ports: WorkPorts, logger: Logger) {
        ship = ShipPart(ports)
        merge = MergeUpload(ports)
        clean = CleanUpload(ports)
        self.logger = logger
        // Never more than there are slots.
        (claims, claim) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// Jobs that are worked on now.
    var load: Int { running.load(ordering: .relaxed) }

    /// Does what a job asks for, or begins to.
    func perform(_ job: Job) async -> JobOutcome {
        running.add(1, ordering: .relaxed)
        defer { running.subtract(1, ordering: .relaxed) }
        let start = ContinuousClock.now
        let outcome: JobOutcome
        switch job {
        case .ship(let id, let offset): outcome = await ship.perform(id, offset: offset)
        case .merge(let id): outcome = await begin(id)
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

    private func begin(_ id: UploadID) async -> JobOutcome {
        guard await slots.take(within: .seconds(30)) else { return .later(.seconds(1)) }
        switch await merge.claim(id) {
        case .claimed(let upload, let fence):
            claim.yield(Claimed(upload: upload, fence: fence))
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
                        running.add(1, ordering: .relaxed)
                        await merge.run(claimed.upload, fence: claimed.fence)
                        running.subtract(1, ordering: .relaxed)
                        slots.give()
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
