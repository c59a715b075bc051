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
        /// The account may not store more on the target, though there is room.
        case quotaExceeded
        /// The root is not there: not mounted, perhaps.
        case rootMissing
        /// The root is a symbolic link, or not a directory.
        case rootRefused
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
    /// After the rename: sets the attributes that the file could not have before, as far as the target lets, and flushes
    /// once more, which carries the name to disk too on journalling file systems.
    func settle() async throws(TargetError)
    /// Gives the file its final name and settles it, in one round trip; nil where that takes more: then nothing has changed.
    func renameAndSettle(overwrite: Overwrite) async throws(TargetError) -> SettledRename?
    /// Frees it.
    func close() async
}

extension SealedPartFile {
    /// In two steps, `TargetSession.rename` and `settle`.
    public func renameAndSettle(overwrite: Overwrite) async throws(TargetError) -> SettledRename? { nil }
}

/// What became of a rename and of what follows it.
public struct SettledRename: Hashable, Sendable {
    /// What the rename did.
    public let result: RenameResult
    /// Whether `settle` is done as well.
    public let isSettled: Bool

    /// Both.
    public init(_ result: RenameResult, isSettled: Bool) {
        self.result = result
        self.isSettled = isSettled
    }
}

/// A part file that was built in one go.
public struct BuiltPartFile: Sendable {
    /// The file, ready for its commit.
    public let sealed: any SealedPartFile
    /// How its bytes were proven.
    public let verification: Verification

    /// A file with its proof.
    public init(sealed: any SealedPartFile, verification: Verification) {
        self.sealed = sealed
        self.verification = verification
    }
}

/// One configured target.
public protocol TargetSession: Sendable {
    /// What lies at a path; nil for nothing.
    func facts(of path: TargetPath) async throws(TargetError) -> FileFacts?
    /// What lies at a part file's name; nil for nothing.
    func facts(of file: PartFile) async throws(TargetError) -> FileFacts?
    /// How a generation that begins now is to be built.
    func strategy() async throws(TargetError) -> MergeStrategy
    /// Makes room for a generation: the directory exists below the root and no symbolic link leads out, the disk has
    /// space for `size` bytes, and an empty part file of this generation is there, made anew (SFTP `CREAT|EXCL`,
    /// draft-ietf-secsh-filexfer-02 §6.3), with a directory for parts that lie apart; of one that is streamed, nothing.
    /// Touches no other part file.
    func prepare(_ file: PartFile, size: Int64?) async throws(TargetError)
    /// Puts a part where its file's strategy wants it (its place in the part file, or a file of its own), flushes it, and
    /// proves that it arrived, as well as the target allows. Never makes the part file, or the directory of parts: one
    /// that is gone is `partFileLost`. Leaves a time on the part file by which `seal` sees whether it was written into
    /// since. Where the bytes travel in the merge, it does nothing, and proves no more than `size`.
    func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification
    /// Makes the part file out of the parts, which cover it in ascending order, and proves each in its place, as well as
    /// the target allows; answers the weakest proof. Where parts are shipped to their places there is nothing to do, and
    /// no proof: nil. It may be broken off at any point, done again, and done by two at once. Wrong bytes, or a part that
    /// is gone, are `partFileLost`.
    ///
    /// - Parameter open: opens a staged part, where the bytes travel in the merge.
    func assemble(
        _ file: PartFile,
        of parts: [Part],
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) -> Verification?
    /// Frees what `assemble` holds open of a file that will not be sealed.
    func giveUp(_ file: PartFile) async
    /// Proves once more that the part file has a part's bytes at its place, by reading them; other bytes, or no file,
    /// are `partFileLost`.
    func prove(_ part: Part, in file: PartFile) async throws(TargetError)
    /// Checks the part file's size and whether it is untouched, sets its time, flushes it and keeps it open. Sets what it
    /// is to have, too, but for the time that a client asked for, and for a mode without writing: whoever comes later
    /// knows the file by its time, and may open it again. What the target refuses of that fails nothing.
    func seal(
        _ file: PartFile,
        size: Int64,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> any SealedPartFile
    /// Makes a part file out of the only part of a small file and seals it: what `prepare`, `ship` and `seal` do, in as few
    /// round trips as the target allows. For generations that are built in place. What lies at the final path is never
    /// mistaken for it: then its time is one second less.
    ///
    /// - Parameter modified: the part file's time, in seconds since 1970.
    func build(
        _ file: PartFile,
        of part: Part,
        _ bytes: any ByteChunk,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> BuiltPartFile
    /// Gives the part file its final name.
    func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult
    /// Removes what a replacement in several steps left beside the final file, once that is there; whether there was
    /// anything.
    func removeBackup(of file: PartFile) async throws(TargetError) -> Bool
    /// The SHA-256 of a final file, by whatever way the target allows; nil for none.
    func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest?
    /// Does what `SealedPartFile.settle` does for a final file that is not held open.
    ///
    /// - Parameter found: the facts by which it is known to be this upload's. If something else is there by now, such as a
    ///   link, its attributes stay.
    func settle(_ file: PartFile, found: FileFacts, attributes: FinalAttributes) async throws(TargetError)
    /// Removes one part file, and its directory of parts; none is no error.
    func remove(_ file: PartFile) async throws(TargetError)
    /// Removes an upload's part files and directories of parts beside a final path, found by listing: those of
    /// generations before a given one, or all. Answers how many there were.
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
