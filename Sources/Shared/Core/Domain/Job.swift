// Jobs: what a worker is asked to do. A job carries identifiers only; what to do is read from state.

/// What a worker is asked to do.
public enum Job: Hashable, Sendable {
    /// Write the part at an offset to the target.
    case ship(UploadID, offset: Int64)
    /// Verify and commit.
    case merge(UploadID)
    /// Remove what a finished or given-up upload left in staging and on the target.
    case clean(UploadID)

    /// The upload that it is about.
    public var upload: UploadID {
        switch self {
        case .ship(let id, _), .merge(let id), .clean(let id): id
        }
    }

    /// Which of a target's two queues it travels through; clean jobs go with the merges.
    public var queue: JobQueueKind {
        switch self {
        case .ship: .ship
        case .merge, .clean: .merge
        }
    }
}

/// The two queues of a target.
public enum JobQueueKind: String, Hashable, Sendable, CaseIterable {
    /// `ferry.ship.<target>`
    case ship
    /// `ferry.merge.<target>`
    case merge
}

/// The form in which a job is kept in the outbox and sent: `ship:<upload>:<offset>`, `merge:<upload>`,
/// `clean:<upload>`.
extension Job: CustomStringConvertible {
    /// The version of the form; a worker leaves newer ones in the queue.
    public static let currentVersion = 1

    /// The outbox form.
    public var description: String {
        switch self {
        case .ship(let id, let offset): "ship:\(id):\(offset)"
        case .merge(let id): "merge:\(id)"
        case .clean(let id): "clean:\(id)"
        }
    }

    /// Reads the outbox form; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let fields = text.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 3, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard fields.count >= 2, let id = UploadID(fields[1]) else { return nil }
        switch (fields[0], fields.count) {
        case ("ship", 3):
            guard let offset = Int64(fields[2]), offset >= 0, String(offset) == fields[2] else { return nil }
            self = .ship(id, offset: offset)
        case ("merge", 2): self = .merge(id)
        case ("clean", 2): self = .clean(id)
        default: return nil
        }
    }
}

/// A job that must be sent, as the index recorded it together with the change that made it necessary.
public struct OutboxEntry: Hashable, Sendable {
    /// What is to be sent.
    public let job: Job
    /// To whose queues.
    public let target: TargetID
    /// When the relay sends it if nobody has by then. It also marks the entry: only an entry that still has this due
    /// time is removed after its confirm, so that a retry recorded meanwhile stays.
    public let due: Timestamp

    /// An entry.
    public init(job: Job, target: TargetID, due: Timestamp) {
        self.job = job
        self.target = target
        self.due = due
    }
}
