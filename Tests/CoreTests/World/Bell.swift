// What wakes those who wait for something to happen, so that nobody has to look again and again.

import Synchronization

/// Wakes everybody who waits for it. One that rings while nobody waits is not remembered.
final class Bell: Sendable {
    private struct Waiter: Sendable {
        var key: Int
        var continuation: UnsafeContinuation<Void, Never>
    }

    private struct State: Sendable {
        var next = 0
        var waiters: [Waiter] = []
        var cancelled: Set<Int> = []
    }

    private let state = Mutex(State())

    /// Waits for the next ring, or until the task is cancelled.
    func wait() async {
        let key = state.withLock { state in
            state.next += 1
            return state.next
        }
        await suspend {
            let waiter = Waiter(key: key, continuation: $0)
            return state.withLock { state in
                if state.cancelled.remove(key) != nil { return true }
                state.waiters.append(waiter)
                return false
            }
        } withdraw: {
            state.withLock { state in
                guard let place = state.waiters.firstIndex(where: { $0.key == key }) else {
                    state.cancelled.insert(key)
                    return nil
                }
                return state.waiters.remove(at: place).continuation
            }
        }
    }

    /// Wakes those who wait now.
    func ring() {
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = []
            return waiters
        }
        for waiter in waiters { waiter.continuation.resume() }
    }
}
