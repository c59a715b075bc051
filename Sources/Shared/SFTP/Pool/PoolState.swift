// The bookkeeping of a session pool: which session to use, when to open one, when to let one go.

/// Sizes and times of a pool.
public struct PoolLimits: Sendable, Equatable {
    /// Live sessions, at most.
    public var sessions: Int
    /// Handshakes at once, at most; sshd drops logins beyond its MaxStartups.
    public var handshakes = 4
    /// A session that carried so many bytes gets no new work; OpenSSH would ask for new keys soon after.
    public var recycleAfterBytes: UInt64 = 32 << 30
    /// A session nobody used for this long is closed.
    public var idleTime: Duration = .seconds(60)
    /// A refused login is not tried again for this long; repeated ones get accounts locked. Who asks meanwhile waits for
    /// the next try: what was refused a moment ago may have been put right since.
    public var refusalMemory: Duration = .seconds(5)
    /// Wait after the first failed connection; doubles up to `longestBackoff`, jittered.
    public var backoff: Duration = .milliseconds(200)
    /// Longest wait after a failed connection.
    public var longestBackoff: Duration = .seconds(10)

    /// Default limits for a number of sessions.
    public init(sessions: Int) { self.sessions = max(1, sessions) }
}

/// Which session does what. Pure: time, jitter and everything that happened come from the caller.
struct PoolState {
    typealias Instant = ContinuousClock.Instant

    struct Slot: Equatable {
        enum Phase: Equatable { case connecting, live, retired }
        var phase: Phase
        var users = 0
        var idleSince: Instant
    }

    enum Decision: Equatable {
        /// Use this session; its user count is already raised.
        case use(Int)
        /// Open a session under this number, then decide again.
        case open(Int)
        /// Decide again after something changes, or at this time if one is given.
        case wait(until: Instant?)
        case fail(SFTPError)
    }

    /// How many callers a session gets while others are being opened, and how long another caller waits for those: a handshake
    /// is eight round trips or so.
    private static let (share, patience) = (2, Duration.seconds(2))

    let limits: PoolLimits
    private(set) var slots: [Int: Slot] = [:]
    private(set) var breaker: CircuitBreaker
    private var nextSlot = 0
    private var notBefore: Instant?
    private var consecutiveFailures = 0
    private var lastFailure = ""
    private var refusedUntil: Instant?
    /// How many sessions the gate lets this process have; nil for no bound but the pool's own.
    private var allowance: Int?
    /// How many sessions are wanted beside the pool, and kept free for that.
    private var lent = 0
    private var noSeatUntil: Instant?
    private(set) var isShutDown = false

    init(limits: PoolLimits, breaker: CircuitBreaker = CircuitBreaker()) {
        self.limits = limits
        self.breaker = breaker
    }

    private var connecting: Int { slots.values.count { $0.phase == .connecting } }
    private var occupied: Int { slots.values.count { $0.phase != .retired } }
    private var bound: Int { max(1, min(limits.sessions, allowance ?? .max) - lent) }

    /// What a caller who wants a session is to do.
    ///
    /// - Parameter start: since when it wants one.
    mutating func decide(at now: Instant, since start: Instant? = nil) -> Decision {
        if isShutDown { return .fail(.closed) }
        let best = slots.filter { $0.value.phase == .live }.min { ($0.value.users, $0.key) < ($1.value.users, $1.key) }
        if let best, best.value.users == 0 { return use(best.key, at: now) }
        let hasSeat = noSeatUntil.map { now >= $0 } ?? true
        let mayOpen =
            hasSeat && occupied < bound && connecting < limits.handshakes
        if let best {
            // One is usable: another is opened beside it only if nothing speaks against it.
            if mayOpen, !isHeldBack(at: now), breaker.state == .closed { return open(at: now) }
            // Those that are open in a moment take their share: who piles up on the first one stays there.
            let until = (start ?? now) + Self.patience
            if best.value.users >= Self.share, connecting > 0, now < until { return .wait(until: until) }
            return use(best.key, at: now)
        }
        if let refusedUntil {
            if now < refusedUntil { return .wait(until: refusedUntil) }
            // One login is tried; its outcome is this caller's answer too.
            if connecting > 0 { return .wait(until: nil) }
        }
        guard mayOpen else { return .wait(until: hasSeat ? nil : noSeatUntil) }
        if let notBefore, now < notBefore {
            if case .open(let until) = breaker.state, now < until {
                return .fail(.breakerOpen(retryAfter: now.duration(to: until), cause: lastFailure))
            }
            return .wait(until: notBefore)
        }
        let wasHalfOpen = breaker.state == .halfOpen
        if let pause = breaker.request(at: now) {
            // Somebody's trial is under way: its outcome is this caller's answer too.
            if wasHalfOpen, connecting > 0 { return .wait(until: nil) }
            return .fail(.breakerOpen(retryAfter: pause, cause: lastFailure))
        }
        return open(at: now)
    }

    private func isHeldBack(at now: Instant) -> Bool {
        if let notBefore, now < notBefore { return true }
        if let refusedUntil, now < refusedUntil { return true }
        return false
    }

    private mutating func use(_ number: Int, at now: Instant) -> Decision {
        slots[number]?.users += 1
        return .use(number)
    }

    private mutating func open(at now: Instant) -> Decision {
        defer { nextSlot += 1 }
        slots[nextSlot] = Slot(phase: .connecting, idleSince: now)
        return .open(nextSlot)
    }

    /// A session was opened.
    mutating func opened(_ number: Int, at now: Instant) {
        slots[number] = Slot(phase: .live, idleSince: now)
        breaker.succeeded()
        notBefore = nil
        noSeatUntil = nil
        consecutiveFailures = 0
        refusedUntil = nil
    }

    /// A session could not be opened. `jitter` is a random number from 0 to 1.
    mutating func failed(_ number: Int, _ error: SFTPError, at now: Instant, jitter: Double) {
        slots[number] = nil
        if case .cancelled = error { return breaker.gaveUp(at: now) }
        if error.isRefusal {
            // The server is reachable: the breaker has nothing to say about it.
            refusedUntil = now + limits.refusalMemory
            breaker.gaveUp(at: now)
            return
        }
        breaker.failed(at: now)
        lastFailure = "\(error)"
        consecutiveFailures += 1
        var pause = limits.backoff
        for _ in 1..<min(consecutiveFailures, 17) where pause < limits.longestBackoff { pause = pause * 2 }
        notBefore = now + min(pause, limits.longestBackoff) * (0.5 + jitter / 2)
    }

    /// The gate did not let a session be opened.
    mutating func turnedAway(_ number: Int, _ error: SFTPError, at now: Instant) {
        slots[number] = nil
        switch error {
        case .breakerOpen(let pause, let cause):
            lastFailure = cause
            breaker.leaveAlone(until: now + pause)
        case .noSeat(let pause):
            breaker.gaveUp(at: now)
            noSeatUntil = now + pause
        default: breaker.gaveUp(at: now)
        }
    }

    /// Whether the last answer to whoever wants a session was that there is no seat.
    func lacksSeat(at now: Instant) -> Bool { slots.isEmpty && noSeatUntil.map { now <= $0 } ?? false }

    /// How many sessions this process may have from now on. Those above it get no new work; returns the ones that
    /// nobody uses, which are forgotten here and to be closed by the caller.
    mutating func allow(_ count: Int?) -> [Int] {
        allowance = count.map { max(1, $0) }
        return retireSurplus(above: allowance ?? .max)
    }

    /// One session less, for one that is wanted beside the pool, until ``takeBack()``; returns those that nobody uses, as
    /// ``allow(_:)`` does. The last one stays.
    mutating func lend() -> [Int] {
        lent += 1
        return retireSurplus(above: max(1, slots.values.count { $0.phase == .live } - 1))
    }

    /// The session beside the pool was opened, or is not wanted any more.
    mutating func takeBack() { lent -= 1 }

    private mutating func retireSurplus(above count: Int) -> [Int] {
        let live = slots.filter { $0.value.phase == .live }
        let surplus = live.sorted { ($0.value.users, $1.key) < ($1.value.users, $0.key) }.prefix(
            max(0, live.count - count)
        )
        return surplus.map(\.key).filter { retire($0) }
    }

    /// A session gets no new work. Returns whether it is to be closed now; it is forgotten here then.
    mutating func retire(_ number: Int) -> Bool {
        guard var slot = slots[number], slot.phase == .live else { return false }
        slot.phase = .retired
        slots[number] = slot.users > 0 ? slot : nil
        return slot.users == 0
    }

    /// A user is done with a session. Returns whether the session is to be closed.
    mutating func released(_ number: Int, isAlive: Bool, bytes: UInt64, at now: Instant) -> Bool {
        guard var slot = slots[number] else { return false }
        slot.users -= 1
        slot.idleSince = now
        if !isAlive || bytes >= limits.recycleAfterBytes { slot.phase = .retired }
        slots[number] = slot
        guard slot.phase == .retired, slot.users <= 0 else { return false }
        slots[number] = nil
        return true
    }

    /// A session was found dead before it was used: it is forgotten at once.
    mutating func lost(_ number: Int) {
        slots[number] = nil
    }

    /// Sessions nobody used for the idle time; they are forgotten here and to be closed by the caller.
    mutating func takeIdle(at now: Instant) -> [Int] {
        let idle = slots.filter {
            $0.value.phase == .live && $0.value.users == 0 && $0.value.idleSince.duration(to: now) >= limits.idleTime
        }.map(\.key)
        for number in idle { slots[number] = nil }
        return idle.sorted()
    }

    /// When ``takeIdle(at:)`` next has something to do.
    var nextIdleTime: Instant? {
        slots.values.filter { $0.phase == .live && $0.users == 0 }.map { $0.idleSince + limits.idleTime }.min()
    }

    /// Ends the pool: every later decision is a failure.
    mutating func shutDown() {
        isShutDown = true
        slots = slots.filter { $0.value.phase != .live || $0.value.users > 0 }
    }
}
