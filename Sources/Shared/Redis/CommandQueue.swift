// The commands of one connection that wait for their replies: a pure state machine that returns what is to be done.

internal import DequeModule
internal import NIOCore

/// What a waiter gets: the reply to one command, or those to a run of commands.
enum RedisReplies: Equatable {
    case one(RESPValue)
    case many([RESPValue])
}

/// Replies come in the order of commands, and nothing in them says which they belong to; so the order here is all
/// there is. `Waiter` is whatever is to be told of the outcome.
///
/// A connection is `open`, then perhaps `draining` (no new commands, the pending ones are waited for), then `closed`.
struct CommandQueue<Waiter> {
    enum Phase: Equatable {
        case open
        case draining
        case closed(reason: String)
    }

    enum Received {
        /// More replies of the same run are to come.
        case more
        /// Tell the waiter, unless it has gone.
        case complete(Waiter?, RedisReplies)
        /// A reply that nobody asked for; the connection is to be closed.
        case unexpected(reason: String)
    }

    enum Expiry: Equatable {
        /// Nothing has expired; look again then.
        case look(at: NIODeadline)
        /// There is nothing to look for.
        case idle
        /// A command has expired; the connection is to be closed.
        case expired
    }

    struct Failure {
        let waiter: Waiter
        let error: RedisError
    }

    /// Why a connection ends, which decides what its waiters are told.
    enum Ending {
        case closed(reason: String)
        case violation(reason: String)
        case timeOut(now: NIODeadline)
    }

    private struct Entry {
        let ticket: UInt64
        var waiter: Waiter?
        let command: String
        let deadline: NIODeadline
        let count: Int
        var collected: [RESPValue] = []
    }

    private(set) var phase = Phase.open
    private var entries = Deque<Entry>()
    /// Entries from here on were not yet handed to the channel.
    private var written = 0
    /// Commands whose replies are to come, the runs' single commands counted.
    private(set) var pending = 0
    /// The earliest moment at which the owner is going to look for expired commands.
    private var watched: NIODeadline?
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    var isDrained: Bool { entries.isEmpty }

    /// Why `count` more commands cannot be taken, if so.
    func refusal(count: Int) -> RedisError? {
        switch phase {
        case .open: pending + count > limit ? .queueFull : nil
        case .draining: .notConnected(reason: "the connection is being closed")
        case .closed(let reason): .notConnected(reason: reason)
        }
    }

    /// Adds a command, or a run of `count` commands, that is about to be written; `refusal` was asked before.
    mutating func append(_ waiter: Waiter, ticket: UInt64, command: String, count: Int, deadline: NIODeadline) {
        entries.append(Entry(ticket: ticket, waiter: waiter, command: command, deadline: deadline, count: count))
        pending += count
    }

    /// All that was appended is now in the channel's hands and may reach the server.
    mutating func markWritten() {
        written = entries.count
    }

    /// The next reply in the stream.
    mutating func received(_ value: RESPValue) -> Received {
        guard written > 0 else {
            // A server that turns a connection away says so unasked.
            if case .error(let error) = value { return .unexpected(reason: error.description) }
            return .unexpected(reason: "a reply to no command")
        }
        pending -= 1
        if entries[0].count == 1 {
            written -= 1
            let entry = entries.removeFirst()
            return .complete(entry.waiter, .one(value))
        }
        entries[0].collected.append(value)
        guard entries[0].collected.count == entries[0].count else { return .more }
        written -= 1
        let entry = entries.removeFirst()
        return .complete(entry.waiter, .many(entry.collected))
    }

    /// A caller does not wait any more. Its command cannot be taken back, so its reply is still counted off.
    mutating func cancel(ticket: UInt64) -> Waiter? {
        guard let index = entries.firstIndex(where: { $0.ticket == ticket }) else { return nil }
        return entries[index].waiter.take()
    }

    /// A command with this deadline was added; whether the owner is to call `expire` then, because it has not been told
    /// of so early a moment yet.
    mutating func watch(_ deadline: NIODeadline) -> Bool {
        if let watched, watched <= deadline { return false }
        watched = deadline
        return true
    }

    /// The moment `alarm`, which the owner was told of, has come.
    mutating func expire(alarm: NIODeadline, now: NIODeadline) -> Expiry {
        // An earlier moment was named after this one, and it named the next one itself.
        guard phase.isAlive, watched == alarm else { return .idle }
        watched = entries.lazy.map(\.deadline).min()
        guard let watched else { return .idle }
        return watched <= now ? .expired : .look(at: watched)
    }

    /// Takes no new commands from now on.
    mutating func drain() {
        if phase == .open { phase = .draining }
    }

    /// The connection is finished; who is to be told, and what. Later calls return nothing.
    mutating func close(_ ending: Ending) -> [Failure] {
        guard phase.isAlive else { return [] }
        let reason: String =
            switch ending {
            case .closed(let reason), .violation(let reason): reason
            case .timeOut: "a command was not answered in time"
            }
        phase = .closed(reason: reason)
        defer {
            entries.removeAll()
            written = 0
            pending = 0
        }
        return entries.enumerated().compactMap { index, entry in
            guard let waiter = entry.waiter else { return nil }
            return Failure(waiter: waiter, error: error(for: entry, isWritten: index < written, ending, reason))
        }
    }

    private func error(for entry: Entry, isWritten: Bool, _ ending: Ending, _ reason: String) -> RedisError {
        if case .timeOut(let now) = ending, entry.deadline <= now { return .timedOut(command: entry.command) }
        guard isWritten else { return .notConnected(reason: reason) }
        if case .violation(let reason) = ending { return .protocolViolation(reason) }
        return .connectionClosed(command: entry.command)
    }
}

extension CommandQueue.Phase {
    /// Whether replies are still counted.
    var isAlive: Bool {
        if case .closed = self { false } else { true }
    }
}
