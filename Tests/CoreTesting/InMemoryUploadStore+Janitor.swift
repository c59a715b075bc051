// The janitor's side of the index in memory, and short forms of changes for tests that do not care by whom.

public import Core

extension InMemoryUploadStore {
    /// Whether an index that is staging's has an upload.
    public func knows(_ id: UploadID) async throws(StoreError) -> Bool {
        try await change(.knows) { $0.find(id, $1) != nil }
    }

    /// Records a merge job of an upload that stands still and that nobody works on.
    public func revive(_ id: UploadID, idleFor idle: Duration) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(.revive) { $0.revive(id, idleFor: idle, $1) }
    }

    /// Notes that a worker begins a job; answers the others that began it and did not end it.
    public func tries(_ job: Job, by worker: String) async throws(StoreError) -> [String] {
        try await change(.tries) { index, _ in index.tries(job, by: worker) }
    }

    /// Notes that a job has been worked off.
    public func tried(_ job: Job) async throws(StoreError) {
        try await change(.tried) { index, _ in index.tried(job) }
    }

    /// Makes sure that an upload that the index does not have is never created.
    public func forbid(_ id: UploadID) async throws(StoreError) -> Bool {
        try await change(.forbid) { $0.forbid(id, $1) }
    }

    /// Ended uploads of a target whose directory must be looked at again.
    public func dueSweeps(of target: TargetID, limit: Int) async throws(StoreError) -> [UploadID] {
        try await change(.dueSweeps) { $0.dueSweeps(of: target, limit: limit, $1) }
    }

    /// Notes that such an upload was looked at.
    public func swept(_ id: UploadID, of target: TargetID) async throws(StoreError) {
        try await change(.swept) { $0.swept(id, of: target, $1) }
    }
}

extension UploadStore {
    /// Gives up, whatever was received.
    public func cancel(_ id: UploadID) async throws(StoreError) -> Change<EndRefusal> {
        try await cancel(id, by: "", only: .any)
    }

    /// Sends a failed upload on its way again, at once.
    public func replay(_ id: UploadID, overwrite: Overwrite?) async throws(StoreError) -> Change<WorkRefusal> {
        try await replay(id, by: "", overwrite: overwrite, after: .zero)
    }

    /// Makes a generation that is built in place the current one.
    public func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await startGeneration(generation, of: id, replacing: previous, by: .inPlace)
    }

    /// Begins a commit of which nothing more was proven than its parts.
    public func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile
    ) async throws(StoreError) -> Change<WorkRefusal> {
        try await beginCommit(
            id,
            fence: fence,
            generation: generation,
            finalFile: finalFile,
            verification: nil
        )
    }

    /// Strikes a damaged part.
    public func strike(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<WorkRefusal> {
        try await strike(part, of: id, by: "")
    }

    /// Stops an upload whose merge met an error.
    public func fail(_ id: UploadID, fence: Fence?, failure: Failure) async throws(StoreError) -> Change<WorkRefusal> {
        try await fail(FailRequest(job: .merge(id), attempt: 0, fence: fence, failure: failure, worker: ""))
    }
}

extension RetryRequest {
    /// A request of a worker without a name.
    public init(job: Job, attempt: Int, fence: Fence? = nil, limit: Int?, delay: Duration, failure: Failure) {
        self.init(
            job: job,
            attempt: attempt,
            fence: fence,
            limit: limit,
            delay: delay,
            failure: failure,
            worker: ""
        )
    }
}
