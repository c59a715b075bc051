// What somebody must look after from time to time: uploads that stand still, jobs that kill, leftovers on targets.

public import Core
internal import Redis

extension RedisUploadStore {
    /// Whether an index that is staging's has an upload.
    public func knows(_ id: UploadID) async throws(StoreError) -> Bool {
        let reply = try await change(UploadScripts.knows, [keys.upload(id)])
        guard let count = reply.integer else { throw .unreadable("whether upload \(id) is known") }
        return count == 1
    }

    /// How long an upload is kept from being created: longer than any request lasts.
    private static let forbiddance = Duration.seconds(3_600)

    /// Makes sure that an upload that the index does not have is never created.
    public func forbid(_ id: UploadID) async throws(StoreError) -> Bool {
        let lifetime = RedisArgument(Self.forbiddance.components.seconds)
        let reply = try await change(UploadScripts.forbid, [keys.upload(id)], [lifetime])
        guard let count = reply.integer else { throw .unreadable("whether upload \(id) is known") }
        return count == 1
    }

    /// Records a merge job of an upload that stands still and that nobody works on.
    public func revive(_ id: UploadID, idleFor idle: Duration) async throws(StoreError) -> Change<WorkRefusal> {
        try await change(UploadScripts.revive, of: id, [RedisArgument(idle.microseconds)]).workChange()
    }

    /// Notes that a worker begins a job; answers the others that began it and did not end it.
    public func tries(_ job: Job, by worker: String) async throws(StoreError) -> [String] {
        let arguments = [RedisArgument(job.description), RedisArgument(worker)]
        let reply = try await change(UploadScripts.tries, [keys.upload(job.upload)], arguments)
        guard let values = reply.array else { throw .unreadable("the tries of \(job)") }
        return values.compactMap(\.string)
    }

    /// Notes that a job has been worked off.
    public func tried(_ job: Job) async throws(StoreError) {
        _ = try await change(UploadScripts.tried, [keys.upload(job.upload)], [RedisArgument(job.description)])
    }

    /// Ended uploads of a target whose directory must be looked at again.
    public func dueSweeps(of target: TargetID, limit: Int) async throws(StoreError) -> [UploadID] {
        let arguments = [RedisArgument(min(max(limit, 1), Self.page))]
        let reply = try await change(UploadScripts.sweeps, [keys.sweeps(target)], arguments)
        guard let values = reply.array else { throw .unreadable("the sweeps of \(target)") }
        return values.compactMap { $0.string.flatMap { UploadID($0) } }
    }

    /// Notes that such an upload was looked at.
    public func swept(_ id: UploadID, of target: TargetID) async throws(StoreError) {
        _ = try await change(UploadScripts.swept, [keys.upload(id), keys.sweeps(target)])
    }
}
