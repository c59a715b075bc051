// What workers tell of themselves and of their targets.

/// A worker as it tells of itself.
public struct WorkerPresence: Hashable, Sendable {
    /// Its name, unique in the fleet.
    public var name: String
    /// Host and process.
    public var host: String
    /// Its process identifier.
    public var process: Int
    /// Its program's version.
    public var version: String
    /// The targets it serves.
    public var targets: [TargetID]
    /// Ship and merge jobs that it works on now.
    public var jobs: Int
    /// The uploads that these jobs are about; nobody else needs to bring them on their way.
    public var uploads: [UploadID]
    /// When it started.
    public var startedAt: Timestamp
    /// When it last told of itself.
    public var seenAt: Timestamp

    /// The name of this run of the worker: one that was restarted is another.
    public var instance: String { Self.instance(name, startedAt: startedAt) }

    /// The name of a run of a worker.
    public static func instance(_ name: String, startedAt: Timestamp) -> String {
        "\(name)@\(startedAt.microseconds)"
    }

    /// All of it.
    public init(
        name: String,
        host: String,
        process: Int,
        version: String,
        targets: [TargetID],
        jobs: Int,
        uploads: [UploadID] = [],
        startedAt: Timestamp,
        seenAt: Timestamp
    ) {
        self.name = name
        self.host = host
        self.process = process
        self.version = version
        self.targets = targets
        self.jobs = jobs
        self.uploads = uploads
        self.startedAt = startedAt
        self.seenAt = seenAt
    }
}

/// What a worker found out about a target.
public struct TargetPresence: Hashable, Sendable {
    /// Which target.
    public var target: TargetID
    /// Whether it could be reached.
    public var reachable: Bool
    /// Whether the worker leaves it alone now.
    public var breaker: BreakerState
    /// What it can do, and what is done because of it, for a person: `server: OpenSSH_9.2`, `merge: in-place`, ….
    public var facts: [String: String]
    /// The last error, if it could not be reached.
    public var error: String?
    /// When this was seen.
    public var seenAt: Timestamp

    /// All of it.
    public init(
        target: TargetID,
        reachable: Bool,
        breaker: BreakerState = .closed,
        facts: [String: String],
        error: String?,
        seenAt: Timestamp
    ) {
        self.target = target
        self.reachable = reachable
        self.breaker = breaker
        self.facts = facts
        self.error = error
        self.seenAt = seenAt
    }
}
