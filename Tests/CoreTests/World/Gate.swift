// Where a process meets its fate: it passes here before and after every operation of every port.

import Core
import CoreTesting
import Synchronization

/// What happens to a process at a crossing.
enum Fate: Hashable, Sendable {
    /// It is killed: nothing that it still does has any effect.
    case dies
    /// This one operation fails: not done, or done with its answer lost.
    case fails
    /// Its task is cancelled, as when it is drained.
    case isCancelled
    /// It is stopped for a time, as by SIGSTOP.
    case stops(Duration)
}

/// How often a process met each fate.
struct FateCount: Hashable, Sendable {
    var deaths = 0
    var failures = 0
    var cancellations = 0
    var stops = 0
}

/// The crossings of one process, counted: crossing 2n comes before its nth operation, crossing 2n + 1 after it.
final class Gate: Sendable {
    /// What an operation meets.
    enum Passage: Hashable, Sendable {
        case open, closed, cancelled
    }

    private struct State: Sendable {
        var crossings: [String] = []
        var fates: [Int: Fate] = [:]
        var named: [String: Fate] = [:]
        var isDead = false
        var work: [Int: Task<Void, Never>] = [:]
        var stoppedUntil: Timestamp?
        var watch: (@Sendable (String) -> Void)?
        var beside: [Task<Void, Never>] = []
        var met = FateCount()
    }

    /// The process whose task this is; none for what watches over the world.
    @TaskLocal static var current: Gate?

    private let state = Mutex(State())
    private let clock: VirtualClock
    private let delay: @Sendable () -> Duration?
    /// Rings when it dies.
    let death = Bell()

    /// - Parameter delay: how long the operation at a crossing keeps its process waiting; nil for no time at all.
    init(clock: VirtualClock, delay: @escaping @Sendable () -> Duration? = { nil }) {
        self.clock = clock
        self.delay = delay
    }

    /// Plans a fate for a crossing by its number.
    func plan(_ fate: Fate, at crossing: Int) { state.withLock { $0.fates[crossing] = fate } }

    /// Plans a fate for the next crossing of a name, such as `target.rename.after`.
    func plan(_ fate: Fate, at name: String) { state.withLock { $0.named[name] = fate } }

    /// Plans a fate for a crossing that is so many ahead.
    func planSoon(_ fate: Fate, in crossings: Int) {
        state.withLock { $0.fates[$0.crossings.count + crossings] = fate }
    }

    /// Nothing more is planned, and nobody stands still any more.
    func forgetPlans() {
        state.withLock { state in
            state.fates = [:]
            state.named = [:]
        }
    }

    /// Is told the name of every crossing.
    func watch(_ body: (@Sendable (String) -> Void)?) { state.withLock { $0.watch = body } }

    var isDead: Bool { state.withLock { $0.isDead } }

    func die() {
        state.withLock { $0.isDead = true }
        endAll()
    }

    /// Ends a task when the process dies. What passes no crossing would otherwise outlive it.
    func ends(_ task: Task<Void, Never>) { state.withLock { $0.beside.append(task) } }

    private func endAll() {
        for task in state.withLock({ $0.beside }) { task.cancel() }
        death.ring()
    }

    /// The fates that it has met.
    var met: FateCount { state.withLock { $0.met } }

    /// The names of all crossings so far.
    var crossings: [String] { state.withLock { $0.crossings } }

    /// The task that `isCancelled` cancels.
    func setWork(_ task: Task<Void, Never>?, in slot: Int) { state.withLock { $0.work[slot] = task } }

    /// Passes the crossing of the process whose task this is.
    static func pass<Operation>(
        _ names: CrossingNames<Operation>,
        _ operation: Operation,
        _ moment: FaultMoment
    ) async -> Passage {
        await Task.yield()
        guard let gate = current else { return .open }
        return await gate.pass(names[operation, moment], isCancellable: names.isCancellable)
    }

    private func pass(_ name: String, isCancellable: Bool) async -> Passage {
        if let delay = delay() { await clock.wait(delay) }
        state.withLock { $0.watch }?(name)
        let fate = meet(name)
        switch fate {
        case .dies: endAll()
        case .isCancelled:
            let work = state.withLock { $0.work }
            for (_, task) in work.sorted(by: { $0.key < $1.key }) { task.cancel() }
        case .fails, .stops, nil: break
        }
        while let until = state.withLock({ $0.stoppedUntil }), until > clock.now {
            await clock.wait(until - clock.now)
        }
        if isDead || fate == .fails { return .closed }
        return isCancellable && Task.isCancelled ? .cancelled : .open
    }

    /// Counts a crossing; answers what happens at it.
    private func meet(_ name: String) -> Fate? {
        state.withLock { state in
            guard !state.isDead else { return .dies }
            var fate: Fate?
            if !state.fates.isEmpty { fate = state.fates.removeValue(forKey: state.crossings.count) }
            if fate == nil, !state.named.isEmpty { fate = state.named.removeValue(forKey: name) }
            state.crossings.append(name)
            switch fate {
            case .dies:
                state.isDead = true
                state.met.deaths += 1
            case .stops(let duration):
                state.stoppedUntil = clock.now + duration
                state.met.stops += 1
            case .fails: state.met.failures += 1
            case .isCancelled: state.met.cancellations += 1
            case nil: break
            }
            return fate
        }
    }
}

extension Gate {
    private static let storeNames = CrossingNames<InMemoryUploadStore.Operation>("store")
    private static let leaseNames = CrossingNames<InMemoryLeaseStore.Operation>("leases")
    private static let stagingNames = CrossingNames<InMemoryStaging.Operation>("staging")
    private static let targetNames = CrossingNames<InMemoryTarget.Operation>("target", isCancellable: true)

    static func store(_ operation: InMemoryUploadStore.Operation, _ moment: FaultMoment) async -> StoreError? {
        await pass(storeNames, operation, moment) == .open ? nil : .unavailable("cut off")
    }

    static func leases(_ operation: InMemoryLeaseStore.Operation, _ moment: FaultMoment) async -> StoreError? {
        await pass(leaseNames, operation, moment) == .open ? nil : .unavailable("cut off")
    }

    static func staging(_ operation: InMemoryStaging.Operation, _ moment: FaultMoment) async -> StagingError? {
        await pass(stagingNames, operation, moment) == .open ? nil : .failed("cut off")
    }

    static func target(_ operation: InMemoryTarget.Operation, _ moment: FaultMoment) async -> TargetError? {
        switch await pass(targetNames, operation, moment) {
        case .open: nil
        case .closed: TargetError(.interrupted, "cut off")
        case .cancelled: TargetError(.cancelled, "cancelled")
        }
    }
}
