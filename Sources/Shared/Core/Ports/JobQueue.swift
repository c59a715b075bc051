// The ports to the broker: jobs out, and events out and in.

/// What became of a job that was sent.
public enum SendResult: Hashable, Sendable {
    /// A queue has it.
    case confirmed
    /// No queue took it: missing, full or refused. It stays in the outbox.
    case refused(String)
    /// The broker could not be asked, or did not answer. It stays in the outbox.
    case unavailable(String)
}

/// Jobs on their way to workers.
public protocol JobQueue: Sendable {
    /// Sends jobs to a target's queues and waits until each is confirmed, refused, or given up.
    func send(_ jobs: [Job], to target: TargetID) async -> [SendResult]
    /// How deep a target's queues are; nil where the broker cannot say.
    func depths(of target: TargetID) async -> [JobQueueKind: QueueDepth]?
    /// Asks a target's workers whether something is at a path; nil where nobody answers in time.
    func probe(_ path: TargetPath, on target: TargetID) async -> Bool?
    /// Whether jobs can be sent now.
    var isAvailable: Bool { get }
}

/// A queue's depth.
public struct QueueDepth: Hashable, Sendable {
    /// Jobs that wait.
    public var messages: Int
    /// Consumers that are there.
    public var consumers: Int

    /// Both.
    public init(messages: Int, consumers: Int) {
        self.messages = messages
        self.consumers = consumers
    }
}

/// Events on their way to those who watch.
public protocol EventBus: Sendable {
    /// Tells everybody, and waits for nobody.
    func publish(_ event: Event)
}
