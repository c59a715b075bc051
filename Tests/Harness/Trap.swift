// Traps: a frame is recognised on its way and held, and whoever set the trap is told.

import Synchronization

/// Waits for frames on the connections of one or more proxies.
public final class Trap: Sendable {
    /// What happens to a frame that is caught.
    public enum Place: Sendable {
        /// It is held and has not arrived.
        case before
        /// Redis only: it passes, and its reply is held once the server has sent it.
        case after
        /// It passes, and so does its reply.
        case seen
        /// AMQP's `publish` only: it never arrives, and is confirmed all the same.
        case drop
    }

    /// A frame that was caught.
    public struct Catch: Sendable {
        /// Whose traffic it was in: the name of its board.
        public let owner: String
        /// What was caught.
        public let frame: TrafficFrame
        /// What is held; already open for `seen`.
        public let hold: Hold
    }

    let place: Place
    private let what: String
    private let matches: @Sendable (TrafficFrame) -> Bool
    private let state: Mutex<(left: Int, caught: [Catch])>

    /// - Parameters:
    ///   - what: names it where nothing is caught in time.
    ///   - times: how many frames it catches; 0 is none and for ever.
    public init(
        _ what: String,
        _ place: Place,
        times: Int = 1,
        where matches: @escaping @Sendable (TrafficFrame) -> Bool
    ) {
        self.what = what
        self.place = place
        self.matches = matches
        state = Mutex((times, []))
    }

    /// Catches no more; what is held stays held.
    public func disarm() { state.withLock { $0.left = 0 } }

    /// The next caught frame, each once.
    public func next(within: Duration = .seconds(20)) async throws -> Catch {
        try await eventuallyValue("caught: \(what)", within: within, every: .milliseconds(2)) { take() }
    }

    /// A caught frame, if there is one.
    public func take() -> Catch? {
        state.withLock { $0.caught.isEmpty ? nil : $0.caught.removeFirst() }
    }

    /// Whether the frame is this trap's; it counts then.
    func wants(_ frame: TrafficFrame) -> Bool {
        state.withLock { state in
            guard state.left > 0, matches(frame) else { return false }
            state.left -= 1
            return true
        }
    }

    func caught(_ frame: TrafficFrame, _ hold: Hold, owner: String) {
        state.withLock { $0.caught.append(Catch(owner: owner, frame: frame, hold: hold)) }
    }
}

/// The traps set on one proxy.
public final class TrapBoard: Sendable {
    /// Whose traffic the proxy sees.
    public let owner: String
    private let traps = Mutex<[Trap]>([])

    /// A board without traps.
    public init(owner: String) { self.owner = owner }

    /// Adds a trap; the earliest one that wants a frame gets it.
    public func set(_ trap: Trap) { traps.withLock { $0.append(trap) } }

    /// Removes all traps.
    public func clear() { traps.withLock { $0 = [] } }

    var isEmpty: Bool { traps.withLock { $0.isEmpty } }

    func trap(for frame: TrafficFrame) -> Trap? {
        traps.withLock { $0 }.first { $0.wants(frame) }
    }
}
