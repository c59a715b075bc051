// An upload: what was asked for (the record), and what has become of it (the rest).

/// What a commit does when the final path is taken.
public enum Overwrite: String, Hashable, Sendable, CaseIterable {
    /// The file that is there stays; the upload fails with `target-exists`.
    case never
    /// The file that is there is replaced in one step.
    case replace
}

/// How an upload's parts are addressed; fixed at creation.
public enum UploadProtocol: String, Hashable, Sendable, CaseIterable {
    /// Numbered parts in any order.
    case native
    /// Ranges appended by compare-and-set on the length.
    case append
    /// One part that came with the request that created it. Whoever sends the file again sends all of it, so an earlier
    /// attempt that nobody can go on with gives way.
    case whole
}

/// What was asked for at creation; kept in staging, never changed but for what `complete` fixes.
public struct UploadRecord: Hashable, Sendable {
    /// The version of the record's form. A program that meets a newer one leaves it alone.
    public static let currentVersion = 1

    /// The upload's identifier.
    public var id: UploadID
    /// Whom it belongs to.
    public var owner: Owner
    /// Where it goes.
    public var target: TargetID
    /// The final file's path below the target's root.
    public var path: TargetPath
    /// How parts are addressed.
    public var uploadProtocol: UploadProtocol
    /// The file's size in bytes; nil until `complete` fixes it.
    public var size: Int64?
    /// The size of every part but the last, in bytes.
    public var partSize: Int64
    /// The SHA-256 of the whole file, where the client declared one.
    public var digest: SHA256Digest?
    /// What the commit does with a file that is there already.
    public var overwrite: Overwrite
    /// The client's own mark of the content, such as name, size and mtime; at most 512 bytes.
    public var fingerprint: String?
    /// The client's own notes; handed back as they came.
    public var metadata: [String: String]
    /// What the final file is to have beside its bytes.
    public var attributes: FinalAttributes
    /// The key under which a repeated creation finds this upload again.
    public var idempotencyKey: String?
    /// When it was created.
    public var createdAt: Timestamp
    /// When it is given up if nothing more arrives.
    public var expiresAt: Timestamp

    /// All that creation knows.
    public init(
        id: UploadID,
        owner: Owner,
        target: TargetID,
        path: TargetPath,
        uploadProtocol: UploadProtocol = .native,
        size: Int64?,
        partSize: Int64,
        digest: SHA256Digest? = nil,
        overwrite: Overwrite = .never,
        fingerprint: String? = nil,
        metadata: [String: String] = [:],
        attributes: FinalAttributes = FinalAttributes(),
        idempotencyKey: String? = nil,
        createdAt: Timestamp,
        expiresAt: Timestamp
    ) {
        self.id = id
        self.owner = owner
        self.target = target
        self.path = path
        self.uploadProtocol = uploadProtocol
        self.size = size
        self.partSize = partSize
        self.digest = digest
        self.overwrite = overwrite
        self.fingerprint = fingerprint
        self.metadata = metadata
        self.attributes = attributes
        self.idempotencyKey = idempotencyKey
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    /// The rule of part numbers for this upload.
    public var layout: PartLayout { PartLayout(partSize: partSize, size: size) }

    /// Whether this is the same request as the one that made another record, and not a key that was used twice.
    func isRepeat(of other: UploadRecord) -> Bool {
        target == other.target && path == other.path && overwrite == other.overwrite
            && (size == nil || other.size == nil || size == other.size)
            && (digest == nil || other.digest == nil || digest == other.digest)
    }

    /// Whether a new creation by the same owner means the same content, so that it may resume this upload: the same
    /// digest, or the same size and the same fingerprint. Without either it never does.
    public func isSameContent(as other: UploadRecord) -> Bool {
        if let digest, let otherDigest = other.digest { return digest == otherDigest && size == other.size }
        guard let fingerprint, let size else { return false }
        return fingerprint == other.fingerprint && size == other.size
    }

    /// The same for a creation whose fingerprint is a hash of the content (`CreateRequest.isHashed`), and which knows no
    /// size. A declared digest is only ever met by the same one: it is proven before the file appears, a fingerprint is
    /// not.
    public func hasSameHash(as other: UploadRecord) -> Bool {
        if let digest { return digest == other.digest }
        return fingerprint != nil && fingerprint == other.fingerprint
    }
}

/// Why an upload stands still, in the operator's words.
public struct Failure: Hashable, Sendable {
    /// A stable name, such as `target-exists`.
    public let reason: FailureReason
    /// What happened, for a person.
    public let detail: String

    /// A reason with what was seen.
    public init(_ reason: FailureReason, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }
}

extension Failure {
    /// A staged part was found damaged after `complete`.
    public static func damaged(_ part: Part) -> Failure {
        Failure(
            .partDamaged,
            "the staged part of \(part.size) bytes at offset \(part.offset) no longer has its digest; send it again"
        )
    }
}

/// The stable names of what can stop an upload.
public enum FailureReason: String, Hashable, Sendable, CaseIterable {
    /// The final path is taken and the upload must not replace it.
    case targetExists = "target-exists"
    /// The whole file does not have the digest that the client declared.
    case digestMismatch = "digest-mismatch"
    /// Staged bytes no longer have their digest; the part must be sent again.
    case partDamaged = "part-damaged"
    /// The target has other bytes than were sent, again and again.
    case targetCorrupts = "target-corrupts"
    /// The target has no room.
    case diskFull = "disk-full"
    /// The account may not store more on the target.
    case quotaExceeded = "quota-exceeded"
    /// The target's root is not there.
    case rootMissing = "root-missing"
    /// The target's root is a symbolic link, or not a directory.
    case rootRefused = "root-refused"
    /// The target refuses the directory or the file.
    case permissionDenied = "permission-denied"
    /// The target refuses the login.
    case loginRefused = "login-refused"
    /// The target shows another host key than the pinned ones.
    case hostKeyMismatch = "host-key-mismatch"
    /// The target's server and Ferry have no algorithm in common.
    case noCommonAlgorithm = "no-common-algorithm"
    /// The path leads outside the target's root, or through a symbolic link, or to what is not a file.
    case pathRefused = "path-refused"
    /// The target is not configured any more.
    case targetUnknown = "target-unknown"
    /// The target could not be reached, or broke off, as often as is allowed.
    case targetUnreachable = "target-unreachable"
    /// The target answered with an error of its own, as often as is allowed.
    case targetFailed = "target-failed"
    /// A rename may have happened, and the final path does not show this upload's file.
    case commitUnknown = "commit-unknown"
    /// Staging could not be read or written.
    case stagingFailed = "staging-failed"
    /// The job took its worker down again and again.
    case poison
    /// A fault in Ferry itself.
    case internalError = "internal-error"

    /// What is on the target is not to be trusted, or is gone: a replay builds it anew.
    public var beginsAnew: Bool { self == .targetCorrupts || self == .commitUnknown }
}

/// How a part or a file was proven to be on the target.
public enum Verification: String, Hashable, Sendable, Comparable, CaseIterable {
    /// By its size, the transport's MAC and the target's fsync.
    case size
    /// By reading it back.
    case readback
    /// By a SHA-256 taken on the target.
    case digest

    private var strength: Int {
        switch self {
        case .size: 0
        case .readback: 1
        case .digest: 2
        }
    }

    /// The weaker is less.
    public static func < (left: Verification, right: Verification) -> Bool { left.strength < right.strength }
}

/// What the final file will be, recorded before the rename so that whoever comes later can recognise it.
public struct FinalFile: Hashable, Sendable {
    /// Bytes.
    public let size: Int64
    /// The whole file's SHA-256, where one was declared.
    public let digest: SHA256Digest?
    /// Its modification time in seconds since 1970, as set on the part file.
    public let modified: Int64

    /// What was sealed.
    public init(size: Int64, digest: SHA256Digest?, modified: Int64) {
        self.size = size
        self.digest = digest
        self.modified = modified
    }
}

/// An upload as the index knows it.
public struct Upload: Hashable, Sendable {
    /// What was asked for.
    public var record: UploadRecord
    /// Where it stands.
    public var state: UploadState
    /// Whether the end was asked for.
    public var isComplete: Bool
    /// Bytes and number of the parts in staging.
    public var received: Tally
    /// Bytes and number of the parts on the target, in the current generation.
    public var shipped: Tally
    /// The current attempt to build it on the target; nil before the first.
    public var generation: Generation?
    /// How that attempt is built; nil before the first.
    public var strategy: MergeStrategy?
    /// How many part files were begun for it; one more after a rebuild, which cannot know. Only the first of all finds
    /// nothing of an older one beside it.
    public var preparations: Int
    /// How often it was begun anew because its part file was lost or wrong, since its creation or its last replay.
    public var restarts: Int
    /// The newest claim of its merge; nil before the first.
    public var fence: Fence?
    /// How often its merge was tried again.
    public var attempts: Int
    /// Why it failed, or what its last retry was for.
    public var failure: Failure?
    /// What is known of the failure, while the upload has failed.
    public var deadLetter: DeadLetter?
    /// The only part of a small file that came in one request, which no ship job carries: the merge takes it to the target
    /// itself, until a generation is begun for it as for any other upload.
    public var whole: Part?
    /// The weakest proof that any of its parts on the target has; nil before the first. Once the parts were put together
    /// there, of what was made of them.
    public var verification: Verification?
    /// What the final file will be, once the commit has begun.
    public var finalFile: FinalFile?
    /// The claim under which the commit was begun; nil before it.
    public var sealedBy: Fence?
    /// Whether the commit was one step; nil before it, false where the target could only do it in several.
    public var atomic: Bool?
    /// When it last changed.
    public var updatedAt: Timestamp
    /// When it ended; nil while it has not.
    public var endedAt: Timestamp?

    /// A newly created upload.
    public init(record: UploadRecord) {
        self.record = record
        state = .receiving
        isComplete = false
        received = Tally()
        shipped = Tally()
        preparations = 0
        restarts = 0
        attempts = 0
        updatedAt = record.createdAt
    }

    /// The upload's identifier.
    public var id: UploadID { record.id }

    /// The part file of the current attempt; nil before the first. Of those that claims write, the one that a commit was
    /// begun with, else that of the newest claim.
    public var partFile: PartFile? {
        guard let generation else { return nil }
        return PartFile(upload: id, generation: generation, path: record.path, strategy: strategy ?? .inPlace)
            .claimed(by: sealedBy ?? fence)
    }

    /// Whether a replay builds the file anew: what is on the target is not to be trusted, the way in which it was to be
    /// built may not work there, or a stream was given up with the commit that it was for.
    public var beginsAnew: Bool {
        guard let reason = failure?.reason, !reason.beginsAnew else { return failure != nil }
        return switch strategy ?? .inPlace {
        case .inPlace: false
        case .copy, .script, .relay: reason == .targetFailed && finalFile == nil
        case .stream: reason == .targetFailed && finalFile == nil || reason == .targetExists
        }
    }

    /// The part that the merge has to take to the target itself.
    public var carriedPart: Part? { generation == nil ? whole : nil }

    /// Whether every part in staging is on the target too. An empty file has none, and needs no generation for that.
    public var isAllShipped: Bool { shipped == received && (generation != nil || received.parts == 0) }

    /// Bytes of the final file that are merged: none before the commit, all after it.
    public var mergedBytes: Int64 { state == .done ? (record.size ?? 0) : 0 }

    /// Parts counted: bytes and number.
    public struct Tally: Hashable, Sendable {
        /// Their bytes.
        public var bytes: Int64 = 0
        /// Their number.
        public var parts: Int64 = 0

        /// Nothing yet, or what is given.
        public init(bytes: Int64 = 0, parts: Int64 = 0) {
            self.bytes = bytes
            self.parts = parts
        }
    }
}

/// A part as the index knows it.
public struct PartState: Hashable, Sendable {
    /// Its range and digest.
    public var part: Part
    /// The generation in which it last was shipped; shipped now only if that is the upload's current one.
    public var shippedIn: Generation?

    /// A part and where it was shipped.
    public init(part: Part, shippedIn: Generation? = nil) {
        self.part = part
        self.shippedIn = shippedIn
    }
}
