// Decides whether a failing server may be tried again.

/// Opens after a number of connection failures in a row, lets one trial through after a while, closes on success.
///
/// Pure: time comes from the caller.
public struct CircuitBreaker: Sendable, Equatable {
    /// What an operator sees.
    public enum State: Sendable, Equatable {
        /// Connections are made as needed.
        case closed
        /// No connection is tried before this time.
        case open(until: ContinuousClock.Instant)
        /// One connection is tried; the next outcome decides.
        case halfOpen
    }

    /// The state now.
    public private(set) var state = State.closed
    /// Failures since the last success.
    public private(set) var failures = 0
    private let threshold: Int
    private let pause: Duration
    private let longestPause: Duration
    private var openings = 0

    /// A closed breaker. One connection every quarter of a minute burdens no server, and work goes on soon after it is
    /// well again. Each opening in a row doubles the pause, up to `longestPause`.
    public init(threshold: Int = 5, pause: Duration = .seconds(5), longestPause: Duration = .seconds(15)) {
        self.threshold = threshold
        self.pause = pause
        self.longestPause = longestPause
    }

    /// Asks to make a connection: `nil` is yes, otherwise how long to leave the server alone.
    ///
    /// A yes in the open state is the one trial: until ``succeeded()``, ``failed(at:)`` or ``gaveUp()`` all others are
    /// told no.
    public mutating func request(at now: ContinuousClock.Instant) -> Duration? {
        switch state {
        case .closed:
            return nil
        case .open(let until):
            guard now >= until else { return now.duration(to: until) }
            state = .halfOpen
            return nil
        case .halfOpen:
            return .seconds(1)
        }
    }

    /// A connection was made.
    public mutating func succeeded() {
        state = .closed
        failures = 0
        openings = 0
    }

    /// A connection could not be made.
    public mutating func failed(at now: ContinuousClock.Instant) {
        failures += 1
        switch state {
        case .closed:
            if failures >= threshold { open(at: now) }
        case .halfOpen:
            open(at: now)
        case .open:
            // An attempt begun before the breaker opened; it says nothing new.
            break
        }
    }

    /// The trial was given up without an outcome; the next request is the trial.
    public mutating func gaveUp(at now: ContinuousClock.Instant) {
        if case .halfOpen = state { state = .open(until: now) }
    }

    /// Somebody else found out that the server is to be left alone until a time.
    public mutating func leaveAlone(until time: ContinuousClock.Instant) {
        state = .open(until: time)
    }

    private mutating func open(at now: ContinuousClock.Instant) {
        var length = pause
        for _ in 0..<min(openings, 16) where length < longestPause { length = length * 2 }
        openings += 1
        state = .open(until: now + min(length, longestPause))
    }
}
