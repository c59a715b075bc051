// Staging on a local disk: the port, with every blocking call on threads of its own.

public import Core
internal import Glibc

/// The directory of acknowledged parts.
///
/// Layout: `epoch`; `<id[0..<2]>/<id>/upload.json`, `…/parts/<offset, 16 hex digits>/<size>-<sha256>`, the markers
/// beside them, unfinished files in `…/tmp`; what is on its way out, and the ends of discarded uploads, in `trash`.
/// Several processes may use it at once. Names of what is being built begin with a dot.
public final class DiskStaging: Staging {
    /// How a staging directory is used.
    public struct Options: Hashable, Sendable {
        /// Whether everything is made durable before it is answered. Without it a power cut loses parts.
        public var fsync = true
        /// The most bytes that parts may occupy, by all processes together.
        public var maximumBytes = Int64.max
        /// Bytes of the file system that parts leave free; nil for 64 MiB or 1 % of it, whichever is less.
        public var reserve: Int64?
        /// Threads for blocking calls.
        public var threads = 16
        /// Bytes of memory that all writers together buffer, roughly; each takes 64 to 256 KiB of it.
        public var bufferBudget = 8 << 20
        /// How often the bytes in use are counted on disk, since other processes add and remove some too.
        public var recount = Duration.seconds(60)

        /// The defaults.
        public init() {}
    }

    private let directory: StagingDirectory
    private let pool: BlockingPool

    private init(_ directory: StagingDirectory, _ pool: BlockingPool) {
        self.directory = directory
        self.pool = pool
    }

    /// Opens a staging directory, making its last component if need be, and counts what is in it.
    public static func open(_ path: String, options: Options = Options()) async throws(StagingError) -> DiskStaging {
        let pool = BlockingPool(threads: options.threads)
        let directory = try await pool.run { () throws(StagingError) in
            let directory = try StagingDirectory(path, options)
            if directory.ledger.beginWalk(every: options.recount) { directory.walk() }
            return directory
        }
        return DiskStaging(directory, pool)
    }

    /// Finishes what was begun and ends the threads. Parts that are still being written fail.
    public func close() async { await pool.close() }

    /// The identity that an index must have to be this staging's.
    public func epoch() async throws(StagingError) -> String {
        try await run { directory throws(StagingError) in try directory.epoch() }
    }

    /// Makes an upload's directory with its record, in one step.
    public func create(_ record: UploadRecord) async throws(StagingError) {
        try await run { directory throws(StagingError) in try directory.create(record) }
    }

    /// Begins a part, if there is room.
    public func beginPart(of id: UploadID, offset: Int64, size: Int64) async throws(StagingError) -> any PartWriter {
        recountIfDue()
        let part = try await run { directory throws(StagingError) in
            try directory.beginPart(of: id, offset: offset, size: size)
        }
        return DiskPartWriter(part, pool: pool)
    }

    /// Makes the bytes of a small part durable.
    public func store(
        _ bytes: some ByteChunk,
        at offset: Int64,
        of id: UploadID,
        declared: SHA256Digest?
    ) async throws(StagingError) -> StoreResult {
        recountIfDue()
        return try await run { directory throws(StagingError) in
            try bytes.withUnsafeBytes { bytes throws(StagingError) in
                try directory.store(bytes, at: offset, of: id, declared: declared)
            }
        }
    }

    /// Makes the bytes of a small file durable as its upload's only part, and its ending after them.
    public func fill(
        _ id: UploadID,
        with bytes: some ByteChunk,
        declared: SHA256Digest?,
        at time: Timestamp
    ) async throws(StagingError) -> StoreResult {
        recountIfDue()
        return try await run { directory throws(StagingError) in
            try bytes.withUnsafeBytes { bytes throws(StagingError) in
                try directory.fill(id, with: bytes, declared: declared, at: time)
            }
        }
    }

    /// All bytes of a small part, where they still have its digest.
    public func bytes(of part: Part, of id: UploadID) async throws(StagingError) -> (any ByteChunk)? {
        try await run { directory throws(StagingError) in try directory.bytes(of: part, of: id) }
    }

    /// Opens a part for reading.
    public func openPart(_ part: Part, of id: UploadID) async throws(StagingError) -> any PartReader {
        let opened = try await run { directory throws(StagingError) in try directory.openPart(part, of: id) }
        return DiskPartReader(part, file: opened.file, path: opened.path, pool: pool)
    }

    /// The SHA-256 of the bytes of these parts, one after the other; one that is too short throws `wrongLength`.
    public func digest(of parts: [Part], of id: UploadID) async throws(StagingError) -> SHA256Digest {
        let hash = try PartHash(largest: parts.map(\.size).max() ?? 0)
        for part in parts {
            let opened = try await run { directory throws(StagingError) in try directory.openPart(part, of: id) }
            let reader = DiskPartReader(part, file: opened.file, path: opened.path, pool: pool)
            try await reader.feed(hash)
        }
        return try await run { _ throws(StagingError) in try hash.finish() }
    }

    /// Removes a damaged part; one that is intact stays.
    public func strike(_ part: Part, of id: UploadID) async throws(StagingError) {
        try await run { directory throws(StagingError) in try directory.strike(part, of: id) }
    }

    /// Publishes an ending; the first of a kind stays.
    public func mark(_ marker: Marker, on id: UploadID) async throws(StagingError) -> Marker {
        try await run { directory throws(StagingError) in try directory.mark(marker, on: id) }
    }

    /// Takes an ending back.
    public func unmark(_ kind: Marker.Kind, on id: UploadID) async throws(StagingError) {
        try await run { directory throws(StagingError) in try directory.unmark(kind, on: id) }
    }

    /// Everything that staging says about an upload.
    public func read(_ id: UploadID) async throws(StagingError) -> StagedUpload? {
        try await run { directory throws(StagingError) in try directory.read(id) }
    }

    /// Moves an upload out of sight, then deletes it but for its end.
    public func discard(_ id: UploadID) async throws(StagingError) {
        let left = try await run { directory throws(StagingError) in
            var left: [EntryName] = []
            // Most are small enough to go at once.
            for name in try directory.moveToTrash(id) where try !directory.deleteFromTrash(name, butItsEnd: true) {
                left.append(name)
            }
            return left
        }
        for name in left { try await delete(name, butItsEnd: true) }
    }

    /// The discarded uploads whose end is kept.
    public func discarded() async throws(StagingError) -> [UploadID] {
        try await run { directory throws(StagingError) in try directory.discarded() }
    }

    /// What is kept of a discarded upload.
    public func readDiscarded(_ id: UploadID) async throws(StagingError) -> StagedUpload? {
        try await run { directory throws(StagingError) in try directory.readDiscarded(id) }
    }

    /// Deletes what was moved out of sight before a time.
    public func forget(discardedBefore time: Timestamp) async throws(StagingError) -> Int {
        try await emptyTrash(before: time, butEnds: false)
    }

    private func emptyTrash(before time: Timestamp, butEnds: Bool) async throws(StagingError) -> Int {
        let forgotten = try await run { directory throws(StagingError) in
            try directory.trash(before: time, butEnds: butEnds)
        }
        for name in forgotten { try await delete(name) }
        return forgotten.count
    }

    /// A page of the uploads that staging has. Times of files are a little coarse: `touchedSince` may include uploads
    /// touched up to a second earlier.
    public func uploads(
        after last: UploadID?,
        touchedSince: Timestamp?,
        limit: Int
    ) async throws(StagingError) -> [UploadID] {
        try await run { directory throws(StagingError) in
            try directory.uploads(after: last, touchedSince: touchedSince, limit: limit)
        }
    }

    /// Removes what crashed processes left, older than an age; answers how many things there were.
    public func sweep(olderThan age: Duration) async throws(StagingError) -> Int {
        let time = Self.time(before: age)
        var count = try await emptyTrash(before: time, butEnds: true)
        count += try await run { directory throws(StagingError) in try directory.removeStrayFiles(before: time) }
        count += try await sweepUnborn(olderThan: age)
        return try await count
            + claim { directory, prefix throws(StagingError) in
                try directory.claimLeftovers(below: prefix, before: time)
            }
    }

    /// Removes uploads whose creation was never ended, older than an age.
    public func sweepUnborn(olderThan age: Duration) async throws(StagingError) -> Int {
        let time = Self.time(before: age)
        return try await claim { directory, prefix throws(StagingError) in
            try directory.claimUnborn(below: prefix, before: time)
        }
    }

    /// Deletes what is claimed below each prefix; answers how many things there were.
    private func claim(
        _ claim: @escaping @Sendable (StagingDirectory, UInt8) throws(StagingError) -> [EntryName]
    ) async throws(StagingError) -> Int {
        var count = 0
        for prefix in UInt8.min...UInt8.max {
            let claimed = try await run { directory throws(StagingError) in try claim(directory, prefix) }
            for name in claimed { try await delete(name) }
            count += claimed.count
        }
        return count
    }

    private static func time(before age: Duration) -> Timestamp {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let microseconds = Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000
        return Timestamp(microseconds: microseconds - age.microseconds)
    }

    /// How much room there is. It is counted anew where that is due, but not waited for.
    public func space() async throws(StagingError) -> StagingSpace {
        recountIfDue()
        return try await run { directory throws(StagingError) in
            let system = try directory.fileSystem()
            return StagingSpace(
                used: directory.ledger.used,
                limit: directory.ledger.limit,
                free: system.free,
                capacity: system.capacity
            )
        }
    }

    private func recountIfDue() {
        guard directory.ledger.beginWalk(every: directory.options.recount) else { return }
        pool.later { [directory] in directory.walk() }
    }

    private func delete(_ name: EntryName, butItsEnd: Bool = false) async throws(StagingError) {
        // Each round deletes thousands of entries; no upload has more than these rounds allow.
        for _ in 0..<1_000 {
            let isGone = try await run { directory throws(StagingError) in
                try directory.deleteFromTrash(name, butItsEnd: butItsEnd)
            }
            if isGone { return }
        }
        throw .failed("delete trash/\(name): it does not get empty")
    }

    private func run<Value: Sendable>(
        _ work: @escaping @Sendable (StagingDirectory) throws(StagingError) -> Value
    ) async throws(StagingError) -> Value {
        try await pool.run { [directory] () throws(StagingError) in try work(directory) }
    }
}
