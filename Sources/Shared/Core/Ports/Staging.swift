// The port to staging: the record of everything that was acknowledged.

/// Why staging did not do what was asked.
public enum StagingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No room: neither free space nor the configured bound allows so many bytes.
    case full
    /// There is no such upload, or no such part.
    case notFound
    /// Fewer or more bytes came than were announced.
    case wrongLength(expected: Int64, received: Int64)
    /// A record or name that this program cannot read: damaged, or of a newer version.
    case unreadable(String)
    /// The disk or file system failed: what was being done, to what, and what it said.
    case failed(String)

    /// In an operator's words.
    public var description: String {
        switch self {
        case .full: "staging has no room"
        case .notFound: "staging has no such upload or part"
        case .wrongLength(let expected, let received): "\(received) bytes came instead of \(expected)"
        case .unreadable(let what): "staging holds something unreadable: \(what)"
        case .failed(let what): "staging failed: \(what)"
        }
    }
}

/// An ending, kept as a small fsynced file.
public enum Marker: Hashable, Sendable {
    /// The client asked for the end, with the final size and the digest if one is known. It counts only if the parts
    /// cover the size.
    case complete(size: Int64, digest: SHA256Digest?, at: Timestamp)
    /// It was given up, and by whom.
    case cancelled(by: String, at: Timestamp)
    /// It was abandoned.
    case expired(at: Timestamp)
    /// The final file is there.
    case done(FinalFile, at: Timestamp)

    /// The marker's kind, which is its file's name.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// See `Marker.complete`.
        case complete
        /// See `Marker.cancelled`.
        case cancelled
        /// See `Marker.expired`.
        case expired
        /// See `Marker.done`.
        case done
    }

    /// Which ending it is.
    public var kind: Kind {
        switch self {
        case .complete: .complete
        case .cancelled: .cancelled
        case .expired: .expired
        case .done: .done
        }
    }
}

/// Bytes in memory, whatever holds them.
public protocol ByteChunk: Sendable {
    /// How many.
    var count: Int { get }
    /// Lends them for the duration of a call.
    func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result
}

/// A part on its way into staging. Whoever begins one must end it by `publish` or `discard`.
public protocol PartWriter: Sendable {
    /// Takes the next bytes; hashes them on the way. More than were announced throw `wrongLength`. What kept the bytes
    /// before them from the disk is thrown here, too.
    func write(_ chunk: some ByteChunk) async throws(StagingError)
    /// Checks the length and answers the digest of all that was taken. Nothing is published yet, and the last bytes may
    /// still be on their way to the disk.
    func seal() async throws(StagingError) -> Part
    /// Makes the sealed part durable under its name. Answers what the offset holds then: this part, the same bytes
    /// from before, or other content that came first. Throws what kept the last bytes from the disk.
    func publish() async throws(StagingError) -> PublishResult
    /// Removes every trace. Harmless after `publish`.
    func discard() async
}

/// What an offset holds after a part was published.
public enum PublishResult: Hashable, Sendable {
    /// This part; it is durable now.
    case stored(Part)
    /// The same bytes were there; they are durable.
    case alreadyStored(Part)
    /// Other content came first; it stays.
    case conflict(Part)
}

/// What became of bytes that came whole.
public enum StoreResult: Hashable, Sendable {
    /// See there.
    case published(PublishResult)
    /// They are not what was declared, and nothing of them stays; this is what they are.
    case differs(Part)
}

/// A staged part, open for reading. Whoever opens one must close it.
public protocol PartReader: Sendable {
    /// The part that is read.
    var part: Part { get }
    /// Reads up to `count` bytes at a position within the part; fewer only at its end.
    func read(at position: Int64, count: Int) async throws(StagingError) -> any ByteChunk
    /// Reads all of it and compares its digest: false when the disk no longer has what was acknowledged.
    func isIntact() async throws(StagingError) -> Bool
    /// Frees it.
    func close() async
}

/// How much room staging has.
public struct StagingSpace: Hashable, Sendable {
    /// Bytes that parts occupy.
    public var used: Int64
    /// The configured bound in bytes.
    public var limit: Int64
    /// Bytes that the file system has free.
    public var free: Int64
    /// Bytes that parts could occupy on the file system if nothing else were on it.
    public var capacity: Int64

    /// All four, in bytes.
    public init(used: Int64, limit: Int64, free: Int64, capacity: Int64) {
        self.used = used
        self.limit = limit
        self.free = free
        self.capacity = capacity
    }

    /// The most that can be stored now, roughly: parts on their way have reserved some of it, and other processes are
    /// seen late.
    public var room: Int64 { max(0, min(limit - used, free)) }
    /// The most that could be stored if staging were empty.
    public var whole: Int64 { min(limit, capacity) }
}

/// The directory of acknowledged parts, shared by API and workers. Every method that makes something returns only
/// after it is durable (where fsync is configured).
public protocol Staging: Sendable {
    /// The identity that an index must have to be this staging's; made on first use.
    func epoch() async throws(StagingError) -> String
    /// Makes an upload's directory with its record.
    func create(_ record: UploadRecord) async throws(StagingError)
    /// Begins a part. Checks the room first; never makes an upload's directory.
    func beginPart(of id: UploadID, offset: Int64, size: Int64) async throws(StagingError) -> any PartWriter
    /// Makes the bytes of a small part durable: what `beginPart` and a writer do, at once.
    ///
    /// - Parameter declared: the digest that they must have, where one is known.
    func store(
        _ bytes: some ByteChunk,
        at offset: Int64,
        of id: UploadID,
        declared: SHA256Digest?
    ) async throws(StagingError) -> StoreResult
    /// Makes the bytes of a small file durable as the only part of its upload, and after them that its end was asked for
    /// (`Marker.complete`): what `store` and `mark` do, at once.
    ///
    /// - Parameter declared: the digest that they must have, where one is known.
    func fill(
        _ id: UploadID,
        with bytes: some ByteChunk,
        declared: SHA256Digest?,
        at time: Timestamp
    ) async throws(StagingError) -> StoreResult
    /// All bytes of a small part; nil where staging no longer has what was acknowledged.
    func bytes(of part: Part, of id: UploadID) async throws(StagingError) -> (any ByteChunk)?
    /// Opens a part for reading.
    func openPart(_ part: Part, of id: UploadID) async throws(StagingError) -> any PartReader
    /// The SHA-256 of the bytes of these parts, one after the other.
    func digest(of parts: [Part], of id: UploadID) async throws(StagingError) -> SHA256Digest
    /// Removes a damaged part, if it is still this one; that there was one, or was said to be, stays known.
    func strike(_ part: Part, of id: UploadID) async throws(StagingError)
    /// Publishes an ending. The first of a kind stays: answers the one that is there.
    func mark(_ marker: Marker, on id: UploadID) async throws(StagingError) -> Marker
    /// Takes an ending back that nobody was told of.
    func unmark(_ kind: Marker.Kind, on id: UploadID) async throws(StagingError)
    /// Everything that staging says about an upload; nil where it has none.
    func read(_ id: UploadID) async throws(StagingError) -> StagedUpload?
    /// Moves an upload out of sight in one step, then deletes it; of one that was marked as done, cancelled or expired,
    /// record and endings are kept until they are forgotten. Nothing to delete is no error.
    func discard(_ id: UploadID) async throws(StagingError)
    /// The discarded uploads whose end is kept.
    func discarded() async throws(StagingError) -> [UploadID]
    /// What is kept of a discarded upload; nil where that is nothing.
    func readDiscarded(_ id: UploadID) async throws(StagingError) -> StagedUpload?
    /// Deletes what is kept of uploads that were discarded before a time; answers of how many.
    func forget(discardedBefore time: Timestamp) async throws(StagingError) -> Int
    /// The uploads that staging has, in pages ordered by identifier; only those touched since a time, if given.
    func uploads(
        after last: UploadID?,
        touchedSince: Timestamp?,
        limit: Int
    ) async throws(StagingError) -> [UploadID]
    /// Removes what crashed processes left: unfinished parts and half-deleted uploads, older than an age.
    func sweep(olderThan age: Duration) async throws(StagingError) -> Int
    /// Removes uploads whose creation ended before they had a record, older than an age; one that is only slow fails.
    func sweepUnborn(olderThan age: Duration) async throws(StagingError) -> Int
    /// How much room there is. What others freed or used is seen late, but is seen even if only this is asked.
    func space() async throws(StagingError) -> StagingSpace
}
