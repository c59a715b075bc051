// Creation: a path is taken for an upload, an interrupted upload is found again, or the client learns why not.

/// What a client asks for at creation.
public struct CreateRequest: Hashable, Sendable {
    /// The target's name.
    public var target: String
    /// The final file's path below the target's root.
    public var path: String
    /// The file's size in bytes; nil leaves it to `complete`.
    public var size: Int64?
    /// The size of every part but the last, in bytes; nil for the default.
    public var partSize: Int64?
    /// The SHA-256 of the whole file.
    public var digest: SHA256Digest?
    /// What the commit does with a file that is there already.
    public var overwrite: Overwrite
    /// The client's mark of the content.
    public var fingerprint: String?
    /// The client's notes.
    public var metadata: [String: String]
    /// What the final file is to have beside its bytes. An upload that is resumed keeps what its creation said.
    public var attributes: FinalAttributes
    /// The key of a creation that may be repeated.
    public var idempotencyKey: String?
    /// Whether the target is asked if the path is taken, before anything is sent.
    public var probes: Bool
    /// Whether the whole file comes with this request: then an own upload at the path of which nothing was
    /// acknowledged gives way, since nobody can go on with it.
    public var isWhole: Bool
    /// Whether the fingerprint is a hash of the content, so that it, or the digest, is enough to find an own upload
    /// again: for clients that never say a size.
    public var isHashed: Bool

    /// A request; only target and path are needed.
    public init(
        target: String,
        path: String,
        size: Int64? = nil,
        partSize: Int64? = nil,
        digest: SHA256Digest? = nil,
        overwrite: Overwrite = .never,
        fingerprint: String? = nil,
        metadata: [String: String] = [:],
        attributes: FinalAttributes = FinalAttributes(),
        idempotencyKey: String? = nil,
        probes: Bool = true,
        isWhole: Bool = false,
        isHashed: Bool = false
    ) {
        self.target = target
        self.path = path
        self.size = size
        self.partSize = partSize
        self.digest = digest
        self.overwrite = overwrite
        self.fingerprint = fingerprint
        self.metadata = metadata
        self.attributes = attributes
        self.idempotencyKey = idempotencyKey
        self.probes = probes
        self.isWhole = isWhole
        self.isHashed = isHashed
    }
}

/// What creation answers.
public enum Creation: Hashable, Sendable {
    /// A new upload.
    case created(Upload)
    /// The caller's own unfinished upload of the same content, or the one that this idempotency key made.
    case resumed(Upload)

    /// The upload.
    public var upload: Upload {
        switch self {
        case .created(let upload), .resumed(let upload): upload
        }
    }
}

extension UploadIntake {
    /// How long creation waits for a path whose last upload is just being cleaned away.
    static let cleaningPatience = Duration.seconds(3)

    /// Creates an upload, or finds the one to resume.
    public func create(_ request: CreateRequest, for principal: Principal) async throws(IntakeError) -> Creation {
        let record = try check(request, owner: principal.owner)
        let deadline = surroundings.now() + Self.cleaningPatience
        while true {
            if let holder = try await asking({ () throws(StoreError) in
                try await store.holder(of: record.path, on: record.target)
            }), !isRepeat(record, of: holder) {
                if surroundings.now() < deadline, try await banishes(holder, for: principal) { continue }
                if holder.state.isEnded, surroundings.now() < deadline {
                    do { try await surroundings.sleep(.milliseconds(50)) } catch {
                        throw .unavailable("the request was cancelled", retryAfter: .seconds(1))
                    }
                    continue
                }
                if request.isWhole, givesWay(holder, to: record), surroundings.now() < deadline {
                    try await giveUp(holder, for: principal)
                    continue
                }
                return try await answer(holder, to: record, isHashed: request.isHashed)
            }
            let isTaken =
                if request.probes, record.overwrite == .never {
                    await queue.probe(record.path, on: record.target) == true
                } else {
                    false
                }
            // What is there may be what this very request made, the first time it was sent; and what fills staging too.
            let refusal = isTaken ? .targetExists(record.path) : try await refusalForRoom(record)
            if let refusal, record.idempotencyKey == nil { throw refusal }
            switch try await enroll(record) {
            case .created(let upload) where upload.state.isEnded:
                // The index was read anew from staging meanwhile, and what was acknowledged came before this.
                throw .unavailable("the index was being read anew", retryAfter: .seconds(1))
            case .created(let upload):
                if let refusal {
                    try await takeBack(upload, for: principal)
                    throw refusal
                }
                events.publish(.uploadCreated, upload)
                return .created(upload)
            case .forbidden:
                throw .unavailable("the creation took too long", retryAfter: .seconds(1))
            case .repeated(let upload):
                try? await staging.discard(record.id)
                if surroundings.now() < deadline, try await banishes(upload, for: principal) { continue }
                guard record.isRepeat(of: upload.record) else {
                    throw .invalid(field: "Idempotency-Key", reason: "the key was used for another request")
                }
                return .resumed(upload)
            case .held:
                // Somebody was faster; look again at who.
                try? await staging.discard(record.id)
                guard surroundings.now() < deadline else { throw .uploadInProgress(retryAfter: .seconds(5)) }
            }
        }
    }

    /// Why a file of the declared size has no place in staging, where all of it must lie at once: it never can, or not
    /// now. Nothing is reserved: whether a part finds room is decided when it comes.
    func refusalForRoom(_ record: UploadRecord) async throws(IntakeError) -> IntakeError? {
        guard let size = record.size, size > 0 else { return nil }
        let space = try await staged { () throws(StagingError) in try await staging.space() }
        if size > space.whole { return .tooLarge(limit: space.whole) }
        return size > space.room ? IntakeError(StagingError.full) : nil
    }

    /// Whether an earlier attempt of the same owner to send the whole file in one request makes room for this one: its
    /// server died before anything was acknowledged, or it waits as a dead letter while all its bytes come again.
    private func givesWay(_ holder: Upload, to record: UploadRecord) -> Bool {
        guard holder.record.owner == record.owner, holder.record.uploadProtocol == .whole else { return false }
        if holder.state == .failed { return record.overwrite == .replace || holder.failure?.reason != .targetExists }
        return holder.state == .receiving && holder.received.parts == 0 && !record.isSameContent(as: holder.record)
    }

    /// Ends an upload that the index alone has: its creation was refused and taken out of staging, just after a rebuild
    /// had read it there. Nobody was told of it. Answers whether it was one.
    private func banishes(_ upload: Upload, for principal: Principal) async throws(IntakeError) -> Bool {
        guard upload.state == .receiving, upload.received.parts == 0, !upload.isComplete,
            try await staged({ () throws(StagingError) in try await staging.read(upload.id) }) == nil
        else { return false }
        try await takeBack(upload, for: principal)
        return true
    }

    private func giveUp(_ holder: Upload, for principal: Principal) async throws(IntakeError) {
        if holder.state != .failed {
            try await takeBack(holder, for: principal)
            return
        }
        do { _ = try await cancel(holder.id, only: .failed, for: principal) } catch {
            // It went on meanwhile: looked at again.
            guard case .wrongState = error else { throw error }
        }
    }

    private func isRepeat(_ record: UploadRecord, of holder: Upload) -> Bool {
        record.idempotencyKey != nil && record.idempotencyKey == holder.record.idempotencyKey
            && record.owner == holder.record.owner
    }

    /// What the owner of a new creation is told about the upload that holds its path.
    private func answer(
        _ holder: Upload,
        to record: UploadRecord,
        isHashed: Bool
    ) async throws(IntakeError) -> Creation {
        guard holder.record.owner == record.owner else { throw .uploadInProgress(retryAfter: .seconds(30)) }
        if holder.state == .done, record.overwrite == .never { throw .targetExists(record.path) }
        if holder.state.isEnded { throw .uploadInProgress(retryAfter: .seconds(2)) }
        let isSame = isHashed ? record.hasSameHash(as: holder.record) : record.isSameContent(as: holder.record)
        guard isSame else { throw .differentContent(holder.id) }
        guard holder.state == .failed, holder.failure?.reason == .targetExists, record.overwrite == .replace else {
            return .resumed(holder)
        }
        let change = try await asking { () throws(StoreError) in
            try await store.replay(holder.id, by: record.owner.description, overwrite: .replace, after: .zero)
        }
        guard case .applied(let upload, let entries) = change else { return .resumed(holder) }
        follow(upload, entries, .jobReplayed)
        return .resumed(upload)
    }

    func check(_ request: CreateRequest, owner: Owner) throws(IntakeError) -> UploadRecord {
        guard let target = TargetID(request.target), targets.contains(target) else {
            throw .targetUnknown(request.target)
        }
        let path: TargetPath
        do { path = try TargetPath(request.path) } catch { throw .invalid(field: "path", reason: error.description) }
        if let size = request.size {
            guard size >= 0 else { throw .invalid(field: "size", reason: "the size is negative") }
            guard size <= limits.maximumSize else { throw .tooLarge(limit: limits.maximumSize) }
        }
        let partSize =
            request.partSize ?? PartLayout.defaultPartSize(for: request.size, configured: limits.partSize)
        guard PartLayout.partSizes.contains(partSize) else {
            throw .invalid(field: "partSize", reason: "a part has 4 KiB to 1 GiB")
        }
        let layout = PartLayout(partSize: partSize, size: request.size)
        guard layout.count ?? 0 <= PartLayout.maximumParts else {
            throw .invalid(field: "partSize", reason: "the file would have over 50,000 parts")
        }
        if let fingerprint = request.fingerprint, !(1...512).contains(fingerprint.utf8.count) {
            throw .invalid(field: "fingerprint", reason: "a fingerprint has 1 to 512 bytes")
        }
        if let key = request.idempotencyKey, !(1...256).contains(key.utf8.count) {
            throw .invalid(field: "Idempotency-Key", reason: "a key has 1 to 256 bytes")
        }
        let metadataBytes = request.metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        guard request.metadata.count <= 64, metadataBytes <= 8_192 else {
            throw .invalid(field: "metadata", reason: "metadata has at most 64 entries and 8 KiB")
        }
        if let time = request.attributes.modifiedAt, !FinalAttributes.times.contains(time) {
            throw .invalid(field: "modifiedAt", reason: "a target can be told times from 1970-01-01 to 2106-02-07 only")
        }
        let now = surroundings.now()
        return UploadRecord(
            id: surroundings.newUploadID(),
            owner: owner,
            target: target,
            path: path,
            uploadProtocol: request.isWhole ? .whole : .native,
            size: request.size,
            partSize: partSize,
            digest: request.digest,
            overwrite: request.overwrite,
            fingerprint: request.fingerprint,
            metadata: request.metadata,
            attributes: request.attributes,
            idempotencyKey: request.idempotencyKey,
            createdAt: now,
            expiresAt: now + limits.expireAfter
        )
    }
}
