// The index in Redis: every change is one script, and one round trip.

public import Core
public import Redis

/// The port to the index, on Redis 7. Scripts change state and outbox together; `IndexAttachment` says whether this is
/// the index that staging belongs to.
public struct RedisUploadStore: Sendable {
    let redis: any RedisCommands
    let attachment: IndexAttachment
    let keys: UploadKeys
    let history: Duration

    /// A store on a client.
    ///
    /// - Parameters:
    ///   - attachment: the one that the client's `onConnect` tells of new connections.
    ///   - history: how long the record of an upload that has ended is kept.
    public init(_ redis: any RedisCommands, attachment: IndexAttachment, history: Duration = .seconds(2_592_000)) {
        self.redis = redis
        self.attachment = attachment
        self.history = history
        keys = UploadKeys(prefix: attachment.prefix)
    }

    /// The most entries that one script takes or makes.
    static let page = 500

    /// Runs a script that does not ask which index this is.
    func run(
        _ script: RedisScript,
        _ otherKeys: [String] = [],
        _ arguments: [RedisArgument] = []
    ) async throws(StoreError) -> RESPValue {
        do {
            return try await redis.run(script, keys: [keys.epoch] + otherKeys, arguments: arguments)
        } catch {
            let error = StoreError(error)
            if error == .rebuilding { attachment.lost(detach: false) }
            throw error
        }
    }

    /// Runs a script that refuses to work on another index than the attached one.
    func change(
        _ script: RedisScript,
        _ otherKeys: [String],
        _ arguments: [RedisArgument] = []
    ) async throws(StoreError) -> RESPValue {
        guard let epoch = attachment.epoch else { throw .rebuilding }
        return try await run(script, otherKeys, [RedisArgument(epoch)] + arguments)
    }

    func change(
        _ script: RedisScript,
        of id: UploadID,
        _ arguments: [RedisArgument] = []
    ) async throws(StoreError) -> ScriptReply {
        try ScriptReply(try await change(script, [keys.upload(id)], arguments))
    }
}

extension RedisUploadStore: UploadStore {
    // MARK: Clients

    /// Takes the path lock for a new upload, or says who has it.
    public func create(_ record: UploadRecord) async throws(StoreError) -> CreateResult {
        let fields = try UploadFields.created(record).flatMap { [RedisArgument($0.0), RedisArgument($0.1)] }
        let reply = try ScriptReply(try await change(UploadScripts.create, try creationKeys(record), fields))
        switch reply.word {
        case "created": return .created(try reply.upload(1))
        case "repeated": return .repeated(try reply.upload(1))
        case "held": return .held(by: try reply.upload(1))
        case "forbidden": return .forbidden
        default: throw .unreadable("the answer '\(reply.word)'")
        }
    }

    func creationKeys(_ record: UploadRecord) throws(StoreError) -> [String] {
        var names = [keys.upload(record.id), try keys.path(record.path, on: record.target)]
        if let key = record.idempotencyKey { names.append(try keys.repeatKey(key, of: record.owner)) }
        return names
    }

    /// Records a staged part and its ship job.
    public func receive(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal> {
        try Self.received(part, try await change(UploadScripts.receive, of: id, PartField.arguments(part)))
    }

    /// Records the only part of an upload, and that its end was asked for.
    public func submit(_ part: Part, of id: UploadID) async throws(StoreError) -> Change<ReceiveRefusal> {
        let arguments = PartField.arguments(part) + [RedisArgument(part.digest.hex)]
        return try Self.received(part, try await change(UploadScripts.submit, of: id, arguments))
    }

    private static func received(_ part: Part, _ reply: ScriptReply) throws(StoreError) -> Change<ReceiveRefusal> {
        try reply.change { reply, kind throws(StoreError) in
            switch kind {
            case "conflict":
                let (size, digest) = (try reply.number(2), try reply.digest(3))
                return .conflict(Part(offset: part.offset, size: size, digest: digest))
            case "state": return .state(try reply.state(2))
            default: return nil
            }
        }
    }

    /// Fixes size and digest, and moves on to `shipping`, or to `merging` with its job when all is shipped.
    public func complete(_ id: UploadID, size: Int64, digest: SHA256Digest?) async throws(StoreError) -> Change<
        CompleteRefusal
    > {
        let arguments = [RedisArgument(size), RedisArgument(digest?.hex ?? "")]
        let reply = try await change(UploadScripts.complete, of: id, arguments)
        return try reply.change { reply, kind throws(StoreError) in
            switch kind {
            case "partsMissing": return .partsMissing(try reply.upload(2))
            case "contradicts": return .contradicts(try reply.upload(2))
            case "state": return .state(try reply.state(2))
            default: return nil
            }
        }
    }

    /// Gives up, and records the clean job.
    public func cancel(
        _ id: UploadID,
        by: String,
        only condition: CancelCondition
    ) async throws(StoreError) -> Change<EndRefusal> {
        let arguments = [RedisArgument(by), RedisArgument(condition.rawValue)]
        let reply = try await change(UploadScripts.cancel, of: id, arguments)
        return try reply.change { reply, kind throws(StoreError) in
            switch kind {
            case "committing": return .committing
            case "unfit": return .unfit(try reply.upload(2))
            case "ended": return .ended(try reply.upload(2))
            default: return nil
            }
        }
    }

    /// Marks an abandoned upload, and records the clean job; refused unless its time has come.
    public func expire(_ id: UploadID) async throws(StoreError) -> Change<ExpireRefusal> {
        try await change(UploadScripts.expire, of: id).change { reply, kind throws(StoreError) in
            switch kind {
            case "notDue": return .notDue(try reply.upload(2))
            case "state": return .state(try reply.state(2))
            default: return nil
            }
        }
    }

    /// Sends a failed upload on its way again (see `UploadState.resumed`); with `overwrite`, a waiting
    /// `target-exists` may now replace.
    public func replay(
        _ id: UploadID,
        by: String,
        overwrite: Overwrite?,
        after delay: Duration
    ) async throws(StoreError) -> Change<WorkRefusal> {
        let arguments = [
            RedisArgument(by), RedisArgument(overwrite?.rawValue ?? ""), RedisArgument(max(delay.microseconds, 0)),
        ]
        return try await change(UploadScripts.replay, of: id, arguments).workChange()
    }
}
