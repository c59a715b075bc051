// The history of an upload: what happened to it, when, by whose doing, and with which error.

/// One thing that happened to an upload. The newest 200 are kept, for as long as the upload's record.
public struct HistoryEntry: Hashable, Sendable {
    /// What happened.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// It was created, by its owner.
        case created
        /// Its owner asked for the end.
        case completed
        /// A staged part was found damaged and is missing again.
        case damaged
        /// A job failed and is tried again later.
        case retried
        /// What was on the target was lost or wrong: a new generation begins.
        case restarted
        /// It will not be tried again by itself.
        case failed
        /// It was sent on its way again.
        case replayed
        /// A worker was about to rename.
        case committing
        /// The final file is there.
        case done
        /// It was given up.
        case cancelled
        /// It was abandoned.
        case expired
    }

    /// When.
    public var at: Timestamp
    /// What.
    public var kind: Kind
    /// By whose doing: an owner's or operator's name, or a worker's; nil where nobody did it.
    public var by: String?
    /// The job that failed.
    public var job: Job?
    /// How often that job had failed before.
    public var attempt: Int?
    /// With what.
    public var failure: Failure?

    /// What happened.
    public init(
        _ kind: Kind,
        at time: Timestamp,
        by: String? = nil,
        job: Job? = nil,
        attempt: Int? = nil,
        failure: Failure? = nil
    ) {
        at = time
        self.kind = kind
        self.by = by
        self.job = job
        self.attempt = attempt
        self.failure = failure
    }
}

/// What is known of an upload that waits as a dead letter, beyond its last error.
public struct DeadLetter: Hashable, Sendable {
    /// The job that will not be tried again by itself.
    public var job: Job?
    /// How often it had failed before.
    public var attempts: Int
    /// The first error since the upload was created or last replayed.
    public var first: Failure
    /// When that was.
    public var firstAt: Timestamp
    /// When the upload failed.
    public var at: Timestamp

    /// All of it.
    public init(job: Job?, attempts: Int, first: Failure, firstAt: Timestamp, at time: Timestamp) {
        self.job = job
        self.attempts = attempts
        self.first = first
        self.firstAt = firstAt
        at = time
    }
}
