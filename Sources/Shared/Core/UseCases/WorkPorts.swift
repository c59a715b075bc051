// What the worker's use cases share: their ports, and what happens to a job that met an error.

/// What became of a job, for the delivery that brought it.
public enum JobOutcome: Hashable, Sendable {
    /// It is done, or recorded elsewhere to be done, or not wanted: acknowledge.
    case done
    /// Nothing could be recorded: put it back after a pause.
    case later(Duration)
}

/// What can stop a job.
enum WorkError: Error, Hashable, Sendable {
    case store(StoreError)
    case staging(StagingError)
    case target(TargetError)
    /// The upload has moved on; there is nothing to do.
    case unwanted
    /// What was found settles it: no retry helps.
    case permanent(Failure)
}

/// The ports of the worker's use cases.
public struct WorkPorts: Sendable {
    let store: any UploadStore
    let leases: any LeaseStore
    let staging: any Staging
    let target: @Sendable (TargetID) -> (any TargetSession)?
    let relay: OutboxRelay
    let events: ProgressEvents
    let surroundings: Surroundings
    let policy: RetryPolicy
    let worker: String

    /// Ports of a worker.
    ///
    /// - Parameters:
    ///   - target: the session of a configured target.
    ///   - worker: the worker's name, unique in the fleet.
    public init(
        store: any UploadStore,
        leases: any LeaseStore,
        staging: any Staging,
        target: @escaping @Sendable (TargetID) -> (any TargetSession)?,
        relay: OutboxRelay,
        events: ProgressEvents,
        surroundings: Surroundings,
        policy: RetryPolicy,
        worker: String
    ) {
        self.store = store
        self.leases = leases
        self.staging = staging
        self.target = target
        self.relay = relay
        self.events = events
        self.surroundings = surroundings
        self.policy = policy
        self.worker = worker
    }

    // MARK: Asking in the worker's terms

    func asking<Answer>(_ body: () async throws(StoreError) -> Answer) async throws(WorkError) -> Answer {
        do { return try await body() } catch { throw .store(error) }
    }

    func reading<Answer>(_ body: () async throws(StagingError) -> Answer) async throws(WorkError) -> Answer {
        do { return try await body() } catch { throw .staging(error) }
    }

    func reaching<Answer>(_ body: () async throws(TargetError) -> Answer) async throws(WorkError) -> Answer {
        do { return try await body() } catch { throw .target(error) }
    }

    /// The target that an upload goes to; one that is not configured any more is a dead letter.
    func session(of upload: Upload) throws(WorkError) -> any TargetSession {
        guard let session = target(upload.record.target) else {
            throw .permanent(Failure(.targetUnknown, "the target \(upload.record.target) is not configured"))
        }
        return session
    }

    // MARK: Failing

    /// What is to be said of an upload whose part file was lost or wrong once more, where it was begun anew as often as is
    /// allowed; nil where it may be again, or the file was not that of the upload's generation.
    func endOfRestarts(_ upload: Upload, _ used: Generation?, _ reason: TargetError) -> WorkError? {
        guard upload.restarts >= RetryPolicy.restarts, used != nil, used == upload.generation else { return nil }
        return .permanent(Failure(.targetCorrupts, reason.detail))
    }

    /// Records what an error means for a job: tried again later, or a dead letter.
    ///
    /// - Parameters:
    ///   - attempt: how often the job had failed when it was read.
    ///   - fence: the claim of a merge.
    func settle(
        _ error: WorkError,
        of job: Job,
        upload: Upload,
        attempt: Int,
        fence: Fence? = nil
    ) async -> JobOutcome {
        let errorClass: ErrorClass
        switch error {
        case .unwanted: return .done
        case .store: return .later(.seconds(1))
        case .target(let error) where error.kind == .cancelled: return .later(.zero)
        case .target(let error): errorClass = ErrorClass(error)
        case .staging(let error): errorClass = ErrorClass(error)
        case .permanent(let failure): errorClass = .permanent(failure)
        }
        do {
            if case .permanent(let failure) = errorClass, job.queue == .ship || fence != nil {
                let request = FailRequest(job: job, attempt: attempt, fence: fence, failure: failure, worker: worker)
                if case .applied(let upload, _) = try await store.fail(request) { tellFailed(upload) }
                return .done
            }
            let request = RetryRequest(
                job: job,
                attempt: attempt,
                fence: fence,
                limit: policy.limit(for: errorClass),
                delay: policy.delay(afterAttempt: attempt + 1, random: surroundings.random()),
                failure: errorClass.failure,
                worker: worker
            )
            switch try await store.retry(request) {
            case .scheduled(let upload, _): events.publish(.jobRetrying, upload)
            case .exhausted(let upload): tellFailed(upload)
            case .stale: break
            }
            return .done
        } catch {
            return .later(.seconds(1))
        }
    }

    /// Tells those who watch the upload, and those who look after dead letters.
    func tellFailed(_ upload: Upload) {
        events.publish(.uploadFailed, upload)
        events.publish(.jobDead, upload)
    }
}

extension ErrorClass {
    /// What an error of a target means.
    init(_ error: TargetError) {
        let detail = error.detail
        self =
            switch error.kind {
            case .unreachable: .unreachable(Failure(.targetUnreachable, detail))
            case .interrupted, .cancelled: .transient(Failure(.targetUnreachable, detail))
            case .loginRefused: .permanent(Failure(.loginRefused, detail))
            case .hostKeyMismatch: .permanent(Failure(.hostKeyMismatch, detail))
            case .noCommonAlgorithm: .permanent(Failure(.noCommonAlgorithm, detail))
            case .permissionDenied: .permanent(Failure(.permissionDenied, detail))
            case .diskFull: .diskFull(Failure(.diskFull, detail))
            case .quotaExceeded: .diskFull(Failure(.quotaExceeded, detail))
            case .rootMissing: .transient(Failure(.rootMissing, detail))
            case .rootRefused: .permanent(Failure(.rootRefused, detail))
            case .notFound, .pathRefused: .permanent(Failure(.pathRefused, detail))
            case .partFileLost: .rebuild(Failure(.targetCorrupts, detail))
            case .unsupported: .permanent(Failure(.targetFailed, detail))
            case .failed, .protocolViolation: .transient(Failure(.targetFailed, detail))
            case .staging: .transient(Failure(.stagingFailed, detail))
            }
    }

    /// What an error of staging means for a worker.
    init(_ error: StagingError) {
        self =
            switch error {
            case .full: .transient(Failure(.stagingFailed, "staging has no room"))
            case .notFound: .transient(Failure(.stagingFailed, "staging has no such part"))
            case .wrongLength(let expected, let received):
                .permanent(Failure(.partDamaged, "a staged part has \(received) bytes instead of \(expected)"))
            case .unreadable(let what): .permanent(Failure(.stagingFailed, "unreadable: \(what)"))
            case .failed(let what): .transient(Failure(.stagingFailed, what))
            }
    }
}
