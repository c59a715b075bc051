// How many bytes of file data a session holds at once, and who waits for room.

internal import DequeModule

/// A byte bound with a queue of waiters. Pure.
///
/// Waiters are let in when a quarter of the bound is free, so that a producer is woken for several pieces at once
/// and not for each reply.
struct SendBudget<Waiter> {
    let limit: Int
    private(set) var used = 0
    private var waiting: Deque<(bytes: Int, waiter: Waiter)> = []

    init(limit: Int) { self.limit = limit }

    /// Takes `bytes` now, or returns false: then the caller calls ``wait(for:waiter:)``.
    mutating func take(_ bytes: Int) -> Bool {
        guard waiting.isEmpty, used == 0 || used + bytes <= limit else { return false }
        used += bytes
        return true
    }

    mutating func wait(for bytes: Int, waiter: Waiter) {
        waiting.append((bytes, waiter))
    }

    /// Gives bytes back; returns the waiters that now hold what they asked for.
    mutating func release(_ bytes: Int) -> [Waiter] {
        used -= bytes
        guard !waiting.isEmpty, used <= limit / 4 * 3 else { return [] }
        var granted: [Waiter] = []
        while let next = waiting.first, used == 0 || used + next.bytes <= limit {
            waiting.removeFirst()
            used += next.bytes
            granted.append(next.waiter)
        }
        return granted
    }

    /// All waiters, when the session ends.
    mutating func end() -> [Waiter] {
        defer { waiting.removeAll() }
        return waiting.map(\.waiter)
    }
}
