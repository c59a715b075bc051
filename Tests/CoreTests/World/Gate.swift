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
    }

    /// The process whose task this is; none for what watches over the world.
    @TaskLocal static var current: Gate?

    private let state = Mutex(State())
    private let clock: VirtualClock

    init(clock: VirtualClock) { self.clock = clock }

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

    func die() { state.withLock { $0.isDead = true } }

    /// The names of all crossings so far.
    var crossings: [String] { state.withLock { $0.crossings } }

    /// The task that `isCancelled` cancels.
    func setWork(_ task: Task<Void, Never>?, in slot: Int) { state.withLock { $0.work[slot] = task } }

    /// Passes the crossing of the process whose task this is.
    static func pass(_ operation: String, _ moment: FaultMoment) async -> Passage {
        await Task.yield()
        guard let gate = current else { return .open }
        return await gate.pass("\(operation).\(moment)")
    }

    private func pass(_ name: String) async -> Passage {
        state.withLock { $0.watch }?(name)
        let (fate, work) = state.withLock { state -> (Fate?, [Task<Void, Never>]) in
            guard !state.isDead else { return (.dies, []) }
            let fate = state.fates.removeValue(forKey: state.crossings.count) ?? state.named.removeValue(forKey: name)
            state.crossings.append(name)
            if fate == .dies { state.isDead = true }
            if case .stops(let duration) = fate { state.stoppedUntil = clock.now + duration }
            return (fate, state.work.sorted { $0.key < $1.key }.map(\.value))
        }
        if fate == .isCancelled { for task in work { task.cancel() } }
        while let until = state.withLock({ $0.stoppedUntil }), until > clock.now {
            await clock.wait(until - clock.now)
        }
        if isDead || fate == .fails { return .closed }
        return Task.isCancelled && name.hasPrefix("target.") ? .cancelled : .open
    }
}

extension Gate {
    static func store(_ operation: InMemoryUploadStore.Operation, _ moment: FaultMoment) async -> StoreError? {
        await pass("store.\(operation)", moment) == .open ? nil : .unavailable("cut off")
    }

    static func leases(_ operation: InMemoryLeaseStore.Operation, _ moment: FaultMoment) async -> StoreError? {
        await pass("leases.\(operation)", moment) == .open ? nil : .unavailable("cut off")
    }

    static func staging(_ operation: InMemoryStaging.Operation, _ moment: FaultMoment) async -> StagingError? {
        await pass("staging.\(operation)", moment) == .open ? nil : .failed("cut off")
    }

    static func target(_ operation: InMemoryTarget.Operation, _ moment: FaultMoment) async -> TargetError? {
        switch await pass("target.\(operation)", moment) {
        case .open: nil
        case .closed: TargetError(.interrupted, "cut off")
        case .cancelled: TargetError(.cancelled, "cancelled")
        }
    }
}
