// What workers change in the index.

public import Core
internal import Redis

extension RedisUploadStore {
    /// A number for a new generation, greater than any before, and the upload with that preparation counted.
    public func nextGeneration(
        of id: UploadID
    ) async throws(StoreError) -> (generation: Generation, upload: Upload)? {
        let value = try await change(UploadScripts.generation, [keys.upload(id)])
        if value.isNull { return nil }
        // The number comes first, where other answers have a word.
        let reply = try ScriptReply(value)
        guard let number = UInt64(reply.word) else { throw .unreadable("the number of a generation") }
        return (Generation(number), try reply.upload(1))
    }

    /// Makes a prepared generation the current one, if `previous` still is; every part counts as unshipped then.
    public func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?,
        by strategy: MergeStrategy
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [
            RedisArgument(generation.number), RedisArgument(previous?.description ?? ""),
            RedisArgument(strategy.rawValue),
        ]
        return try await change(UploadScripts.start, of: id, arguments).workChange()
    }

    /// Records ship jobs of up to `limit` parts that are received and not shipped, from an offset on; answers where
    /// to go on, nil at the end.
    public func requeueShips(
        of id: UploadID,
        from offset: Int64,
        limit: Int
    ) async throws(StoreError) -> (entries: [OutboxEntry], next: Int64?) {
        let arguments = [RedisArgument(offset), RedisArgument(min(max(limit, 1), Self.page))]
        let reply = try await run(UploadScripts.requeue, [keys.upload(id)], arguments)
        guard let values = reply.array, values.count == 3, let target = values[0].string, let next = values[2].string
        else { throw .unreadable("the ship jobs of upload \(id)") }
        let entries = try TargetID(target).map { target throws(StoreError) in try values[1].entries(target: target) }
        return (entries ?? [], Int64(next))
    }

    /// Records that a part is on the target in a generation; the last one after `complete` records the merge job.
    public func shipped(
        offset: Int64,
        of id: UploadID,
        in generation: Generation,
        verification: Verification
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [
            RedisArgument(offset), RedisArgument(generation.number), RedisArgument(verification.rawValue),
        ]
        return try await change(UploadScripts.shipped, of: id, arguments).workChange()
    }

    /// Strikes a part whose staged bytes are damaged: missing again before `complete`, `failed` after it.
    public func strike(_ part: Part, of id: UploadID, by: String) async throws(StoreError) -> Change<WorkRefusal> {
        let failure = Failure.damaged(part)
        let arguments = PartField.arguments(part) + Self.arguments(failure) + [RedisArgument(by)]
        return try await change(UploadScripts.strike, of: id, arguments).workChange()
    }

    /// Claims a merge for a time, leaving a merge job in the outbox that is due after it.
    public func claim(
        _ id: UploadID,
        holder: String,
        for duration: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [RedisArgument(holder), RedisArgument(duration.microseconds)]
        return try await change(UploadScripts.claim, of: id, arguments).workChange()
    }

    /// Extends a claim; refused when it was lost.
    public func renew(
        _ id: UploadID,
        fence: Fence,
        for duration: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [RedisArgument(fence.number), RedisArgument(duration.microseconds)]
        return try await change(UploadScripts.renew, of: id, arguments).workChange()
    }

    /// Gives a claim up early, so that the next one need not wait; the safety job becomes due at once.
    public func release(_ id: UploadID, fence: Fence) async throws(StoreError) {
        try await shielded { () async throws(StoreError) in
            _ = try await change(UploadScripts.release, [keys.upload(id)], [RedisArgument(fence.number)])
        }
    }

    /// Records what the final file will be; from here nothing can be cancelled.
    public func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile,
        verification: Verification?
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments =
            [RedisArgument(fence.number), RedisArgument(generation.number)] + Self.arguments(finalFile) + [
                RedisArgument(verification?.rawValue ?? "")
            ]
        return try await change(UploadScripts.commit, of: id, arguments).workChange()
    }

    static func arguments(_ finalFile: FinalFile) -> [RedisArgument] {
        [RedisArgument(finalFile.size), RedisArgument(finalFile.digest?.hex ?? ""), RedisArgument(finalFile.modified)]
    }

    /// Records the commit, and the clean job.
    public func finish(_ id: UploadID, fence: Fence, atomic: Bool) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [RedisArgument(fence.number), RedisArgument(atomic ? 1 : 0)]
        return try await change(UploadScripts.finish, of: id, arguments).workChange()
    }

    /// Records that an upload cannot go on by itself.
    public func fail(_ request: FailRequest) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments =
            [RedisArgument(request.fence?.description ?? "")] + Self.arguments(request.failure) + [
                RedisArgument(request.job.description), RedisArgument(request.attempt), RedisArgument(request.worker),
            ]
        return try await change(UploadScripts.fail, of: request.job.upload, arguments).workChange()
    }

    private static func arguments(_ failure: Failure) -> [RedisArgument] {
        [RedisArgument(failure.reason.rawValue), RedisArgument(failure.detail)]
    }

    /// Counts a failed attempt and records the job again for later, or fails the upload when its attempts are spent.
    public func retry(_ request: RetryRequest) async throws(StoreError) -> RetryResult {
        let (kind, offset) =
            switch request.job {
            case .ship(_, let offset): ("ship", String(offset))
            case .merge: ("merge", "")
            case .clean: ("clean", "")
            }
        let arguments =
            [
                RedisArgument(kind), RedisArgument(offset), RedisArgument(request.attempt),
                RedisArgument(request.fence?.description ?? ""), RedisArgument(request.limit.map { String($0) } ?? ""),
                RedisArgument(request.delay.microseconds),
            ] + Self.arguments(request.failure) + [RedisArgument(request.worker)]
        let reply = try await change(UploadScripts.retry, of: request.job.upload, arguments)
        switch reply.word {
        case "scheduled": return .scheduled(try reply.upload(1), due: Timestamp(microseconds: try reply.number(2)))
        case "exhausted": return .exhausted(try reply.upload(1))
        case "stale": return .stale
        default: throw .unreadable("the answer '\(reply.word)'")
        }
    }

    /// Records that nothing is left of an ended upload: frees the path, keeps an expiring history record.
    public func cleaned(_ id: UploadID) async throws(StoreError) {
        let seconds = RedisArgument(max(history.milliseconds / 1_000, 1))
        _ = try await change(UploadScripts.cleaned, [keys.upload(id)], [seconds])
    }
}
