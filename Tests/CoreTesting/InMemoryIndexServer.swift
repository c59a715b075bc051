// The index's server in memory: shared by the stores of all processes of a test, with what can happen to a server.

public import Core
internal import Synchronization

/// Holds one index. It has no time and no chance of its own.
public final class InMemoryIndexServer: Sendable {
    private struct State: Sendable {
        var index = InMemoryIndex()
        var run = 1
        var isFull = false
    }

    private let state = Mutex(State())
    private let clock: @Sendable () -> Timestamp
    private let overtaken: @Sendable (String) -> Void
    private let empty: InMemoryIndex

    /// An empty index.
    ///
    /// - Parameters:
    ///   - clock: the server's time.
    ///   - recordsJobs: whether the outbox is kept. Without, a simulation must notice what is lost.
    ///   - checksFences: whether a claim that another has followed is refused. Without, a simulation must notice it.
    ///   - overtaken: told of every change that was made under a claim that was not the present one.
    public init(
        clock: @escaping @Sendable () -> Timestamp,
        recordsJobs: Bool = true,
        checksFences: Bool = true,
        overtaken: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.clock = clock
        self.overtaken = overtaken
        var empty = InMemoryIndex()
        empty.recordsJobs = recordsJobs
        empty.checksFences = checksFences
        self.empty = empty
        state.withLock { $0.index = empty }
    }

    /// What it holds now: to look at, or for `rollBack`.
    public var index: InMemoryIndex { state.withLock { $0.index } }

    /// Whether an entry of a target's outbox is due.
    public func isDue(_ target: TargetID) -> Bool {
        let now = clock()
        return state.withLock { state in
            guard let jobs = state.index.outbox[target], !jobs.isEmpty else { return false }
            return jobs.values.contains { $0 <= now }
        }
    }

    /// Forgets everything, as `FLUSHALL` does.
    public func wipe() { state.withLock { $0.index = empty } }

    /// Loses one upload, and nothing else.
    public func forget(_ id: UploadID) { state.withLock { $0.index.forget(id) } }

    /// Restarts with what it holds; processes must compare it with staging before they change anything.
    public func restart() { state.withLock { $0.run += 1 } }

    /// Restarts with what it held before: the tail of its log was lost.
    public func rollBack(to index: InMemoryIndex) {
        state.withLock { state in
            state.index = index
            state.run += 1
        }
    }

    /// Takes nothing new while full, but still ends and frees things.
    public func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }

    /// Changes or asks the index.
    ///
    /// - Parameters:
    ///   - epoch: the index that the caller attached to; nil where it does not matter.
    ///   - grows: whether it needs memory.
    func perform<Value>(
        as epoch: InMemoryIndex.Epoch?,
        grows: Bool = false,
        _ body: (inout InMemoryIndex, Timestamp, _ run: Int) -> Value
    ) throws(StoreError) -> Value {
        let now = clock()
        let result = state.withLock { state -> Result<Value, StoreError> in
            if let epoch, epoch.run != state.run || state.index.epoch?.id != epoch.id { return .failure(.rebuilding) }
            if grows, state.isFull { return .failure(.full) }
            return .success(body(&state.index, now, state.run))
        }
        return try result.get()
    }

    /// Changes an upload under a claim, as `perform` does. Whether the claim was the present one is looked at here too,
    /// apart from the index's own check: that one may be switched off, or wrong.
    func perform<Value>(
        as epoch: InMemoryIndex.Epoch,
        under fence: Fence,
        of id: UploadID,
        _ body: (inout InMemoryIndex, Timestamp) -> Value
    ) throws(StoreError) -> Value {
        let (value, isOvertaken) = try perform(as: epoch) { index, now, _ -> (Value, Bool) in
            let before = index.entries[id]
            let value = body(&index, now)
            guard let before, !before.holds(fence), let after = index.entries[id] else { return (value, false) }
            return (value, !after.isUnchanged(from: before))
        }
        if isOvertaken { overtaken("\(id) was changed under claim \(fence), which another had followed") }
        return value
    }
}
