// Time that passes only when everybody waits for it.

import Core
import Synchronization

/// A clock whose sleepers wake in the order of their times, at once when nothing else can happen.
final class VirtualClock: Sendable {
    private struct Sleeper: Sendable {
        var until: Timestamp
        var continuation: UnsafeContinuation<Void, Never>
    }

    private struct State: Sendable {
        var now: Timestamp
        var next = 0
        var sleepers: [Int: Sleeper] = [:]
        var cancelled: Set<Int> = []
    }

    private let state: Mutex<State>

    init(now: Timestamp = Timestamp(microseconds: 1_700_000_000_000_000)) { state = Mutex(State(now: now)) }

    var now: Timestamp { state.withLock { $0.now } }

    /// Lets a little time pass, so that a loop that never waits does not stop the world.
    func tick() { state.withLock { $0.now = $0.now + .microseconds(5) } }

    /// Moves on by a time without waking anybody; they wake when everybody waits.
    func advance(by duration: Duration) { state.withLock { $0.now = $0.now + duration } }

    /// Moves on to the next sleeper's time and wakes it; false when nobody sleeps.
    func wakeNext() -> Bool {
        let sleeper = state.withLock { state -> Sleeper? in
            guard let next = state.sleepers.min(by: { ($0.value.until, $0.key) < ($1.value.until, $1.key) }) else {
                return nil
            }
            state.sleepers[next.key] = nil
            state.now = max(state.now, next.value.until)
            return next.value
        }
        sleeper?.continuation.resume()
        return sleeper != nil
    }

    /// Waits, cancelled or not: a stopped process notices nothing.
    func wait(_ duration: Duration) async {
        await withUnsafeContinuation { continuation in
            state.withLock { state in
                state.next += 1
                state.sleepers[state.next] = Sleeper(until: state.now + duration, continuation: continuation)
            }
        }
    }

    /// Waits; throws at once when the task is cancelled.
    func sleep(_ duration: Duration) async throws {
        let key = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.cancelled.remove(key) != nil { return true }
                    state.sleepers[key] = Sleeper(until: state.now + duration, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                let sleeper = state.sleepers.removeValue(forKey: key)
                if sleeper == nil { state.cancelled.insert(key) }
                return sleeper
            }
            sleeper?.continuation.resume()
        }
        try Task.checkCancellation()
    }
}
