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

/// The index of uploads. All changes are idempotent: said twice, they change once. Times are the index's own.
public protocol UploadStore: Sendable {
    // MARK: Clients

    /// Takes the path lock for a new upload, or says who has it.
    func create(_ record: UploadRecord) async throws(StoreError) -> CreateResult
    /// Records a staged part and its ship job. The same digest again changes nothing. The last damaged part that is
    /// sent again sends the upload on its way, and records a merge job too, which finds what else is to be shipped.
    func receive(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal>
    /// Records the only part of an upload of known size, and that its end was asked for: it goes on to `merging` with its
    /// job, and has no ship job (`Upload.whole`). Only an upload of which nothing was received is taken that way.
    func submit(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal>
    /// Fixes size and digest, and moves on to `shipping`, or to `merging` with its job when all is shipped.
    func complete(_ id: UploadID, size: Int64, digest: SHA256Digest?) async throws(StoreError) -> Change<
        CompleteRefusal
    >
    /// Gives up, if it is of the kind that may go, and records the clean job.
    func cancel(_ id: UploadID, by: String, only: CancelCondition) async throws(StoreError) -> Change<EndRefusal>
    /// Marks an abandoned upload, and records the clean job; refused unless its time has come.
    func expire(_ id: UploadID) async throws(StoreError) -> Change<ExpireRefusal>
    /// Sends a failed upload on its way again (see `UploadState.resumed`) by a merge job; with `overwrite`, a waiting
    /// `target-exists` may now replace.
    ///
    /// - Parameter delay: its job is left to the outbox until then, so that many replays at once have a pace.
    func replay(
        _ id: UploadID,
        by: String,
        overwrite: Overwrite?,
        after delay: Duration
    ) async throws(StoreError) -> Change<WorkRefusal>

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
    /// What happened to an upload, oldest first; empty where nothing is known.
    func history(of id: UploadID) async throws(StoreError) -> [HistoryEntry]
    /// What a ship job needs, in one question.
    func shipState(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState?

    // MARK: Workers

    /// The same for a part that still is to be shipped; nil where the upload takes none, has no such part, or has it on its
    /// target already.
    func shipWork(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState?
    /// A number for a new generation, greater than any before, and the upload with that preparation counted.
    func nextGeneration(of id: UploadID) async throws(StoreError) -> (generation: Generation, upload: Upload)?
    /// Makes a prepared generation the current one, if `previous` still is; every part counts as unshipped then. How it is
    /// built is recorded with it. With a `previous`, this is a restart: it ends a claim of the merge, and records a merge job, because the ship
    /// jobs are to be recorded again by `requeueShips`: a merge job that finds unshipped parts records them.
    func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?,
        by strategy: MergeStrategy
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
    func strike(_ part: Part, of id: UploadID, by: String) async throws(StoreError) -> Change<WorkRefusal>
    /// Claims a merge for a time, leaving a merge job in the outbox that is due after it. The third claim in a row that
    /// nobody gave back or worked off fails the upload as poison. Each claim of an upload with a part to carry counts as a
    /// preparation.
    func claim(_ id: UploadID, holder: String, for duration: Duration) async throws(StoreError) -> Change<WorkRefusal>
    /// Extends a claim; refused when it was lost.
    func renew(_ id: UploadID, fence: Fence, for duration: Duration) async throws(StoreError) -> Change<WorkRefusal>
    /// Gives a claim up early, so that the next one need not wait; the safety job becomes due at once. A cancelled
    /// task's goes out too.
    func release(_ id: UploadID, fence: Fence) async throws(StoreError)
    /// Records what the final file will be, and under which claim; from here nothing can be cancelled.
    ///
    /// - Parameters:
    ///   - generation: the current one; of an upload with a part to carry, the one that the claim has built, which is
    ///     current from now on, with the part in it.
    ///   - verification: the proof of what was put together on the target; nil leaves that of the parts.
    func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile,
        verification: Verification?
    ) async throws(StoreError) -> Change<WorkRefusal>
    /// Records the commit, and the clean job.
    func finish(_ id: UploadID, fence: Fence, atomic: Bool) async throws(StoreError) -> Change<WorkRefusal>
    /// Records that an upload cannot go on by itself. A merge names its fence, so that only its holder can.
    func fail(_ request: FailRequest) async throws(StoreError) -> Change<WorkRefusal>
    /// Counts a failed attempt and records the job again for later, or fails the upload when its attempts are spent.
    /// Clean jobs of ended uploads are retried too, and never exhausted.
    func retry(_ request: RetryRequest) async throws(StoreError) -> RetryResult
    /// Records that nothing is left of an ended upload: frees the path, forgets its jobs in the outbox, keeps an expiring
    /// history record.
    func cleaned(_ id: UploadID) async throws(StoreError)

    // MARK: Janitor

    /// Whether the index has an upload. Unlike `upload`, it answers no only where the index is staging's: one that is
    /// empty or being rebuilt throws `rebuilding`.
    func knows(_ id: UploadID) async throws(StoreError) -> Bool
    /// Makes sure that an upload that the index does not have is never created; false where it has it.
    func forbid(_ id: UploadID) async throws(StoreError) -> Bool
    /// Records a merge job of an upload that has not moved for so long, that nobody works on, and of which nothing is
    /// recorded already; of one that has ended and is not cleaned up, a clean job. Changes nothing where any of it is
    /// not so.
    func revive(_ id: UploadID, idleFor idle: Duration) async throws(StoreError) -> Change<WorkRefusal>
    /// Notes that a worker begins a job that may have been begun before; answers the other workers that began it and
    /// did not end it.
    func tries(_ job: Job, by worker: String) async throws(StoreError) -> [String]
    /// Notes that a job has been worked off, however that ended.
    func tried(_ job: Job) async throws(StoreError)
    /// Ended uploads of a target whose directory must be looked at again for part files, because a worker that was away
    /// when they ended may have made one since.
    func dueSweeps(of target: TargetID, limit: Int) async throws(StoreError) -> [UploadID]
    /// Notes that such an upload was looked at; it comes again later, three times in all.
    func swept(_ id: UploadID, of target: TargetID) async throws(StoreError)

    // MARK: Outbox

    /// How much waits: dead letters, and jobs that are not sent yet, of these targets.
    func backlog(of targets: [TargetID]) async throws(StoreError) -> Backlog
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

    /// Tells that a worker is alive; forgotten after `lifetime` without another, so that none at all takes it off.
    func announce(_ worker: WorkerPresence, lifetime: Duration) async throws(StoreError)
    /// The workers that are alive.
    func workers() async throws(StoreError) -> [WorkerPresence]
    /// Keeps what a worker found out about a target.
    func announce(_ target: TargetPresence, lifetime: Duration) async throws(StoreError)
    /// The bytes that were received and shipped in each of the last 60 minutes, the present one included, oldest first.
    func movedBytes() async throws(StoreError) -> [MovedBytes]
    /// How many sessions all workers together have at each of these targets now.
    func sessions(at targets: [TargetID]) async throws(StoreError) -> [TargetID: Int]
    /// What is known about targets.
    func targets() async throws(StoreError) -> [TargetPresence]
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
