// What is asked of the index beyond identifiers, and what it answers.

/// What a transition answers.
public enum Change<Refusal: Hashable & Sendable>: Hashable, Sendable {
    /// It happened, or had happened before: the upload as it is now, and the jobs that it recorded (none if it had
    /// happened before).
    case applied(Upload, [OutboxEntry])
    /// It did not happen, and nothing was changed.
    case refused(Refusal)
    /// There is no such upload in the index.
    case unknown
}

/// What creation answers.
public enum CreateResult: Hashable, Sendable {
    /// The path is locked for this upload.
    case created(Upload)
    /// The same owner used this idempotency key before, for an upload that was not given up since.
    case repeated(Upload)
    /// An unfinished upload holds the path.
    case held(by: Upload)
    /// It took so long that its record was taken for nobody's and discarded.
    case forbidden
}

/// Why a received part was not recorded.
public enum ReceiveRefusal: Hashable, Sendable {
    /// The offset has other content.
    case conflict(Part)
    /// No parts are taken in this state.
    case state(UploadState)
}

/// Why `complete` was refused.
public enum CompleteRefusal: Hashable, Sendable {
    /// Not all parts are there; the upload as it is.
    case partsMissing(Upload)
    /// Size or digest contradict what was said before.
    case contradicts(Upload)
    /// It cannot be completed in this state.
    case state(UploadState)
}

/// Why a worker's change was refused.
public enum WorkRefusal: Hashable, Sendable {
    /// Another generation has taken over; the current one, if any.
    case staleGeneration(Generation?)
    /// Another claim has taken over.
    case staleFence
    /// A live lease of somebody else; free at the latest then.
    case leased(until: Timestamp)
    /// Somebody spent this attempt already.
    case staleAttempt(Int)
    /// The part is not (or no longer) in the index.
    case noSuchPart
    /// Another upload, unfinished, holds the path by now.
    case pathHeld(by: UploadID)
    /// Its merge took one worker after the other down: it has failed now.
    case poisoned(Upload)
    /// Nothing of this kind happens in this state.
    case state(UploadState)
}

/// Why an upload was not expired.
public enum ExpireRefusal: Hashable, Sendable {
    /// Its time has not come; the upload as it is.
    case notDue(Upload)
    /// Nothing expires in this state.
    case state(UploadState)
}

/// Why a client's ending was refused.
public enum EndRefusal: Hashable, Sendable {
    /// The rename may have happened.
    case committing
    /// It has ended already, in this way.
    case ended(Upload)
    /// It is not of the kind that may go: something of it was acknowledged, or it has not failed.
    case unfit(Upload)
}

/// Which uploads a cancellation may end.
public enum CancelCondition: String, Hashable, Sendable, CaseIterable {
    /// Whatever can still be given up.
    case any
    /// Only one of which nobody was told that anything is safe: no part received, the end not asked for.
    case untouched
    /// Only a dead letter.
    case failed
}

/// What a worker's retry asks for.
public struct RetryRequest: Hashable, Sendable {
    /// The job that failed.
    public var job: Job
    /// How often it had failed before: the compare of the compare-and-set, so that a duplicate spends nothing.
    public var attempt: Int
    /// A merge's claim: compared too, and ended with the retry.
    public var fence: Fence?
    /// How often it may fail; nil leaves the attempts as they are (an unreachable target spends none).
    public var limit: Int?
    /// How long to wait.
    public var delay: Duration
    /// Why.
    public var failure: Failure
    /// The worker that met it.
    public var worker: String

    /// A request.
    public init(
        job: Job,
        attempt: Int,
        fence: Fence? = nil,
        limit: Int?,
        delay: Duration,
        failure: Failure,
        worker: String
    ) {
        self.job = job
        self.attempt = attempt
        self.fence = fence
        self.limit = limit
        self.delay = delay
        self.failure = failure
        self.worker = worker
    }
}

/// What stops an upload.
public struct FailRequest: Hashable, Sendable {
    /// The job that met it.
    public var job: Job
    /// How often it had failed before.
    public var attempt: Int
    /// A merge's claim: compared, so that only its holder can.
    public var fence: Fence?
    /// Why.
    public var failure: Failure
    /// The worker that met it.
    public var worker: String

    /// A request.
    public init(job: Job, attempt: Int, fence: Fence?, failure: Failure, worker: String) {
        self.job = job
        self.attempt = attempt
        self.fence = fence
        self.failure = failure
        self.worker = worker
    }
}

/// What a retry answers.
public enum RetryResult: Hashable, Sendable {
    /// The job is in the outbox again.
    case scheduled(Upload, due: Timestamp)
    /// The attempts are spent: the upload has failed and waits as a dead letter.
    case exhausted(Upload)
    /// Nothing was changed: the upload has moved on, or a duplicate has counted this attempt.
    case stale
}

/// What a ship job needs to know.
public struct ShipState: Hashable, Sendable {
    /// The upload.
    public var upload: Upload
    /// The part at the job's offset, if the index has it.
    public var part: PartState?
    /// How often this job has failed.
    public var attempt: Int

    /// All three.
    public init(upload: Upload, part: PartState?, attempt: Int) {
        self.upload = upload
        self.part = part
        self.attempt = attempt
    }
}

/// What was moved in one minute. Counted in the index only: after a loss of it, counting begins anew.
public struct MovedBytes: Hashable, Sendable {
    /// When the minute began.
    public var minute: Timestamp
    /// Bytes of new parts that were acknowledged.
    public var received: Int64
    /// Bytes of parts that were proven on their target.
    public var shipped: Int64

    /// All three.
    public init(minute: Timestamp, received: Int64, shipped: Int64) {
        self.minute = minute
        self.received = received
        self.shipped = shipped
    }

    /// How many minutes are told.
    public static let minutes = 60
}

/// What waits for somebody or something.
public struct Backlog: Hashable, Sendable {
    /// Uploads that wait for a person.
    public var deadLetters: Int
    /// Jobs that are recorded and not sent yet, or to be tried again later.
    public var outbox: [TargetID: Int]

    /// Both counts.
    public init(deadLetters: Int, outbox: [TargetID: Int]) {
        self.deadLetters = deadLetters
        self.outbox = outbox
    }
}

/// What staging says about one upload, for rebuilding the index.
public struct StagedUpload: Hashable, Sendable {
    /// The creation record.
    public var record: UploadRecord
    /// All parts.
    public var parts: [Part]
    /// All endings.
    public var markers: [Marker]
    /// The offset of the last part that was ever struck; nil where none was. A file whose size nobody declared does not
    /// end before it, whatever parts are there now.
    public var struck: Int64?

    /// What was read.
    public init(record: UploadRecord, parts: [Part], markers: [Marker], struck: Int64? = nil) {
        self.record = record
        self.parts = parts
        self.markers = markers
        self.struck = struck
    }

    /// Whether anything may have been begun on the target: not before the first part, or the end of an empty file.
    public var mayBeOnTarget: Bool { !parts.isEmpty || struck != nil || !markers.isEmpty }

    /// Without the parts beyond a `complete` that counts: they raced with it and lost, and nobody was told that they
    /// are there.
    var withoutLateParts: StagedUpload {
        let manifest = Manifest(parts)
        for case .complete(let size, _, _) in markers where manifest.covers(size) {
            var others = self
            others.parts = parts.filter { $0.end <= size }
            return others
        }
        return self
    }
}
