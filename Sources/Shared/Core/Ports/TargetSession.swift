// The port to a target: what a worker does there.

/// What went wrong on a target, in terms that decide what happens next.
public struct TargetError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds of trouble.
    public enum Kind: Hashable, Sendable, CaseIterable {
        /// No connection can be made.
        case unreachable
        /// The connection broke, or an answer did not come in time; what was asked may have been done.
        case interrupted
        /// The target's login was refused.
        case loginRefused
        /// The target shows a key that is not pinned.
        case hostKeyMismatch
        /// The target's server knows none of the algorithms that may be used.
        case noCommonAlgorithm
        /// The account may not do this.
        case permissionDenied
        /// The target has no room.
        case diskFull
        /// There is nothing at the path.
        case notFound
        /// The part file is gone, too short or wrong: a new generation is needed.
        case partFileLost
        /// The path leads outside the root, through a symbolic link, or to what is not a file.
        case pathRefused
        /// The target cannot do this at all.
        case unsupported
        /// The target answered with a failure that it did not explain.
        case failed
        /// The target broke the protocol.
        case protocolViolation
        /// Staging failed while its bytes were read.
        case staging
        /// The work was cancelled here.
        case cancelled
    }

    /// Which kind.
    public let kind: Kind
    /// What was being done, to what, and what the target said.
    public let detail: String

    /// Trouble of a kind.
    public init(_ kind: Kind, _ detail: String) {
        self.kind = kind
        self.detail = detail
    }

    /// The detail.
    public var description: String { detail }
}

/// Whether a target is left alone for a while, because connections to it failed again and again. Its jobs wait, and
/// spend no attempts.
public enum BreakerState: String, Hashable, Sendable, CaseIterable {
    /// It is connected to as needed.
    case closed
    /// No connection is tried for some time.
    case open
    /// One connection is tried; its outcome decides.
    case halfOpen = "half-open"
}

/// The hidden file on the target into which one generation's parts are written.
public struct PartFile: Hashable, Sendable {
    /// Of which upload.
    public let upload: UploadID
    /// In which attempt.
    public let generation: Generation
    /// The final file, in whose directory it lies.
    public let path: TargetPath

    /// The part file of an attempt.
    public init(upload: UploadID, generation: Generation, path: TargetPath) {
        self.upload = upload
        self.generation = generation
        self.path = path
    }

    /// `.ferry-<upload>.<generation>.part`
    public var name: String { ".ferry-\(upload).\(generation).part" }

    /// What the names of all part files of an upload begin with.
    public static func prefix(of upload: UploadID) -> String { ".ferry-\(upload)." }

    /// The generation in the name of a part file of this upload; nil for any other name.
    public static func generation(inName name: String, of upload: UploadID) -> Generation? {
        let prefix = prefix(of: upload)
        guard name.hasPrefix(prefix), name.hasSuffix(".part") else { return nil }
        return UInt64(name.dropFirst(prefix.count).dropLast(5)).map(Generation.init)
    }
}

/// What lies at a path, without following a symbolic link.
public struct FileFacts: Hashable, Sendable {
    /// What kind of thing.
    public enum Kind: Hashable, Sendable {
        /// A regular file.
        case file
        /// A directory.
        case directory
        /// A symbolic link.
        case symbolicLink
        /// Anything else.
        case other
    }

    /// What kind of thing it is.
    public var kind: Kind
    /// Its size in bytes.
    public var size: Int64
    /// Its modification time in seconds since 1970.
    public var modified: Int64

    /// All three.
    public init(kind: Kind, size: Int64, modified: Int64) {
        self.kind = kind
        self.size = size
        self.modified = modified
    }

    /// Whether this is the file that a commit recorded, as far as facts can tell.
    public func matches(_ finalFile: FinalFile) -> Bool {
        kind == .file && size == finalFile.size && modified == finalFile.modified
    }
}

/// What a rename did.
public enum RenameResult: Hashable, Sendable {
    /// The final file is there; whether it appeared in one step.
    case renamed(atomic: Bool)
    /// The final path is taken, and may not be replaced; nothing was changed.
    case taken
}

/// A part file that is complete, flushed and held open.
public protocol SealedPartFile: Sendable {
    /// What the final file will be.
    var facts: FileFacts { get }
    /// Whether the file's time says that nobody has written into it since `ship` was done with the last part; true
    /// where the target keeps no times.
    var isUntouched: Bool { get }
    /// Flushes once more: after the rename it carries the name to disk too on journalling file systems.
    func sync() async throws(TargetError)
    /// Frees it.
    func close() async
}

/// One configured target.
public protocol TargetSession: Sendable {
    /// What lies at a path; nil for nothing.
    func facts(of path: TargetPath) async throws(TargetError) -> FileFacts?
    /// What lies at a part file's name; nil for nothing.
    func facts(of file: PartFile) async throws(TargetError) -> FileFacts?
    /// Makes room for a generation: the directory exists below the root and no symbolic link leads out, the disk has
    /// space for `size` bytes, and an empty part file of this generation is there, made anew (SFTP `CREAT|EXCL`,
    /// draft-ietf-secsh-filexfer-02 §6.3). Touches no other part file.
    func prepare(_ file: PartFile, size: Int64?) async throws(TargetError)
    /// Writes a part to its offset, flushes it, and proves that it arrived, as well as the target allows. Never makes
    /// the part file: one that is gone is `partFileLost`. Leaves a time on the file by which `seal` sees whether it
    /// was written into since.
    func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification
    /// Proves once more that the part file has a part's bytes at its place, by reading them; other bytes, or no file,
    /// are `partFileLost`.
    func prove(_ part: Part, in file: PartFile) async throws(TargetError)
    /// Checks the part file's size and whether it is untouched, sets its time, flushes it and keeps it open.
    func seal(_ file: PartFile, size: Int64, modified: Int64) async throws(TargetError) -> any SealedPartFile
    /// Gives the part file its final name.
    func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult
    /// The SHA-256 of a final file, by whatever way the target allows; nil for none.
    func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest?
    /// Flushes a final file whose part file somebody else renamed.
    func sync(_ path: TargetPath) async throws(TargetError)
    /// Removes one part file; none is no error.
    func remove(_ file: PartFile) async throws(TargetError)
    /// Removes an upload's part files beside a final path, found by listing: those of generations before a given one,
    /// or all. Answers how many there were.
    func removePartFiles(
        of upload: UploadID,
        beside path: TargetPath,
        before generation: Generation?
    ) async throws(TargetError) -> Int
    /// Whether the target is left alone now.
    var breaker: BreakerState { get }
    /// Connects if need be, and says what the target can do.
    func inspect() async throws(TargetError) -> [String: String]
}
