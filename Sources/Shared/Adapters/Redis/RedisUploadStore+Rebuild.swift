// Reading the index anew from staging.

public import Core
internal import Redis

extension RedisUploadStore {
    /// Compares the index's identity with staging's.
    public func condition(epoch: String) async throws(StoreError) -> IndexCondition {
        let found = try await IndexAttachment.identity(keys, redis)
        guard found.id == epoch else { return .foreign }
        guard let running = found.running, found.adopted == running else { return .restarted }
        attachment.attach(epoch)
        return .current
    }

    /// Declares the index to be staging's.
    public func adopt(epoch: String) async throws(StoreError) {
        _ = try await run(UploadScripts.adopt, [], [RedisArgument(epoch)])
        attachment.attach(epoch)
    }

    /// Brings one upload back from what staging says; what the index knows beyond that and that does not contradict
    /// it stays.
    public func restore(_ staged: StagedUpload) async throws(StoreError) -> Change<WorkRefusal> {
        let record = staged.record
        let ending = StagedEnding(staged)
        let fields = try UploadFields.created(record).flatMap { [RedisArgument($0.0), RedisArgument($0.1)] }
        let begun = try await run(
            UploadScripts.restoreBegin,
            try creationKeys(record),
            [ending.kind == nil ? 0 : 1, staged.mayBeOnTarget ? 1 : 0] + fields
        )
        let change = try ScriptReply(begun).workChange()
        guard case .applied = change else { return change }
        // Not complete before all parts are back: only the last step lets the endings count.
        for start in stride(from: 0, to: staged.parts.count, by: Self.page) {
            let page = staged.parts[start..<min(start + Self.page, staged.parts.count)]
            let reply = try await run(
                UploadScripts.restoreParts,
                [keys.upload(record.id)],
                page.flatMap(PartField.arguments)
            )
            if reply.isNull { break }
        }
        let reply = try await run(UploadScripts.restoreFinish, [keys.upload(record.id)], ending.arguments)
        return try ScriptReply(reply).workChange()
    }
}

/// What staging's markers say of an upload, taken together.
private struct StagedEnding {
    var kind: Marker.Kind?
    private var at: Timestamp?
    private var finalFile: FinalFile?
    private var complete: (size: Int64, digest: SHA256Digest?)?

    init(_ staged: StagedUpload) {
        for marker in staged.markers {
            switch marker {
            case .complete(let size, let digest, _):
                // It counts only if the parts cover the size.
                if Manifest(staged.parts).covers(size) { complete = (size, digest) }
            case .done(let finalFile, let time):
                self.finalFile = finalFile
                (kind, at) = (.done, time)
            case .cancelled(_, let time) where kind != .done: (kind, at) = (.cancelled, time)
            case .expired(let time) where kind == nil: (kind, at) = (.expired, time)
            case .cancelled, .expired: break
            }
        }
    }

    var arguments: [RedisArgument] {
        var arguments = [
            RedisArgument(kind?.rawValue ?? ""), RedisArgument(at.map { String($0.microseconds) } ?? ""),
            RedisArgument(complete == nil ? 0 : 1), RedisArgument(complete.map { String($0.size) } ?? ""),
            RedisArgument(complete?.digest?.hex ?? ""),
        ]
        if let finalFile { arguments += RedisUploadStore.arguments(finalFile) }
        return arguments
    }
}
