// The port to the index: every change of an upload's state is one compare-and-set that also records the jobs that
// follow from it.

/// Why the index did not answer.
public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It cannot be reached, or did not answer in time; the change may have happened.
    case unavailable(String)
    /// It is being read anew from staging; nothing may change until that is done.
    case rebuilding
    /// It has no memory left for anything new.
    case full
    /// It holds something that this program cannot read.
    case unreadable(String)

    /// In an operator's words.
    public var description: String {
        switch self {
        case .unavailable(let reason): "the index cannot be reached: \(reason)"
        case .rebuilding: "the index is being rebuilt from staging"
        case .full: "the index has no memory left"
        case .unreadable(let what): "the index holds something unreadable: \(what)"
        }
    }
}

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
    /// The same owner used this idempotency key before.
    case repeated(Upload)
    /// An unfinished upload holds the path.
    case held(by: Upload)
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
    /// Something of it was acknowledged.
    case touched(Upload)
}

/// Where a page of a listing ended. Its text is `<microseconds>-<identifier>`.
public struct UploadCursor: Hashable, Sendable, CustomStringConvertible {
    /// The time that the listing is ordered by, of the last upload seen.
    public let time: Timestamp
    /// The last upload seen.
    public let id: UploadID

    /// The place after an upload.
    public init(time: Timestamp, id: UploadID) {
        self.time = time
        self.id = id
    }

    /// Reads what `description` wrote; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let fields = text.split(separator: "-", maxSplits: 1)
        guard fields.count == 2, let time = Int64(fields[0]), let id = UploadID(fields[1]) else { return nil }
        self.init(time: Timestamp(microseconds: time), id: id)
        guard description == text else { return nil }
    }

    /// As it is handed to clients.
    public var description: String { "\(time.microseconds)-\(id)" }
}

/// A page of a listing.
public struct UploadQuery: Hashable, Sendable {
    /// Whose uploads; nil for everybody's.
    public var owner: Owner?
    /// Only in this state.
    public var state: UploadState?
    /// Only to this target.
    public var target: TargetID?
    /// Where the last page ended.
    public var cursor: UploadCursor?
    /// At most so many, 1 to 1,000.
    public var limit: Int

    /// A query.
    public init(
        owner: Owner?,
        state: UploadState? = nil,
        target: TargetID? = nil,
        cursor: UploadCursor? = nil,
        limit: Int = 50
    ) {
        self.owner = owner
        self.state = state
        self.target = target
        self.cursor = cursor
        self.limit = limit
    }
}

/// One page, newest first.
public struct UploadPage: Hashable, Sendable {
    /// The uploads.
    public var uploads: [Upload]
    /// Where the next page begins; nil at the end.
    public var next: UploadCursor?

    /// A page.
    public init(uploads: [Upload], next: UploadCursor?) {
        self.uploads = uploads
        self.next = next
    }
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

    /// A request.
    public init(job: Job, attempt: Int, fence: Fence? = nil, limit: Int?, delay: Duration, failure: Failure) {
        self.job = job
        self.attempt = attempt
        self.fence = fence
        self.limit = limit
        self.delay = delay
        self.failure = failure
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

/// What staging says about one upload, for rebuilding the index.
public struct StagedUpload: Hashable, Sendable {
    /// The creation record.
    public var record: UploadRecord
    /// All parts.
    public var parts: [Part]
    /// All endings.
    public var markers: [Marker]

    /// What was read.
    public init(record: UploadRecord, parts: [Part], markers: [Marker]) {
        self.record = record
        self.parts = parts
        self.markers = markers
    }

    /// Without the parts beyond a `complete` that counts: they raced with it and lost, and nobody was told that they
    /// are there.
    var withoutLateParts: StagedUpload {
        let manifest = Manifest(parts)
        for case .complete(let size, _, _) in markers where manifest.covers(size) {
            return StagedUpload(record: record, parts: parts.filter { $0.end <= size }, markers: markers)
        }
        return self
    }
}

/// The index of uploads. All changes are idempotent: said twice, they change once. Times are the index's own.
public protocol UploadStore: Sendable {
    // MARK: Clients

    /// Takes the path lock for a new upload, or says who has it.
    func create(_ record: UploadRecord) async throws(StoreError) -> CreateResult
    /// Records a staged part and its ship job. The same digest again changes nothing. The last damaged part that is
    /// sent again sends the upload on its way, and records a merge job too, which finds what else is to be shipped.
    func receive(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal>
    /// Fixes size and digest, and moves on to `shipping`, or to `merging` with its job when all is shipped.
    func complete(_ id: UploadID, size: Int64, digest: SHA256Digest?) async throws(StoreError) -> Change<
        CompleteRefusal
    >
    /// Gives up, and records the clean job.
    ///
    /// - Parameter onlyIfUntouched: refuses once a part was received or the end was asked for: then somebody was told
    ///   that something of the upload is safe.
    func cancel(_ id: UploadID, onlyIfUntouched: Bool) async throws(StoreError) -> Change<EndRefusal>
    /// Marks an abandoned upload, and records the clean job; refused unless its time has come.
    func expire(_ id: UploadID) async throws(StoreError) -> Change<ExpireRefusal>
    /// Sends a failed upload on its way again (see `UploadState.resumed`) by a merge job; with `overwrite`, a waiting
    /// `target-exists` may now replace.
    func replay(_ id: UploadID, overwrite: Overwrite?) async throws(StoreError) -> Change<WorkRefusal>

    // MARK: Questions

    /// One upload.
    func upload(_ id: UploadID) async throws(StoreError) -> Upload?
    /// The unfinished upload that holds a path.
    func holder(of path: TargetPath, on target: TargetID) async throws(StoreError) -> Upload?
    /// All parts of an upload, ascending; at most 50,000.
    func parts(of id: UploadID) async throws(StoreError) -> [PartState]
    /// A page of uploads.
    func uploads(_ query: UploadQuery) async throws(StoreError) -> UploadPage
    /// How often a job has failed.
    func attempt(of job: Job) async throws(StoreError) -> Int
    /// What a ship job needs, in one question.
    func shipState(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState?

    // MARK: Workers

    /// A number for a new generation, greater than any before, and the upload with that preparation counted.
    func nextGeneration(of id: UploadID) async throws(StoreError) -> (generation: Generation, upload: Upload)?
    /// Makes a prepared generation the current one, if `previous` still is; every part counts as unshipped then.
    /// With a `previous`, this is a restart: it ends a claim of the merge, and records a merge job, because the ship
    /// jobs are to be recorded again by `requeueShips`: a merge job that finds unshipped parts records them.
    func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?
    ) async throws(StoreError) -> Change<WorkRefusal>
    /// Records ship jobs of up to `limit` parts that are received and not shipped, from an offset on; answers where
    /// to go on, nil at the end. Works while the index is being rebuilt.
    func requeueShips(
        of id: UploadID,
        from offset: Int64,
        limit: Int
    ) async throws(StoreError) -> (entries: [OutboxEntry], next: Int64?)
    /// Records that a part is on the target in a generation; the last one after `complete` records the merge job.
    func shipped(
        offset: Int64,
        of id: UploadID,
        in generation: Generation,
        verification: Verification
    ) async throws(StoreError) -> Change<WorkRefusal>
    /// Strikes a part whose staged bytes are damaged: missing again before `complete`, `failed` after it.
    func strike(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<WorkRefusal>
    /// Claims a merge for a time, leaving a merge job in the outbox that is due after it.
    func claim(_ id: UploadID, holder: String, for duration: Duration) async throws(StoreError) -> Change<WorkRefusal>
    /// Extends a claim; refused when it was lost.
    func renew(_ id: UploadID, fence: Fence, for duration: Duration) async throws(StoreError) -> Change<WorkRefusal>
    /// Gives a claim up early, so that the next one need not wait; the safety job becomes due at once. A cancelled
    /// task's goes out too.
    func release(_ id: UploadID, fence: Fence) async throws(StoreError)
    /// Records what the final file will be; from here nothing can be cancelled.
    func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile
    ) async throws(StoreError) -> Change<WorkRefusal>
    /// Records the commit, and the clean job.
    func finish(_ id: UploadID, fence: Fence, atomic: Bool) async throws(StoreError) -> Change<WorkRefusal>
    /// Records that an upload cannot go on by itself. A merge names its fence, so that only its holder can.
    func fail(_ id: UploadID, fence: Fence?, failure: Failure) async throws(StoreError) -> Change<WorkRefusal>
    /// Counts a failed attempt and records the job again for later, or fails the upload when its attempts are spent.
    /// Clean jobs of ended uploads are retried too, and never exhausted.
    func retry(_ request: RetryRequest) async throws(StoreError) -> RetryResult
    /// Records that nothing is left of an ended upload: frees the path, keeps an expiring history record.
    func cleaned(_ id: UploadID) async throws(StoreError)

    // MARK: Outbox

    /// Entries of a target that are due, oldest first.
    func dueEntries(of target: TargetID, limit: Int) async throws(StoreError) -> [OutboxEntry]
    /// Removes entries that were sent and confirmed, where they still have the same due time. Works while the index is
    /// being rebuilt.
    func confirm(_ entries: [OutboxEntry]) async throws(StoreError)
    /// Moves entries that the broker did not take to later, where they still have the same due time.
    func postpone(_ entries: [OutboxEntry], by delay: Duration) async throws(StoreError)

    // MARK: Rebuild

    /// Compares the index's identity with staging's.
    func condition(epoch: String) async throws(StoreError) -> IndexCondition
    /// Brings one upload back from what staging says; what the index knows beyond that and that does not contradict
    /// it stays. Works while the index is being rebuilt. An upload whose path another one holds by then is refused.
    /// Records the job that must follow: of an upload with parts to be shipped, a merge job, which records theirs.
    func restore(_ staged: StagedUpload) async throws(StoreError) -> Change<WorkRefusal>
    /// Declares the index to be staging's.
    func adopt(epoch: String) async throws(StoreError)

    // MARK: Workers' roll

    /// Tells that a worker is alive; forgotten after `lifetime` without another.
    func announce(_ worker: WorkerPresence, lifetime: Duration) async throws(StoreError)
    /// The workers that are alive.
    func workers() async throws(StoreError) -> [WorkerPresence]
    /// Keeps what a worker found out about a target.
    func announce(_ target: TargetPresence, lifetime: Duration) async throws(StoreError)
    /// What is known about targets.
    func targets() async throws(StoreError) -> [TargetPresence]
}

extension UploadStore {
    /// Gives up, whatever was received, and records the clean job.
    public func cancel(_ id: UploadID) async throws(StoreError) -> Change<EndRefusal> {
        try await cancel(id, onlyIfUntouched: false)
    }
}

/// Whether the index may be relied upon.
public enum IndexCondition: Hashable, Sendable {
    /// It is staging's, and has been running since.
    case current
    /// It is staging's, but was restarted and may lack its last second.
    case restarted
    /// It is empty or somebody else's: all of staging must be read.
    case foreign
}
