// DeadLetterDocuments: dead letters and histories as operators see them, and what they ask for.

import Core

/// What happened to an upload, oldest first.
struct HistoryDocument: Encodable {
    struct Entry: Encodable {
        var at: String
        var event: String
        var by: String?
        var job: JobDocument?
        var attempt: Int?
        var error: FailureDocument?

        init(_ entry: HistoryEntry) {
            at = entry.at.description
            event = entry.kind.rawValue
            by = entry.by
            job = entry.job.map(JobDocument.init)
            attempt = entry.attempt
            error = entry.failure.map(FailureDocument.init)
        }
    }

    var history: [Entry]
}

/// What a worker was asked to do.
struct JobDocument: Encodable, Hashable {
    var kind: String
    /// Where the part begins; only of ship jobs.
    var offset: Int64?

    init(_ job: Job) {
        switch job {
        case .ship(_, let offset): (kind, self.offset) = ("ship", offset)
        case .merge: kind = "merge"
        case .clean: kind = "clean"
        }
    }
}

/// An upload that waits.
struct DeadLetterDocument: Encodable {
    /// An error with its time.
    private struct Dated: Encodable {
        var reason: String
        var detail: String
        var at: String

        init(_ failure: Failure, _ time: Timestamp) {
            reason = failure.reason.rawValue
            detail = failure.detail
            at = time.description
        }
    }

    private let upload: Upload
    private let history: [HistoryEntry]?

    init(_ upload: Upload, history: [HistoryEntry]? = nil) {
        self.upload = upload
        self.history = history
    }

    private enum Key: String, CodingKey {
        case id, job, reason, attempts, firstError, lastError, failedAt, upload, history
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        let letter = upload.deadLetter
        try container.encode(upload.id.description, forKey: .id)
        try container.encode(letter?.job.map(JobDocument.init), forKey: .job)
        try container.encode(upload.failure?.reason.rawValue, forKey: .reason)
        try container.encode(letter?.attempts, forKey: .attempts)
        let first = letter.map { Dated($0.first, $0.firstAt) }
        try container.encode(first, forKey: .firstError)
        let last = letter.flatMap { letter in upload.failure.map { Dated($0, letter.at) } }
        try container.encode(last, forKey: .lastError)
        try container.encode(letter?.at.description, forKey: .failedAt)
        try container.encode(UploadDocument(upload), forKey: .upload)
        if let history { try container.encode(history.map(HistoryDocument.Entry.init), forKey: .history) }
    }
}

/// A page of dead letters, the latest failure first.
struct DeadLetterPageDocument: Encodable {
    var deadLetters: [DeadLetterDocument]
    var next: String?

    init(_ page: UploadPage) {
        deadLetters = page.uploads.map { DeadLetterDocument($0) }
        next = page.next?.description
    }

    private enum Key: String, CodingKey { case deadLetters, next }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(deadLetters, forKey: .deadLetters)
        try container.encode(next, forKey: .next)
    }
}

/// The body of `POST /v1/dead-letters/replay`; an empty one means all, at once.
struct ReplayDocument: Decodable {
    var filter = ReplayFilter()

    private enum Key: String, CodingKey, CaseIterable { case target, reason, limit, ratePerSecond, dryRun }

    init() {}

    init(from decoder: any Decoder) throws {
        try decoder.refuseUnknownKeys(Key.self)
        let container = try decoder.container(keyedBy: Key.self)
        if let text = try container.decodeIfPresent(String.self, forKey: .target) {
            guard let target = TargetID(text) else { throw Problem.invalid("target", "is no target's name") }
            filter.target = target
        }
        if let text = try container.decodeIfPresent(String.self, forKey: .reason) {
            guard let reason = FailureReason(rawValue: text) else { throw Problem.invalid("reason", "is no reason") }
            filter.reason = reason
        }
        if let limit = try container.integer(forKey: .limit) {
            guard (1...Int64(DeadLetters.limit)).contains(limit) else {
                throw Problem.invalid("limit", "must be 1 to \(DeadLetters.limit)")
            }
            filter.limit = Int(limit)
        }
        if let rate = try container.decodeIfPresent(Double.self, forKey: .ratePerSecond) {
            guard (0.001...100_000).contains(rate) else {
                throw Problem.invalid("ratePerSecond", "must be 0.001 to 100000")
            }
            filter.ratePerSecond = rate
        }
        filter.isDryRun = try container.decodeIfPresent(Bool.self, forKey: .dryRun) ?? false
    }
}

/// What a replay of many did.
struct ReplaySummaryDocument: Encodable {
    var matched: Int
    var replayed: Int
    var skipped: [String: Int]
    var dryRun: Bool

    init(_ summary: ReplaySummary, _ filter: ReplayFilter) {
        matched = summary.matched
        replayed = summary.replayed
        skipped = summary.skipped
        dryRun = filter.isDryRun
    }
}
