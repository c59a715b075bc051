// Time that passes only when everybody waits for it.

import Core
import Synchronization

/// A clock whose sleepers wake in the order of their times, at once when nothing else can happen.
final class VirtualClock: Sendable {
    private struct Sleeper: Sendable {
        var until: Int64
        var key: Int
        var continuation: UnsafeContinuation<Void, Never>
    }

    private struct State: Sendable {
        var now: Int64
        var next = 0
        /// The one that wakes next comes last: it is taken at every step of an idle world.
        var sleepers: [Sleeper] = []
        var cancelled: Set<Int> = []

        mutating func insert(_ sleeper: Sleeper) {
            var place = sleepers.count
            // Of two with the same time the one that came first wakes first.
            while place > 0, sleepers[place - 1].until <= sleeper.until { place -= 1 }
            sleepers.insert(sleeper, at: place)
        }

        mutating func remove(_ key: Int) -> Sleeper? {
            var place = 0
            while place < sleepers.count {
                if sleepers[place].key == key { return sleepers.remove(at: place) }
                place += 1
            }
            return nil
        }
    }

    private let state: Mutex<State>

    init(now: Timestamp = Timestamp(microseconds: 1_700_000_000_000_000)) {
        state = Mutex(State(now: now.microseconds))
    }

    var now: Timestamp { Timestamp(microseconds: state.withLock { $0.now }) }

    /// Lets a little time pass, so that a loop that never waits does not stop the world.
    func tick() { state.withLock { $0.now += 5 } }

    /// Moves on by a time without waking anybody; they wake when everybody waits.
    func advance(by duration: Duration) {
        let time = duration.microseconds
        state.withLock { $0.now += time }
    }

    /// Moves on to the next sleeper's time and wakes it; false when nobody sleeps.
    func wakeNext() -> Bool {
        let sleeper = state.withLock { state -> Sleeper? in
            guard let next = state.sleepers.popLast() else { return nil }
            if next.until > state.now { state.now = next.until }
            return next
        }
        sleeper?.continuation.resume()
        return sleeper != nil
    }

    /// Waits, cancelled or not: a stopped process notices nothing.
    func wait(_ duration: Duration) async {
        let time = duration.microseconds
        await withUnsafeContinuation { continuation in
            state.withLock { state in
                state.next += 1
                state.insert(Sleeper(until: state.now + time, key: state.next, continuation: continuation))
            }
        }
    }

    /// Waits; throws at once when the task is cancelled.
    func sleep(_ duration: Duration) async throws {
        let time = duration.microseconds
        let key = state.withLock { state in
            state.next += 1
            return state.next
        }
        await suspend { continuation in
            state.withLock { state in
                if !state.cancelled.isEmpty, state.cancelled.remove(key) != nil { return true }
                state.insert(Sleeper(until: state.now + time, key: key, continuation: continuation))
                return false
            }
        } withdraw: {
            state.withLock { state in
                let sleeper = state.remove(key)
                if sleeper == nil { state.cancelled.insert(key) }
                return sleeper?.continuation
            }
        }
        try Task.checkCancellation()
    }
}
