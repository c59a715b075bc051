// The index as a value: every transition is a function of its state and the time, so that a simulation can look at it,
// copy it and take it back.

public import Core

/// What an index holds. It follows the same rules as the scripts of the real one; a conformance suite runs on both.
public struct InMemoryIndex: Sendable {
    /// A part, and how often its ship job has failed.
    struct StoredPart: Sendable {
        var state: PartState
        var attempts = 0
        var round = 0
    }

    /// The claim of a merge that has not run out.
    struct Lease: Sendable {
        var fence: Fence
        var holder: String
        var until: Timestamp
    }

    /// An upload with what only the index needs to know of it.
    struct Entry: Sendable {
        var upload: Upload
        var parts: [Int64: StoredPart] = [:]
        var isComplete: Bool {
            get { upload.isComplete }
            set { upload.isComplete = newValue }
        }
        var lastNumber: UInt64 = 0
        var releasedFence: Fence?
        var holder = ""
        var lease: Lease?
        var round = 0
        var cleanAttempts = 0
        var history: [HistoryEntry] = []
        /// Until then nothing is expected to move.
        var quietUntil: Timestamp?
        /// How many claims in a row were neither given back nor worked off.
        var lapses = 0
        var sweeps = 0
        var first: (failure: Failure, at: Timestamp)?
        var lifetime: Duration
        var cleanedAt: Timestamp?

        init(_ record: UploadRecord) {
            upload = Upload(record: record)
            lifetime = record.expiresAt - record.createdAt
        }

        /// All of a completed upload is in staging.
        var isWhole: Bool { isComplete && upload.received.bytes == upload.record.size }

        /// A claim is the holder's until another follows it or it was given up, even if its lease has run out.
        func holds(_ fence: Fence) -> Bool { upload.fence == fence && releasedFence != fence }

        func isShipped(_ part: StoredPart) -> Bool {
            upload.generation != nil && part.state.shippedIn == upload.generation
        }

        /// Whether what a claim's holder alone may change is the same in another.
        func isUnchanged(from other: Entry) -> Bool {
            upload == other.upload && lease?.until == other.lease?.until && releasedFence == other.releasedFence
        }

        mutating func revoke() {
            if let fence = upload.fence { releasedFence = fence }
            lapses = 0
            lease = nil
        }

        /// Notes what happened; the newest 200 are kept.
        mutating func note(
            _ kind: HistoryEntry.Kind,
            _ now: Timestamp,
            by: String? = nil,
            job: Job? = nil,
            attempt: Int? = nil,
            failure: Failure? = nil
        ) {
            let by = by?.isEmpty == true ? nil : by
            history.append(HistoryEntry(kind, at: now, by: by, job: job, attempt: attempt, failure: failure))
            if history.count > 200 { history.removeFirst() }
        }

        mutating func nextNumber(_ now: Timestamp) -> UInt64 {
            lastNumber = max(lastNumber + 1, UInt64(max(now.microseconds, 0)))
            return lastNumber
        }

        mutating func insert(_ part: Part) {
            parts[part.offset] = StoredPart(state: PartState(part: part))
            upload.received.bytes += part.size
            upload.received.parts += 1
        }

        mutating func remove(_ part: StoredPart) {
            parts[part.state.part.offset] = nil
            // What comes in its place is taken as any other part is.
            upload.whole = nil
            upload.received.bytes -= part.state.part.size
            upload.received.parts -= 1
            if isShipped(part) {
                upload.shipped.bytes -= part.state.part.size
                upload.shipped.parts -= 1
            }
        }
    }

    struct PathKey: Hashable, Sendable {
        var target: TargetID
        var path: TargetPath
    }

    struct RepeatKey: Hashable, Sendable {
        var owner: Owner
        var key: String
    }

    struct Expiring<Value: Sendable>: Sendable {
        var value: Value
        var until: Timestamp
    }

    struct Epoch: Hashable, Sendable {
        var id: String
        var run: Int
    }

    /// How long the process that recorded an entry has to send it before the relay does.
    static let grace = Duration.seconds(5)
    /// How long the record of an upload that has ended is kept.
    static let history = Duration.seconds(2_592_000)

    var entries: [UploadID: Entry] = [:]
    var paths: [PathKey: UploadID] = [:]
    var repeats: [RepeatKey: Expiring<UploadID>] = [:]
    var outbox: [TargetID: [Job: Timestamp]] = [:]
    /// Switched off only to show that it is missed.
    var recordsJobs = true
    /// The same.
    var checksFences = true
    var failedAt: [UploadID: Timestamp] = [:]
    var sweeps: [TargetID: [UploadID: Timestamp]] = [:]
    /// What must never be created, until when.
    var forbidden: [UploadID: Timestamp] = [:]
    var tries: [Job: Set<String>] = [:]
    var epoch: Epoch?
    var locks: [String: Expiring<String>] = [:]
    /// Bytes by minute since 1970.
    var moved: [Int64: (received: Int64, shipped: Int64)] = [:]
    /// What workers have open, for whoever asks; in memory nothing takes a session.
    var sessions: [TargetID: Int] = [:]
    var workers: [String: Expiring<WorkerPresence>] = [:]
    var targets: [TargetID: Expiring<TargetPresence>] = [:]

    /// An empty index.
    public init() {}

    // MARK: What tests look at

    /// All uploads that it knows, ended ones too.
    public var uploads: [Upload] { entries.values.map(\.upload).sorted { $0.id < $1.id } }

    /// All entries of the outbox, by due time.
    public var outboxEntries: [OutboxEntry] {
        outbox.flatMap { target, jobs in jobs.map { OutboxEntry(job: $0, target: target, due: $1) } }
            .sorted { ($0.due, $0.job.description) < ($1.due, $1.job.description) }
    }

    /// The paths that are held, and by whom.
    public var heldPaths: [(target: TargetID, path: TargetPath, upload: UploadID)] {
        paths.map { ($0.target, $0.path, $1) }.sorted { $0.2 < $1.2 }
    }

    // MARK: Parts of all transitions

    /// An upload, unless its history has run out.
    mutating func find(_ id: UploadID, _ now: Timestamp) -> Entry? {
        if let cleanedAt = entries[id]?.cleanedAt, cleanedAt + Self.history <= now { entries[id] = nil }
        return entries[id]
    }

    mutating func record(_ job: Job, _ target: TargetID, _ due: Timestamp) -> OutboxEntry {
        if recordsJobs { outbox[target, default: [:]][job] = due }
        return OutboxEntry(job: job, target: target, due: due)
    }

    mutating func recordIfMissing(_ job: Job, _ target: TargetID, _ due: Timestamp) {
        if outbox[target]?[job] == nil { _ = record(job, target, due) }
    }

    mutating func countMoved(received: Int64 = 0, shipped: Int64 = 0, _ now: Timestamp) {
        let minute = now.microseconds / 60_000_000
        // A minute begins: what is told no longer is forgotten.
        if moved[minute] == nil { moved = moved.filter { $0.key > minute - Int64(MovedBytes.minutes) } }
        moved[minute, default: (0, 0)].received += received
        moved[minute, default: (0, 0)].shipped += shipped
    }

    func movedBytes(_ now: Timestamp) -> [MovedBytes] {
        let minute = now.microseconds / 60_000_000
        return (minute - Int64(MovedBytes.minutes) + 1...minute).map { at in
            let bytes = moved[at] ?? (0, 0)
            let begin = Timestamp(microseconds: at * 60_000_000)
            return MovedBytes(minute: begin, received: bytes.received, shipped: bytes.shipped)
        }
    }

    mutating func forget(_ job: Job, _ target: TargetID) { outbox[target]?[job] = nil }

    mutating func recordMerge(_ entry: Entry, _ now: Timestamp) -> OutboxEntry {
        record(.merge(entry.upload.id), entry.upload.record.target, now + Self.grace)
    }

    /// Writes an upload back; answers it as it is now.
    mutating func save(_ entry: Entry) -> Upload {
        entries[entry.upload.id] = entry
        return entry.upload
    }

    mutating func move(_ entry: inout Entry, to state: UploadState, _ now: Timestamp) {
        if entry.upload.state == .failed, state != .failed {
            failedAt[entry.upload.id] = nil
            entry.upload.deadLetter = nil
            entry.first = nil
        }
        entry.upload.state = state
        entry.upload.updatedAt = now
    }

    mutating func fail(
        _ entry: inout Entry,
        _ failure: Failure,
        _ job: Job,
        attempt: Int,
        by worker: String,
        _ now: Timestamp
    ) {
        if entry.upload.state != .failed { failedAt[entry.upload.id] = now }
        let first = entry.first ?? (failure, now)
        entry.first = first
        entry.upload.deadLetter = DeadLetter(
            job: job,
            attempts: attempt,
            first: first.failure,
            firstAt: first.at,
            at: entry.upload.deadLetter?.at ?? now
        )
        // Somebody must have the time to look at it.
        entry.upload.record.expiresAt = max(entry.upload.record.expiresAt, now + entry.lifetime)
        entry.note(.failed, now, by: worker, job: job, attempt: attempt, failure: failure)
        entry.upload.failure = failure
        move(&entry, to: .failed, now)
        forget(.merge(entry.upload.id), entry.upload.record.target)
        entry.revoke()
    }

    mutating func end(_ entry: inout Entry, _ state: UploadState, at time: Timestamp, _ now: Timestamp) -> OutboxEntry {
        move(&entry, to: state, now)
        entry.upload.endedAt = time
        forget(.merge(entry.upload.id), entry.upload.record.target)
        entry.revoke()
        return record(.clean(entry.upload.id), entry.upload.record.target, now + Self.grace)
    }

    mutating func mergeIfShipped(_ entry: inout Entry, _ now: Timestamp) -> [OutboxEntry] {
        guard let state = entry.upload.state.after(.allShipped), entry.isWhole, entry.upload.isAllShipped else {
            return []
        }
        move(&entry, to: state, now)
        return [recordMerge(entry, now)]
    }

    mutating func enroll(_ record: UploadRecord, until: Timestamp, takesPath: Bool) {
        if takesPath { paths[PathKey(target: record.target, path: record.path)] = record.id }
        if let key = record.idempotencyKey {
            repeats[RepeatKey(owner: record.owner, key: key)] = Expiring(value: record.id, until: until)
        }
    }
}
