// The broker's ports in memory: what was sent lies there until a test or a simulation delivers it.

public import Core
internal import Synchronization

/// Queues of jobs that a test empties itself, so that it decides about order, duplicates and losses.
public final class InMemoryJobQueue: JobQueue {
    /// A job in a target's queue.
    public struct Delivery: Hashable, Sendable {
        /// What is asked for.
        public var job: Job
        /// In whose queue it is.
        public var target: TargetID

        /// A job for a target.
        public init(job: Job, target: TargetID) {
            self.job = job
            self.target = target
        }
    }

    /// What the broker does with jobs.
    public enum Behaviour: Hashable, Sendable {
        /// Takes them.
        case takes
        /// Refuses them, with this text.
        case refuses(String)
        /// Cannot be reached.
        case isAway
        /// Takes them, and its confirm is lost.
        case losesConfirms
    }

    private struct State: Sendable {
        var behaviour = Behaviour.takes
        var waiting: [Delivery] = []
        var sent: [Delivery] = []
        var consumers = 1
    }

    private let state = Mutex(State())
    private let pause: @Sendable () async -> Void
    private let arrived: @Sendable () -> Void
    private let answerProbe: @Sendable (TargetPath, TargetID) -> Bool?

    /// - Parameters:
    ///   - pause: awaited before each answer, so that a simulation can let others go first.
    ///   - arrived: called after jobs were put in, so that a simulation's workers need not look again and again.
    ///   - answerProbe: what a target's workers answer; nil when nobody does.
    public init(
        pause: @escaping @Sendable () async -> Void = { await Task.yield() },
        arrived: @escaping @Sendable () -> Void = {},
        answerProbe: @escaping @Sendable (TargetPath, TargetID) -> Bool? = { _, _ in nil }
    ) {
        self.pause = pause
        self.arrived = arrived
        self.answerProbe = answerProbe
    }

    // MARK: For tests

    /// What the broker does with jobs from now on.
    public var behaviour: Behaviour {
        get { state.withLock { $0.behaviour } }
        set { state.withLock { $0.behaviour = newValue } }
    }

    /// Everything that was ever taken, in order.
    public var sent: [Delivery] { state.withLock { $0.sent } }

    /// What waits, in order.
    public var waiting: [Delivery] { state.withLock { $0.waiting } }

    /// Takes the delivery at an index of `waiting`; nil when there are not so many.
    public func take(at index: Int = 0) -> Delivery? {
        state.withLock { $0.waiting.indices.contains(index) ? $0.waiting.remove(at: index) : nil }
    }

    /// Puts a delivery (back) in, as a broker does after a lost connection.
    public func put(_ delivery: Delivery) {
        state.withLock { $0.waiting.append(delivery) }
        arrived()
    }

    /// What a lost broker does: nothing is left.
    public func wipe() { state.withLock { $0.waiting.removeAll() } }

    // MARK: Port

    /// Puts jobs in, or does what `behaviour` says.
    public func send(_ jobs: [Job], to target: TargetID) async -> [SendResult] {
        await pause()
        defer { arrived() }
        return state.withLock { state in
            switch state.behaviour {
            case .refuses(let text): return jobs.map { _ in .refused(text) }
            case .isAway: return jobs.map { _ in .unavailable("the broker is away") }
            case .takes, .losesConfirms:
                let deliveries = jobs.map { Delivery(job: $0, target: target) }
                state.waiting += deliveries
                state.sent += deliveries
                let isLost = state.behaviour == .losesConfirms
                return jobs.map { _ in isLost ? .unavailable("the confirm is lost") : .confirmed }
            }
        }
    }

    /// Counts what waits.
    public func depths(of target: TargetID) async -> [JobQueueKind: QueueDepth]? {
        await pause()
        return state.withLock { state -> [JobQueueKind: QueueDepth]? in
            if state.behaviour == .isAway { return nil }
            var depths: [JobQueueKind: QueueDepth] = [:]
            for kind in JobQueueKind.allCases {
                let count = state.waiting.count { $0.target == target && $0.job.queue == kind }
                depths[kind] = QueueDepth(messages: count, consumers: state.consumers)
            }
            return depths
        }
    }

    /// Asks `answerProbe`.
    public func probe(_ path: TargetPath, on target: TargetID) async -> Bool? {
        await pause()
        return behaviour == .isAway ? nil : answerProbe(path, target)
    }

    /// Whether the broker is there.
    public var isAvailable: Bool { behaviour != .isAway }
}

/// Keeps every event.
public final class InMemoryEventBus: EventBus {
    private let kept = Mutex<[Event]>([])

    /// Without events.
    public init() {}

    /// Everything that was told, in order.
    public var events: [Event] { kept.withLock { $0 } }

    /// Keeps an event.
    public func publish(_ event: Event) { kept.withLock { $0.append(event) } }
}
