// The port to the index in memory, for use-case tests and simulations: deterministic, with faults that can be planted.

public import Core
internal import Synchronization

/// One process's way to an index. Changes are refused as `rebuilding` until it has attached by `condition` or `adopt`.
public final class InMemoryUploadStore: UploadStore {
    /// The operations in which faults can be planted.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// The method of the same name.
        case create, receive, submit, complete, cancel, expire, replay
        /// The method of the same name.
        case upload, holder, parts, uploads, attempt, shipState, history
        /// The method of the same name.
        case knows, forbid, revive, tries, tried, dueSweeps, swept
        /// The method of the same name.
        case nextGeneration, startGeneration, requeueShips, shipped, strike, claim, renew, release, beginCommit, finish
        /// The method of the same name.
        case fail, retry, cleaned, dueEntries, confirm, postpone, condition, restore, adopt, announce, workers, targets
        /// The method of the same name.
        case backlog, movedBytes, sessions
    }

    /// What goes wrong.
    public let faults: PortFaults<Operation, StoreError>
    private let server: InMemoryIndexServer
    private let attached = Mutex<InMemoryIndex.Epoch?>(nil)

    /// A store that is attached to nothing yet.
    public init(_ server: InMemoryIndexServer, faults: PortFaults<Operation, StoreError> = PortFaults()) {
        self.server = server
        self.faults = faults
    }

    func change<Value>(
        _ operation: Operation,
        grows: Bool = false,
        _ body: (inout InMemoryIndex, Timestamp) -> Value
    ) async throws(StoreError) -> Value {
        try await faults.perform(operation) { () throws(StoreError) in
            guard let epoch = attached.withLock({ $0 }) else { throw .rebuilding }
            return try server.perform(as: epoch, grows: grows) { index, now, _ in body(&index, now) }
        }
    }

    private func change<Value>(
        _ operation: Operation,
        under fence: Fence?,
        of id: UploadID,
        _ body: (inout InMemoryIndex, Timestamp) -> Value
    ) async throws(StoreError) -> Value {
        guard let fence else { return try await change(operation, body) }
        return try await faults.perform(operation) { () throws(StoreError) in
            guard let epoch = attached.withLock({ $0 }) else { throw .rebuilding }
            return try server.perform(as: epoch, under: fence, of: id, body)
        }
    }

    private func ask<Value>(
        _ operation: Operation,
        grows: Bool = false,
        _ body: (inout InMemoryIndex, Timestamp) -> Value
    ) async throws(StoreError) -> Value {
        try await faults.perform(operation) { () throws(StoreError) in
            try server.perform(as: nil, grows: grows) { index, now, _ in body(&index, now) }
        }
    }

    // MARK: Clients

    /// Takes the path lock for a new upload, or says who has it.
    public func create(_ record: UploadRecord) async throws(StoreError) -> CreateResult {
        try await change(.create, grows: true) { $0.create(record, $1) }
    }

    /// Records a staged part and its ship job.
    public func receive(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal> {
        try await change(.receive, grows: true) { $0.receive(part, of: id, $1) }
    }

    /// Records the only part of an upload, and that its end was asked for.
    public func submit(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal> {
        try await change(.submit, grows: true) { $0.submit(part, of: id, $1) }
    }

    /// Fixes size and digest, and moves on to `shipping`, or to `merging` with its job when all is shipped.
    public func complete(_ id: UploadID, size: Int64, digest: SHA256Digest?) async throws(StoreError) -> Change<
        CompleteRefusal
    > {
        try await change(.complete) { $0.complete(id, size: size, digest: digest, $1) }
    }

    /// Gives up, and records the clean job.
    public func cancel(
        _ id: UploadID,
        by: String,
        only condition: CancelCondition
    ) async throws(StoreError) -> Change<EndRefusal> {
        try await change(.cancel) { $0.cancel(id, by: by, only: condition, $1) }
    }

    /// Marks an abandoned upload, and records the clean job; refused unless its time has come.
    public func expire(_ id: UploadID) async throws(StoreError) -> Change<ExpireRefusal> {
        try await change(.expire) { $0.expire(id, $1) }
    }

    /// Sends a failed upload on its way again (see `UploadState.resumed`); with `overwrite`, a waiting
    /// `target-exists` may now replace.
    public func replay(
        _ id: UploadID,
        by: String,
        overwrite: Overwrite?,
        after delay: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.replay) { $0.replay(id, by: by, overwrite: overwrite, after: delay, $1) }
    }

    // MARK: Questions

    /// One upload.
    public func upload(_ id: UploadID) async throws(StoreError) -> Upload? {
        try await ask(.upload) { $0.find(id, $1)?.upload }
    }

    /// The unfinished upload that holds a path.
    public func holder(of path: TargetPath, on target: TargetID) async throws(StoreError) -> Upload? {
        try await ask(.holder) { $0.holder(of: path, on: target, $1) }
    }

    /// All parts of an upload, ascending; at most 50,000.
    public func history(of id: UploadID) async throws(StoreError) -> [HistoryEntry] {
        try await ask(.history) { $0.history(of: id, $1) }
    }

    /// All parts of an upload, ascending.
    public func parts(of id: UploadID) async throws(StoreError) -> [PartState] {
        try await ask(.parts) { $0.parts(of: id, $1) }
    }

    /// A page of uploads.
    public func uploads(_ query: UploadQuery) async throws(StoreError) -> UploadPage {
        try await ask(.uploads) { $0.uploads(query, $1) }
    }

    /// How often a job has failed.
    public func attempt(of job: Job) async throws(StoreError) -> Int {
        try await ask(.attempt) { $0.attempt(of: job, $1) }
    }

    /// What a ship job needs, in one question.
    public func shipState(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState? {
        try await ask(.shipState) { $0.shipState(of: id, offset: offset, $1) }
    }

    /// The same for a part that still is to be shipped.
    public func shipWork(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState? {
        try await ask(.shipState) { index, now in
            guard let state = index.shipState(of: id, offset: offset, now), state.upload.state.isShippable,
                let part = state.part, part.shippedIn == nil || part.shippedIn != state.upload.generation
            else { return nil }
            return state
        }
    }

    // MARK: Workers

    /// A number for a new generation, greater than any before, and the upload with that preparation counted.
    public func nextGeneration(
        of id: UploadID
    ) async throws(StoreError) -> (generation: Generation, upload: Upload)? {
        try await change(.nextGeneration) { $0.nextGeneration(of: id, $1) }
    }

    /// Makes a prepared generation the current one, if `previous` still is; every part counts as unshipped then.
    public func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?,
        by strategy: MergeStrategy
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.startGeneration) {
            $0.startGeneration(generation, of: id, replacing: previous, by: strategy, $1)
        }
    }

    /// Records ship jobs of up to `limit` parts that are received and not shipped, from an offset on; answers where
    /// to go on, nil at the end.
    public func requeueShips(
        of id: UploadID,
        from offset: Int64,
        limit: Int
    ) async throws(StoreError) -> (entries: [OutboxEntry], next: Int64?) {
        // A rebuild needs it, so it does not ask which index this is.
        try await ask(.requeueShips, grows: true) { $0.requeueShips(of: id, from: offset, limit: limit, $1) }
    }

    /// Records that a part is on the target in a generation; the last one after `complete` records the merge job.
    public func shipped(
        offset: Int64,
        of id: UploadID,
        in generation: Generation,
        verification: Verification
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.shipped) {
            $0.shipped(offset: offset, of: id, in: generation, verification: verification, $1)
        }
    }

    /// Strikes a part whose staged bytes are damaged: missing again before `complete`, `failed` after it.
    public func strike(_ part: Part, of id: UploadID, by: String) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.strike) { $0.strike(part, of: id, by: by, $1) }
    }

    /// Claims a merge for a time, leaving a merge job in the outbox that is due after it.
    public func claim(
        _ id: UploadID,
        holder: String,
        for duration: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.claim) { $0.claim(id, holder: holder, for: duration, $1) }
    }

    /// Extends a claim; refused when it was lost.
    public func renew(
        _ id: UploadID,
        fence: Fence,
        for duration: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.renew, under: fence, of: id) { $0.renew(id, fence: fence, for: duration, $1) }
    }

    /// Gives a claim up early, so that the next one need not wait; the safety job becomes due at once.
    public func release(_ id: UploadID, fence: Fence) async throws(StoreError) {
        try await change(.release, under: fence, of: id) { $0.release(id, fence: fence, $1) }
    }

    /// Records what the final file will be; from here nothing can be cancelled.
    public func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile,
        verification: Verification?
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.beginCommit, under: fence, of: id) {
            $0.beginCommit(
                id,
                fence: fence,
                generation: generation,
                finalFile: finalFile,
                verification: verification,
                $1
            )
        }
    }

    /// Records the commit, and the clean job.
    public func finish(_ id: UploadID, fence: Fence, atomic: Bool) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.finish, under: fence, of: id) { $0.finish(id, fence: fence, atomic: atomic, $1) }
    }

    /// Records that an upload cannot go on by itself.
    public func fail(_ request: FailRequest) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.fail, under: request.fence, of: request.job.upload) { $0.fail(request, $1) }
    }

    /// Counts a failed attempt and records the job again for later, or fails the upload when its attempts are spent.
    public func retry(_ request: RetryRequest) async throws(StoreError) -> RetryResult {
        try await change(.retry, under: request.fence, of: request.job.upload) { $0.retry(request, $1) }
    }

    /// Records that nothing is left of an ended upload: frees the path, keeps an expiring history record.
    public func cleaned(_ id: UploadID) async throws(StoreError) {
        try await change(.cleaned) { $0.cleaned(id, $1) }
    }

    // MARK: Outbox

    /// Entries of a target that are due, oldest first.
    public func dueEntries(of target: TargetID, limit: Int) async throws(StoreError) -> [OutboxEntry] {
        try await change(.dueEntries) { $0.dueEntries(of: target, limit: limit, $1) }
    }

    /// Removes entries that were sent and confirmed, where they still have the same due time.
    public func confirm(_ entries: [OutboxEntry]) async throws(StoreError) {
        try await ask(.confirm) { index, _ in index.confirm(entries) }
    }

    /// Moves entries that the broker did not take to later, where they still have the same due time.
    public func postpone(_ entries: [OutboxEntry], by delay: Duration) async throws(StoreError) {
        try await change(.postpone) { $0.postpone(entries, by: delay, $1) }
    }

    // MARK: Rebuild

    /// Compares the index's identity with staging's.
    public func condition(epoch: String) async throws(StoreError) -> IndexCondition {
        try await faults.perform(.condition) { () throws(StoreError) in
            try server.perform(as: nil) { index, _, run in
                guard let found = index.epoch, found.id == epoch else { return .foreign }
                guard found.run == run else { return .restarted }
                attached.withLock { $0 = found }
                return .current
            }
        }
    }

    /// Brings one upload back from what staging says; what the index knows beyond that and that does not contradict
    /// it stays.
    public func restore(_ staged: StagedUpload) async throws(StoreError) -> Change<WorkRefusal> {
        try await ask(.restore) { $0.restore(staged, $1) }
    }

    /// Declares the index to be staging's.
    public func adopt(epoch: String) async throws(StoreError) {
        try await faults.perform(.adopt) { () throws(StoreError) in
            try server.perform(as: nil) { index, _, run in
                let adopted = InMemoryIndex.Epoch(id: epoch, run: run)
                index.epoch = adopted
                attached.withLock { $0 = adopted }
            }
        }
    }

    // MARK: Workers' roll

    /// Tells that a worker is alive; forgotten after `lifetime` without another.
    public func announce(_ worker: WorkerPresence, lifetime: Duration) async throws(StoreError) {
        try await ask(.announce) { $0.announce(worker, lifetime: lifetime, $1) }
    }

    /// The workers that are alive.
    public func workers() async throws(StoreError) -> [WorkerPresence] {
        try await ask(.workers) { $0.presentWorkers($1) }
    }

    /// Keeps what a worker found out about a target.
    public func announce(_ target: TargetPresence, lifetime: Duration) async throws(StoreError) {
        try await ask(.announce) { $0.announce(target, lifetime: lifetime, $1) }
    }

    /// How much waits.
    public func backlog(of targets: [TargetID]) async throws(StoreError) -> Backlog {
        try await ask(.backlog) { index, _ in
            Backlog(
                deadLetters: index.uploads.count { $0.state == .failed },
                outbox: Dictionary(targets.map { ($0, index.outbox[$0]?.count ?? 0) }, uniquingKeysWith: +)
            )
        }
    }

    /// The bytes that were received and shipped in each of the last 60 minutes.
    public func movedBytes() async throws(StoreError) -> [MovedBytes] {
        try await ask(.movedBytes) { $0.movedBytes($1) }
    }

    /// Has workers hold so many sessions at a target from now on.
    public func hold(_ sessions: Int, at target: TargetID) async throws(StoreError) {
        try await ask(.sessions) { index, _ in index.sessions[target] = sessions }
    }

    /// How many sessions there are at each of these targets: as many as a test said.
    public func sessions(at targets: [TargetID]) async throws(StoreError) -> [TargetID: Int] {
        try await ask(.sessions) { index, _ in
            Dictionary(targets.map { ($0, index.sessions[$0] ?? 0) }, uniquingKeysWith: { $1 })
        }
    }

    /// What is known about targets.
    public func targets() async throws(StoreError) -> [TargetPresence] {
        try await ask(.targets) { $0.presentTargets($1) }
    }
}
