// Sessions to one account, shared by many callers.

public import Logging
internal import Synchronization

/// Up to a number of live sessions, opened when needed; each caller gets the least loaded one.
///
/// Sessions are shared: requests of several callers travel together. A caller that finds its session dead gets the
/// error; the next caller gets another session.
public final class SFTPPool: Sendable {
    private struct State {
        var pool: PoolState
        var sessions: [Int: SFTPSession] = [:]
        var waiters: [OneShot<Void>] = []
        var openings: [Int: Task<Void, Never>] = [:]
        var sweeper: Task<Void, Never>?
    }

    /// Where the sessions go.
    public let configuration: SSHConfiguration
    private let gate: (any ConnectionGate)?
    private let logger: Logger
    private let state: Mutex<State>

    /// A pool without sessions.
    public convenience init(configuration: SSHConfiguration, sessions: Int, logger: Logger) {
        self.init(configuration: configuration, limits: PoolLimits(sessions: sessions), logger: logger)
    }

    /// A pool with limits and a breaker of the caller's, and with a gate where other processes have sessions, too.
    public init(
        configuration: SSHConfiguration,
        limits: PoolLimits,
        breaker: CircuitBreaker = CircuitBreaker(),
        gate: (any ConnectionGate)? = nil,
        logger: Logger
    ) {
        self.configuration = configuration
        self.gate = gate
        self.logger = logger
        state = Mutex(State(pool: PoolState(limits: limits, breaker: breaker)))
        gate?.listen { [weak self] news in self?.heard(news) }
    }

    deinit {
        state.withLock {
            $0.sweeper?.cancel()
            for task in $0.openings.values { task.cancel() }
        }
    }

    /// State of the circuit breaker.
    public var breakerState: CircuitBreaker.State { state.withLock { $0.pool.breaker.state } }

    /// Sessions that are open now.
    public var liveSessions: Int { state.withLock { $0.sessions.count } }

    /// How long a caller waits where other processes have all sessions that there may be.
    private static let seatPatience = Duration.seconds(5)

    /// Runs `body` with the least loaded session, opening one where that helps.
    ///
    /// Throws ``SFTPError/breakerOpen(retryAfter:cause:)`` at once while the server is left alone, the refusal of a login that
    /// was tried for this caller or while it waited, ``SFTPError/closed`` after ``shutdown()``, or what `body` throws.
    public func withSession<Outcome>(_ body: (SFTPSession) async throws -> Outcome) async throws -> Outcome {
        let (number, session) = try await lease()
        defer { release(number, session) }
        return try await body(session)
    }

    private func lease() async throws(SFTPError) -> (Int, SFTPSession) {
        // A failed attempt is the answer to whoever waited for it; without a bound callers would outlive their use.
        let start = ContinuousClock.now
        let deadline = start + configuration.connectTimeout * 4
        while true {
            let now = ContinuousClock.now
            // Others have all seats: their processes can do the work as well.
            if now - start >= Self.seatPatience, state.withLock({ $0.pool.lacksSeat(at: now) }) {
                throw .noSeat(retryAfter: Self.seatPatience)
            }
            guard now < deadline else { throw .timedOut(operation: "wait for a session") }
            let change = OneShot<Void>()
            let (decision, session): (PoolState.Decision, SFTPSession?) = state.withLock {
                while true {
                    let decision = $0.pool.decide(at: now, since: start)
                    switch decision {
                    case .use(let number):
                        if let session = $0.sessions[number], session.isAlive { return (decision, session) }
                        $0.sessions[number] = nil
                        $0.pool.lost(number)
                        gate?.left(Self.name(number))
                        continue
                    case .open(let number):
                        $0.waiters.append(change)
                        $0.openings[number] = Task { await self.open(number) }
                    case .wait:
                        $0.waiters.append(change)
                    case .fail: break
                    }
                    return (decision, nil)
                }
            }
            switch decision {
            case .use(let number):
                guard let session else { throw .closed }
                return (number, session)
            case .fail(let error):
                throw error
            case .open:
                try await wait(change, until: deadline)
            case .wait(let until):
                try await wait(change, until: min(deadline, until ?? deadline))
            }
        }
    }

    /// Waits for a change of the pool, or for a time.
    private func wait(_ change: OneShot<Void>, until time: ContinuousClock.Instant) async throws(SFTPError) {
        let alarm = Task {
            do { try await Task.sleep(until: time, clock: .continuous) } catch { return }
            change.deliver(.success(()))
        }
        defer { alarm.cancel() }
        do throws(SFTPError) {
            try await change.value()
        } catch {
            state.withLock { $0.waiters.removeAll { $0 === change } }
            throw error
        }
        state.withLock { $0.waiters.removeAll { $0 === change } }
    }

    private func open(_ number: Int) async {
        do throws(SFTPError) { try await gate?.enter(Self.name(number)) } catch {
            let waiters = state.withLock { state in
                state.openings[number] = nil
                state.pool.turnedAway(number, error, at: .now)
                defer { state.waiters = [] }
                return state.waiters
            }
            for waiter in waiters { waiter.deliver(.success(())) }
            return
        }
        let result: Result<SFTPSession, SFTPError>
        do throws(SFTPError) {
            result = .success(try await SFTPSession.connect(configuration, logger: logger))
            await gate?.opened(Self.name(number))
        } catch {
            result = .failure(error)
            await gate?.failed(Self.name(number), error)
        }
        let now = ContinuousClock.now
        var unwanted: SFTPSession?
        let (waiters, breaker): ([(OneShot<Void>, SFTPError?)], CircuitBreaker.State) = state.withLock { state in
            state.openings[number] = nil
            var news: SFTPError?
            switch result {
            case .success(let session):
                if state.pool.isShutDown {
                    unwanted = session
                    state.pool.lost(number)
                } else {
                    state.sessions[number] = session
                    state.pool.opened(number, at: now)
                    startSweeper(&state)
                }
            case .failure(let error):
                state.pool.failed(number, error, at: now, jitter: .random(in: 0...1))
                // Those who wait learn why, unless another session can still serve them.
                if state.sessions.isEmpty, state.openings.isEmpty, error != .cancelled { news = error }
            }
            defer { state.waiters = [] }
            return (state.waiters.map { ($0, news) }, state.pool.breaker.state)
        }
        if case .failure(let error) = result {
            logger.warning(
                "SFTP connection failed",
                metadata: ["error": "\(error)", "host": "\(configuration.host)", "breaker": "\(breaker)"]
            )
        }
        for (waiter, news) in waiters { waiter.deliver(news.map { .failure($0) } ?? .success(())) }
        if let unwanted {
            await unwanted.close()
            gate?.left(Self.name(number))
        }
    }

    /// How often, and after which pauses, the gate is asked for a session beside the pool.
    private static let (attempts, pause) = (20, Duration.milliseconds(250))

    /// Asks the gate for a session beside the pool, by a name that no session of the pool has. Where all seats are taken,
    /// the pool gives one of its own up for it, once nobody uses that.
    public func enter(_ session: String) async throws(SFTPError) {
        guard let gate else { return }
        do throws(SFTPError) { return try await gate.enter(session) } catch {
            guard case .noSeat = error else { throw error }
        }
        let closed = state.withLock { state in
            state.pool.lend().compactMap { number in state.sessions.removeValue(forKey: number).map { (number, $0) } }
        }
        defer { state.withLock { $0.pool.takeBack() } }
        for (number, session) in closed { end(session, number) }
        for _ in 1..<Self.attempts {
            do { try await Task.sleep(for: Self.pause) } catch { throw .cancelled }
            do throws(SFTPError) { return try await gate.enter(session) } catch {
                guard case .noSeat = error else { throw error }
            }
        }
        try await gate.enter(session)
    }

    /// What the gate calls a session.
    private static func name(_ number: Int) -> String { "s\(number)" }

    /// Gives up what is too much.
    private func heard(_ news: GateNews) {
        let closed = state.withLock { state in
            var numbers = state.pool.allow(news.allowance)
            for number in state.sessions.keys where news.lost.contains(Self.name(number)) {
                if state.pool.retire(number) { numbers.append(number) }
            }
            return numbers.compactMap { number in state.sessions.removeValue(forKey: number).map { (number, $0) } }
        }
        for (number, session) in closed { end(session, number) }
    }

    private func end(_ session: SFTPSession, _ number: Int) {
        session.mailbox.requestClose()
        gate?.left(Self.name(number))
    }

    private func release(_ number: Int, _ session: SFTPSession) {
        let now = ContinuousClock.now
        let (isDone, waiters) = state.withLock { state in
            let isDone = state.pool.released(
                number,
                isAlive: session.isAlive,
                bytes: session.transferredBytes,
                at: now
            )
            if !session.isAlive || isDone { state.sessions[number] = nil }
            defer { state.waiters = [] }
            return (isDone || state.pool.isShutDown, state.waiters)
        }
        for waiter in waiters { waiter.deliver(.success(())) }
        // One that died is found out by the next who wants it, or here.
        if isDone { end(session, number) } else if !session.isAlive { gate?.left(Self.name(number)) }
    }

    /// Closes idle sessions while there are any.
    private func startSweeper(_ state: inout State) {
        guard state.sweeper == nil else { return }
        state.sweeper = Task { [weak self] in
            while let next = self?.sweep() {
                do { try await Task.sleep(until: next, clock: .continuous) } catch { return }
            }
        }
    }

    /// Closes what is idle; returns when to look again, or `nil` when no session is left.
    private func sweep() -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        let (idle, next): ([(Int, SFTPSession)], ContinuousClock.Instant?) = state.withLock { state in
            let idle = state.pool.takeIdle(at: now).compactMap { number in
                state.sessions.removeValue(forKey: number).map { (number, $0) }
            }
            guard !state.sessions.isEmpty, !state.pool.isShutDown else {
                state.sweeper = nil
                return (idle, nil)
            }
            // A busy session may become idle at any time: look again after at most the idle time.
            return (idle, state.pool.nextIdleTime ?? now + state.pool.limits.idleTime)
        }
        for (number, session) in idle { end(session, number) }
        return next
    }

    /// Closes all sessions; requests under way and callers who wait get ``SFTPError/closed``. Returns when all are shut.
    public func shutdown() async {
        let (sessions, waiters, openings) = state.withLock { state in
            state.pool.shutDown()
            state.sweeper?.cancel()
            state.sweeper = nil
            defer {
                state.sessions = [:]
                state.waiters = []
            }
            return (Array(state.sessions.values), state.waiters, Array(state.openings.values))
        }
        for opening in openings { opening.cancel() }
        for waiter in waiters { waiter.deliver(.failure(.closed)) }
        for session in sessions { await session.close() }
        for opening in openings { await opening.value }
        await gate?.shutdown()
    }
}
