// Which connection callers get, who waits for one, and when the next attempt is due: a pure state machine.

internal import NIOCore

/// `Waiter` is whatever is to be given the connection, `Connection` any object.
struct ConnectionKeeper<Connection: AnyObject, Waiter> {
    private enum Phase {
        /// Nobody keeps a connection; its owner has not been started.
        case idle
        /// One is being made, or the pause before the next attempt lasts.
        case disconnected(reason: String)
        case connected(Connection, since: NIODeadline)
        case stopped
    }

    enum Acquired {
        case connection(Connection)
        case refused(RedisError)
        /// The waiter was taken in; look for waiters that waited too long at that moment, if one is named.
        case waiting(lookAt: NIODeadline?)
    }

    struct Overdue {
        let waiters: [Waiter]
        let error: RedisError
        let lookAt: NIODeadline?
    }

    private struct Entry {
        let ticket: UInt64
        let waiter: Waiter
        let deadline: NIODeadline
    }

    private var phase = Phase.idle
    private var waiting: [Entry] = []
    private var watched: NIODeadline?
    private var attempts = 0
    private let limit: Int
    private let minimumBackoff: Duration
    private let maximumBackoff: Duration

    init(limit: Int, minimumBackoff: Duration, maximumBackoff: Duration) {
        self.limit = limit
        self.minimumBackoff = minimumBackoff
        self.maximumBackoff = max(minimumBackoff, maximumBackoff)
    }

    /// The connection for callers, if there is one.
    var connection: Connection? {
        if case .connected(let connection, _) = phase { connection } else { nil }
    }

    /// The owner begins; it must not have begun before.
    mutating func start() -> Bool {
        guard case .idle = phase else { return false }
        phase = .disconnected(reason: "no connection was made yet")
        return true
    }

    /// The connection, or a place among those who wait for it.
    mutating func acquire(_ waiter: Waiter, ticket: UInt64, deadline: NIODeadline) -> Acquired {
        switch phase {
        case .connected(let connection, _): return .connection(connection)
        case .stopped: return .refused(.notConnected(reason: Self.stoppedReason))
        case .idle, .disconnected: break
        }
        guard waiting.count < limit else { return .refused(.queueFull) }
        waiting.append(Entry(ticket: ticket, waiter: waiter, deadline: deadline))
        if let watched, watched <= deadline { return .waiting(lookAt: nil) }
        watched = deadline
        return .waiting(lookAt: deadline)
    }

    /// A caller does not wait any more.
    mutating func cancel(ticket: UInt64) -> Waiter? {
        guard let index = waiting.firstIndex(where: { $0.ticket == ticket }) else { return nil }
        return waiting.remove(at: index).waiter
    }

    /// The moment `alarm`, which the owner was told of, has come: who waited too long, and when to look again.
    mutating func expire(alarm: NIODeadline, now: NIODeadline) -> Overdue {
        let error = RedisError.notConnected(reason: reason)
        guard watched == alarm else { return Overdue(waiters: [], error: error, lookAt: nil) }
        let overdue = waiting.filter { $0.deadline <= now }.map(\.waiter)
        waiting.removeAll { $0.deadline <= now }
        watched = waiting.map(\.deadline).min()
        return Overdue(waiters: overdue, error: error, lookAt: watched)
    }

    /// A connection is ready; all who wait get it. `nil` if nobody wants it any more: it is to be closed.
    mutating func connected(_ connection: Connection, now: NIODeadline) -> [Waiter]? {
        guard case .disconnected = phase else { return nil }
        phase = .connected(connection, since: now)
        watched = nil
        defer { waiting.removeAll() }
        return waiting.map(\.waiter)
    }

    /// This connection is of no more use. A connection that was replaced already changes nothing.
    mutating func lost(_ connection: Connection, reason: String, now: NIODeadline) {
        guard case .connected(let current, let since) = phase, current === connection else { return }
        phase = .disconnected(reason: reason)
        // One that held for a while proves that the server is well; one that did not is a failed attempt.
        if Duration(now - since) >= maximumBackoff { attempts = 0 }
    }

    /// An attempt to connect failed.
    mutating func failed(reason: String) {
        if case .disconnected = phase { phase = .disconnected(reason: reason) }
    }

    /// The pause before the next attempt: doubled each time, and between half and the whole of that by `jitter`
    /// (0 to 1), so that many clients do not come back at once.
    mutating func backoff(jitter: Double) -> Duration {
        let doubled = minimumBackoff * (1 << min(attempts, 20))
        attempts += 1
        return min(doubled, maximumBackoff) * (0.5 + 0.5 * min(max(jitter, 0), 1))
    }

    /// The owner ends; who is to be told so.
    mutating func stop() -> (waiters: [Waiter], error: RedisError) {
        phase = .stopped
        watched = nil
        defer { waiting.removeAll() }
        return (waiting.map(\.waiter), .notConnected(reason: Self.stoppedReason))
    }

    private var reason: String {
        switch phase {
        case .idle: "the client is not running"
        case .disconnected(let reason): reason
        case .connected: "the connection was just made"
        case .stopped: Self.stoppedReason
        }
    }

    private static var stoppedReason: String { "the client was shut down" }
}
