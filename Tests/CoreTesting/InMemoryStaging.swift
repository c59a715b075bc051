// Staging in memory, for use-case tests and simulations: deterministic, with faults that can be planted.

public import Core
internal import Synchronization

/// Staging that forgets everything with its owner. What is published counts as durable.
public final class InMemoryStaging: Staging {
    /// The operations in which faults can be planted.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// `epoch`
        case epoch
        /// `create`
        case create
        /// `beginPart`
        case beginPart
        /// A writer's `write`
        case write
        /// A writer's `seal`
        case seal
        /// A writer's `publish`
        case publish
        /// `store`
        case store
        /// `fill`
        case fill
        /// `bytes`
        case bytes
        /// `openPart`
        case openPart
        /// A reader's `read`
        case readPart
        /// A reader's `isIntact`
        case isIntact
        /// `digest`
        case digest
        /// `strike`
        case strike
        /// `mark`
        case mark
        /// `unmark`
        case unmark
        /// `read`
        case read
        /// `discard`
        case discard
        /// `discarded`
        case discarded
        /// `readDiscarded`
        case readDiscarded
        /// `forget`
        case forget
        /// `uploads`
        case uploads
        /// `sweep`
        case sweep
        /// `space`
        case space
    }

    struct StoredPart: Sendable {
        var part: Part
        var bytes: [UInt8]
    }

    struct StoredUpload: Sendable {
        var record: UploadRecord
        var parts: [Int64: StoredPart] = [:]
        var markers: [Marker.Kind: Marker] = [:]
        var unfinished: Int = 0
        var touchedAt: Timestamp
        var struck: Int64?
        /// Why its record cannot be read.
        var unreadable: String?
    }

    struct State: Sendable {
        var epoch: String?
        var uploads: [UploadID: StoredUpload] = [:]
        var discarded: [UploadID: StoredUpload] = [:]
        var reserved: Int64 = 0

        var used: Int64 { uploads.values.reduce(0) { $0 + $1.parts.values.reduce(0) { $0 + $1.part.size } } }
    }

    /// Faults to plant.
    public let faults: PortFaults<Operation, StagingError>
    let state = Mutex(State())
    private let turnoverCounter = Atomic(0)
    let limit: Int64
    private let now: @Sendable () -> Timestamp
    private let newEpoch: @Sendable () -> String
    private let digest: @Sendable ([UInt8]) -> SHA256Digest

    /// - Parameters:
    ///   - limit: the most bytes that parts may occupy.
    ///   - faults: shared with the test that plants them.
    ///   - now: the clock by which uploads are touched.
    ///   - newEpoch: names the staging on first use.
    ///   - digest: real SHA-256 by default; a simulation may take something quicker.
    public init(
        limit: Int64 = .max,
        faults: PortFaults<Operation, StagingError> = PortFaults(),
        now: @escaping @Sendable () -> Timestamp = { Timestamp(microseconds: 0) },
        newEpoch: @escaping @Sendable () -> String = { "in-memory" },
        digest: @escaping @Sendable ([UInt8]) -> SHA256Digest = { SHA256.digest($0) }
    ) {
        self.limit = limit
        self.faults = faults
        self.now = now
        self.newEpoch = newEpoch
        self.digest = digest
    }

    // MARK: For tests

    /// Flips one bit of a staged part; false when there is no such part.
    public func damage(_ part: Part, of id: UploadID) -> Bool {
        state.withLock { state in
            guard var stored = state.uploads[id]?.parts[part.offset], !stored.bytes.isEmpty else { return false }
            stored.bytes[stored.bytes.count / 2] ^= 1
            state.uploads[id]?.parts[part.offset] = stored
            return true
        }
    }

    /// Flips one bit of some staged part, chosen by a number; false when there is none.
    @discardableResult
    public func damageSome(_ number: Int) -> Bool {
        let parts = state.withLock { state in
            state.uploads.values.flatMap { upload in upload.parts.values.map { (upload.record.id, $0.part) } }
        }.sorted { ($0.0, $0.1.offset) < ($1.0, $1.1.offset) }
        guard !parts.isEmpty else { return false }
        return damage(parts[number % parts.count].1, of: parts[number % parts.count].0)
    }

    /// The uploads that it has.
    public var uploadIDs: Set<UploadID> { state.withLock { Set($0.uploads.keys) } }

    /// Whether it keeps the end of a discarded upload.
    public func keepsEnd(of id: UploadID) -> Bool { state.withLock { $0.discarded[id] != nil } }

    /// How often an upload came or went: while it stays the same, so does `uploadIDs`.
    public var turnover: Int { turnoverCounter.load(ordering: .relaxed) }

    /// What a power failure takes of an upload whose parts were not flushed.
    public func loseParts(of id: UploadID) { state.withLock { $0.uploads[id]?.parts = [:] } }

    /// Makes an upload's record one that cannot be read.
    public func makeUnreadable(_ id: UploadID, _ reason: String) {
        state.withLock { $0.uploads[id]?.unreadable = reason }
    }

    /// How many parts are on their way or were left behind.
    public var unfinishedParts: Int {
        state.withLock { state in state.uploads.values.reduce(0) { $0 + $1.unfinished } }
    }

    /// What a crash of every process does: parts on their way are left behind, all else stays.
    public func crash() { state.withLock { $0.reserved = 0 } }

    // MARK: Port

    /// The identity of this staging.
    public func epoch() async throws(StagingError) -> String {
        try await faults.perform(.epoch) {
            state.withLock { state in
                let epoch = state.epoch ?? newEpoch()
                state.epoch = epoch
                return epoch
            }
        }
    }

    /// Makes an upload.
    public func create(_ record: UploadRecord) async throws(StagingError) {
        try await faults.perform(.create) { () throws(StagingError) in
            let time = now()
            let isNew = state.withLock { state in
                guard state.uploads[record.id] == nil else { return false }
                state.uploads[record.id] = StoredUpload(record: record, touchedAt: time)
                return true
            }
            guard isNew else { throw .failed("create \(record.id): it exists") }
            turnoverCounter.add(1, ordering: .relaxed)
        }
    }

    /// Begins a part.
    public func beginPart(of id: UploadID, offset: Int64, size: Int64) async throws(StagingError) -> any PartWriter {
        try await faults.perform(.beginPart) { () throws(StagingError) in
            guard offset >= 0, size >= 0, !offset.addingReportingOverflow(size).overflow else {
                throw .failed("begin a part of \(size) bytes at \(offset): out of range")
            }
            let refusal = state.withLock { state -> StagingError? in
                guard state.uploads[id] != nil else { return .notFound }
                guard size <= limit - state.used - state.reserved else { return .full }
                state.reserved += size
                state.uploads[id]?.unfinished += 1
                return nil
            }
            if let refusal { throw refusal }
            return InMemoryPartWriter(self, id, offset: offset, size: size)
        }
    }

    /// Opens a part.
    public func openPart(_ part: Part, of id: UploadID) async throws(StagingError) -> any PartReader {
        try await faults.perform(.openPart) { () throws(StagingError) in
            let stored = state.withLock { $0.uploads[id]?.parts[part.offset] }
            guard let stored, stored.part == part else { throw .notFound }
            return InMemoryPartReader(self, stored)
        }
    }

    /// The digest of these parts' bytes, one after the other.
    public func digest(of parts: [Part], of id: UploadID) async throws(StagingError) -> SHA256Digest {
        try await faults.perform(.digest) { () throws(StagingError) in
            let upload = state.withLock { $0.uploads[id] }
            var bytes: [UInt8] = []
            for part in parts {
                guard let stored = upload?.parts[part.offset], stored.part == part else { throw .notFound }
                bytes += stored.bytes
            }
            return digest(bytes)
        }
    }

    /// Removes a damaged part; one that is intact stays.
    public func strike(_ part: Part, of id: UploadID) async throws(StagingError) {
        try await faults.perform(.strike) {
            let time = now()
            state.withLock { state in
                guard let upload = state.uploads[id] else { return }
                if let stored = upload.parts[part.offset] {
                    guard stored.part == part, !isIntact(stored) else { return }
                }
                state.uploads[id]?.struck = max(upload.struck ?? 0, part.offset)
                state.uploads[id]?.parts[part.offset] = nil
                state.uploads[id]?.touchedAt = time
            }
        }
    }

    /// Publishes an ending; the first of a kind stays.
    public func mark(_ marker: Marker, on id: UploadID) async throws(StagingError) -> Marker {
        try await faults.perform(.mark) { () throws(StagingError) in
            let time = now()
            let answer = state.withLock { state -> Marker? in
                guard let upload = state.uploads[id] else { return nil }
                let first = upload.markers[marker.kind] ?? marker
                state.uploads[id]?.markers[marker.kind] = first
                state.uploads[id]?.touchedAt = time
                return first
            }
            guard let answer else { throw .notFound }
            return answer
        }
    }

    /// Takes an ending back.
    public func unmark(_ kind: Marker.Kind, on id: UploadID) async throws(StagingError) {
        try await faults.perform(.unmark) { state.withLock { $0.uploads[id]?.markers[kind] = nil } }
    }

    /// Everything about an upload.
    public func read(_ id: UploadID) async throws(StagingError) -> StagedUpload? {
        try await faults.perform(.read) { () throws(StagingError) in
            try read(state.withLock { $0.uploads[id] })
        }
    }

    private func read(_ upload: StoredUpload?) throws(StagingError) -> StagedUpload? {
        guard let upload else { return nil }
        if let reason = upload.unreadable { throw .unreadable(reason) }
        return StagedUpload(
            record: upload.record,
            parts: upload.parts.values.map(\.part).sorted { $0.offset < $1.offset },
            markers: Marker.Kind.allCases.compactMap { upload.markers[$0] },
            struck: upload.struck
        )
    }

    /// Removes an upload; its end is kept.
    public func discard(_ id: UploadID) async throws(StagingError) {
        try await faults.perform(.discard) {
            let time = now()
            state.withLock { state in
                guard var upload = state.uploads.removeValue(forKey: id),
                    upload.markers.keys.contains(where: { $0 != .complete })
                else { return }
                (upload.parts, upload.struck, upload.touchedAt) = ([:], nil, time)
                state.discarded[id] = upload
            }
            turnoverCounter.add(1, ordering: .relaxed)
        }
    }

    /// The discarded uploads whose end is kept.
    public func discarded() async throws(StagingError) -> [UploadID] {
        try await faults.perform(.discarded) { state.withLock { $0.discarded.keys.sorted() } }
    }

    /// What is kept of a discarded upload.
    public func readDiscarded(_ id: UploadID) async throws(StagingError) -> StagedUpload? {
        try await faults.perform(.readDiscarded) { () throws(StagingError) in
            try read(state.withLock { $0.discarded[id] })
        }
    }

    /// Deletes what is kept of uploads that were discarded before a time.
    public func forget(discardedBefore time: Timestamp) async throws(StagingError) -> Int {
        try await faults.perform(.forget) {
            state.withLock { state in
                let count = state.discarded.count
                state.discarded = state.discarded.filter { $0.value.touchedAt > time }
                return count - state.discarded.count
            }
        }
    }

    /// A page of uploads.
    public func uploads(
        after last: UploadID?,
        touchedSince: Timestamp?,
        limit: Int
    ) async throws(StagingError) -> [UploadID] {
        try await faults.perform(.uploads) {
            let found = state.withLock { state in
                state.uploads.filter { id, upload in
                    last.map { $0 < id } ?? true && touchedSince.map { $0 <= upload.touchedAt } ?? true
                }
            }
            return Array(found.keys.sorted().prefix(max(limit, 0)))
        }
    }

    /// Removes unfinished parts, whatever their age: none is older than another here.
    public func sweep(olderThan age: Duration) async throws(StagingError) -> Int {
        try await faults.perform(.sweep) {
            state.withLock { state in
                var count = 0
                for id in state.uploads.keys {
                    count += state.uploads[id]?.unfinished ?? 0
                    state.uploads[id]?.unfinished = 0
                }
                return count
            }
        }
    }

    /// Nothing: here an upload comes with its record.
    public func sweepUnborn(olderThan age: Duration) async throws(StagingError) -> Int { 0 }

    /// How much room there is.
    public func space() async throws(StagingError) -> StagingSpace {
        try await faults.perform(.space) {
            let used = state.withLock { $0.used }
            return StagingSpace(used: used, limit: limit, free: limit - used, capacity: limit)
        }
    }

    // MARK: For readers and writers

    func isIntact(_ stored: StoredPart) -> Bool { digest(stored.bytes) == stored.part.digest }

    func digest(of bytes: [UInt8]) -> SHA256Digest { digest(bytes) }

    func publish(_ stored: StoredPart, of id: UploadID) throws(StagingError) -> PublishResult {
        let time = now()
        let result = state.withLock { state -> PublishResult? in
            guard let upload = state.uploads[id] else { return nil }
            if let first = upload.parts[stored.part.offset] {
                return first.part == stored.part ? .alreadyStored(first.part) : .conflict(first.part)
            }
            state.uploads[id]?.parts[stored.part.offset] = stored
            state.uploads[id]?.touchedAt = time
            return .stored(stored.part)
        }
        guard let result else { throw .notFound }
        return result
    }

    func end(_ id: UploadID, size: Int64) {
        state.withLock { state in
            state.reserved = max(0, state.reserved - size)
            if let unfinished = state.uploads[id]?.unfinished { state.uploads[id]?.unfinished = max(0, unfinished - 1) }
        }
    }
}
