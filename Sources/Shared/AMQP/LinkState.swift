// Whether there is a connection, for readiness, metrics and those who wait for one.

internal import Synchronization

/// What a publisher, consumer or requester has of a connection.
public enum AMQPLinkState: Sendable, Equatable {
    /// None at present, and the last error if there was one. A new one is being tried unless `run` has not begun.
    case disconnected(reason: String?)
    /// Connected, topology declared.
    case connected
    /// Connected, but the broker takes no messages, for this reason.
    case blocked(reason: String)
    /// `run` has returned.
    case stopped
}

extension AMQPLinkState: CustomStringConvertible {
    /// In words.
    public var description: String {
        switch self {
        case .disconnected(let reason): reason ?? "nothing was tried yet"
        case .connected: "connected"
        case .blocked(let reason): "the broker takes no messages: \(reason)"
        case .stopped: "stopped"
        }
    }
}

/// The state of one link, changed by its thread.
final class LinkState: Sendable {
    private struct State {
        var current = AMQPLinkState.disconnected(reason: nil)
        var hasBegun = false
        var waiting: [Ticket<Void>] = []
    }

    private let state = Mutex(State())

    var current: AMQPLinkState { state.withLock { $0.current } }

    /// Whether `run` has been called.
    var hasBegun: Bool { state.withLock { $0.hasBegun } }

    /// To be called by `run`, once.
    func begin() throws(AMQPError) {
        let first = state.withLock { state in
            defer { state.hasBegun = true }
            return !state.hasBegun
        }
        guard first else { throw .invalid("run was called before; make a new one") }
    }

    func set(_ new: AMQPLinkState) {
        let waiting = state.withLock { state -> [Ticket<Void>] in
            state.current = new
            switch new {
            case .connected, .stopped:
                defer { state.waiting = [] }
                return state.waiting
            case .disconnected, .blocked:
                return []
            }
        }
        for ticket in waiting {
            ticket.finish(new == .connected ? .success(()) : .failure(.connectionClosed("stopped")))
        }
    }

    /// Returns when connected; throws `timedOut` with the last reason.
    func waitUntilConnected(within: Duration) async throws(AMQPError) {
        let ticket = Ticket<Void>()
        let now: AMQPLinkState = state.withLock { state in
            state.waiting.removeAll(where: \.isFinished)
            state.waiting.append(ticket)
            return state.current
        }
        switch now {
        case .connected: ticket.finish(.success(()))
        case .stopped: ticket.finish(.failure(.connectionClosed("stopped")))
        case .disconnected, .blocked: break
        }
        let timer = Task {
            try? await Task.sleep(for: within)
            ticket.finish(.failure(.timedOut("no connection within \(within); \(self.current)")))
        }
        defer { timer.cancel() }
        try await ticket.value()
    }
}
