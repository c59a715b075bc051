// How many bytes of file data a session holds at once, and who waits for room.

internal import DequeModule

/// A byte bound with a queue of waiters. Pure.
///
/// Streams take turns: the one that began first may fill the bound, those after it only what it leaves of one half. So the
/// bytes of several files travel one file after the other: while the last answers of one are on their way the next one
/// travels, and no two are at their end at once.
///
/// Waiters are let in when a quarter of the bound is free, so that a producer is woken for several pieces at once
/// and not for each reply.
struct SendBudget<Waiter> {
    let limit: Int
    private(set) var used = 0
    /// In the order in which they are let in.
    private var waiting: Deque<(bytes: Int, turn: Int, waiter: Waiter)> = []
    /// Of the streams under way, in the order in which they began.
    private var turns: Deque<Int> = []
    private var lastTurn = 0

    init(limit: Int) { self.limit = limit }

    /// A stream begins: its turn, which comes after those under way.
    mutating func begin() -> Int {
        lastTurn += 1
        turns.append(lastTurn)
        return lastTurn
    }

    /// A stream has handed over all that it has; returns the waiters that now hold what they asked for.
    mutating func end(_ turn: Int) -> [Waiter] {
        turns.removeAll { $0 == turn }
        return grant()
    }

    /// Takes `bytes` now, or returns false: then the caller calls ``wait(for:turn:waiter:)``.
    ///
    /// - Parameter turn: that of a stream; nil for what is no stream, which goes with the first.
    mutating func take(_ bytes: Int, turn: Int? = nil) -> Bool {
        let turn = turn ?? first
        guard waiting.first.map({ $0.turn > turn }) ?? true, fits(bytes, turn) else { return false }
        used += bytes
        return true
    }

    mutating func wait(for bytes: Int, turn: Int? = nil, waiter: Waiter) {
        let turn = turn ?? first
        let place = waiting.firstIndex { $0.turn > turn } ?? waiting.endIndex
        waiting.insert((bytes, turn, waiter), at: place)
    }

    /// Gives bytes back; returns the waiters that now hold what they asked for.
    mutating func release(_ bytes: Int) -> [Waiter] {
        used -= bytes
        return grant()
    }

    /// All waiters, when the session ends.
    mutating func end() -> [Waiter] {
        defer { waiting.removeAll() }
        return waiting.map(\.waiter)
    }

    private var first: Int { turns.first ?? lastTurn }

    private func fits(_ bytes: Int, _ turn: Int) -> Bool {
        used == 0 || used + bytes <= (turn <= first ? limit : limit / 2)
    }

    private mutating func grant() -> [Waiter] {
        guard !waiting.isEmpty, used <= limit / 4 * 3 else { return [] }
        var granted: [Waiter] = []
        while let next = waiting.first, fits(next.bytes, next.turn) {
            waiting.removeFirst()
            used += next.bytes
            granted.append(next.waiter)
        }
        return granted
    }
}
