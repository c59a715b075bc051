// Circuit breaker and pool bookkeeping, with time made up.

import Harness
import Testing

@testable import SFTP

@Suite struct PoolStateTests {
    let start = ContinuousClock.now
    let down = SFTPError.connectFailed(host: "h", port: 1, reason: "refused")
    let refused = SFTPError.authenticationFailed(user: "u", methods: ["publickey"], reason: "no")

    @Test func fiveFailuresInARowOpenTheBreaker() {
        var breaker = CircuitBreaker(threshold: 5, pause: .seconds(10))
        for _ in 0..<4 { breaker.failed(at: start) }
        breaker.succeeded()
        for _ in 0..<4 { breaker.failed(at: start) }
        #expect(breaker.state == .closed)
        equal(breaker.request(at: start), nil)
        breaker.failed(at: start)
        #expect(breaker.state == .open(until: start + .seconds(10)))
        equal(breaker.request(at: start + .seconds(4)), .seconds(6))
    }

    @Test func oneTrialDecides() {
        var breaker = CircuitBreaker(threshold: 1, pause: .seconds(10), longestPause: .seconds(30))
        breaker.failed(at: start)
        let later = start + .seconds(10)
        equal(breaker.request(at: later), nil)
        #expect(breaker.state == .halfOpen)
        equal((breaker.request(at: later) != nil), true)
        breaker.failed(at: later)
        #expect(breaker.state == .open(until: later + .seconds(20)))
        _ = breaker.request(at: later + .seconds(20))
        breaker.failed(at: later + .seconds(20))
        #expect(breaker.state == .open(until: later + .seconds(50)))
        _ = breaker.request(at: later + .seconds(50))
        breaker.gaveUp(at: later + .seconds(50))
        equal(breaker.request(at: later + .seconds(50)), nil)
        breaker.succeeded()
        #expect(breaker.state == .closed)
        breaker.failed(at: start)
        #expect(breaker.state == .open(until: start + .seconds(10)))
    }

    @Test func sessionsAreOpenedLazilyAndTheLeastLoadedIsUsed() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        equal(pool.decide(at: start), .open(0))
        pool.opened(0, at: start)
        equal(pool.decide(at: start), .use(0))
        equal(pool.decide(at: start), .open(1))
        // While the second connects, the first serves.
        equal(pool.decide(at: start), .use(0))
        pool.opened(1, at: start)
        equal(pool.decide(at: start), .use(1))
        equal(pool.decide(at: start), .use(1))
        equal(pool.decide(at: start), .use(0))
        equal(pool.released(0, isAlive: true, bytes: 0, at: start), false)
        equal(pool.decide(at: start), .use(0))
    }

    @Test func whoeverComesWhileSessionsAreOpenedDoesNotPileUpOnTheFirst() {
        var pool = PoolState(limits: PoolLimits(sessions: 3))
        for number in 0..<3 { equal(pool.decide(at: start), .open(number)) }
        pool.opened(0, at: start)
        equal(pool.decide(at: start), .use(0))
        equal(pool.decide(at: start), .use(0))
        equal(pool.decide(at: start), .wait(until: start + .seconds(2)))
        pool.opened(1, at: start)
        equal(pool.decide(at: start), .use(1))
        equal(pool.decide(at: start), .use(1))
        equal(pool.decide(at: start), .wait(until: start + .seconds(2)))
        // One that does not come is not waited for longer than a moment, however late it began.
        equal(pool.decide(at: start + .seconds(1), since: start), .wait(until: start + .seconds(2)))
        equal(pool.decide(at: start + .seconds(2), since: start), .use(0))
        equal(pool.decide(at: start), .wait(until: start + .seconds(2)))
        pool.failed(2, .timedOut(operation: "login"), at: start, jitter: 0)
        equal(pool.decide(at: start), .use(1))
    }

    @Test func atMostFourHandshakes() {
        var pool = PoolState(limits: PoolLimits(sessions: 20))
        for number in 0..<4 { equal(pool.decide(at: start), .open(number)) }
        equal(pool.decide(at: start), .wait(until: nil))
    }

    @Test func failuresBackOffAndOpenTheBreaker() {
        var pool = PoolState(limits: PoolLimits(sessions: 1))
        var now = start
        for attempt in 0..<5 {
            equal(pool.decide(at: now), .open(attempt))
            pool.failed(attempt, down, at: now, jitter: 1)
            guard attempt < 4 else { break }
            let pause = Duration.milliseconds(200 << attempt)
            equal(pool.decide(at: now), .wait(until: now + pause))
            now += pause
        }
        guard case .fail(.breakerOpen) = pool.decide(at: now) else { Issue.record("not open"); return }
        now += .seconds(10)
        equal(pool.decide(at: now), .open(5))
        equal(pool.decide(at: now), .wait(until: nil))
        pool.opened(5, at: now)
        #expect(pool.breaker.state == .closed)
        equal(pool.decide(at: now), .use(5))
    }

    @Test func aRefusedLoginIsNotRepeatedForAWhileAndThenOnce() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        equal(pool.decide(at: start), .open(0))
        pool.failed(0, refused, at: start, jitter: 0)
        equal(pool.decide(at: start + .seconds(4)), .wait(until: start + .seconds(5)))
        #expect(pool.breaker.state == .closed)
        #expect(pool.breaker.failures == 0)
        equal(pool.decide(at: start + .seconds(5)), .open(1))
        equal(pool.decide(at: start + .seconds(5)), .wait(until: nil))
        pool.failed(1, refused, at: start + .seconds(6), jitter: 0)
        equal(pool.decide(at: start + .seconds(10)), .wait(until: start + .seconds(11)))
        equal(pool.decide(at: start + .seconds(11)), .open(2))
        pool.opened(2, at: start + .seconds(11))
        equal(pool.decide(at: start + .seconds(11)), .use(2))
        equal(pool.decide(at: start + .seconds(11)), .open(3))
    }

    @Test func wornSessionsAreClosedAfterTheirLastUser() {
        var limits = PoolLimits(sessions: 1)
        limits.recycleAfterBytes = 100
        var pool = PoolState(limits: limits)
        _ = pool.decide(at: start)
        pool.opened(0, at: start)
        equal(pool.decide(at: start), .use(0))
        equal(pool.decide(at: start), .use(0))
        equal(pool.released(0, isAlive: true, bytes: 100, at: start), false)
        // It takes no new users, and its place is free.
        equal(pool.decide(at: start), .open(1))
        equal(pool.released(0, isAlive: true, bytes: 100, at: start), true)
    }

    @Test func idleSessionsGo() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        _ = pool.decide(at: start)
        pool.opened(0, at: start)
        #expect(pool.nextIdleTime == start + .seconds(60))
        equal(pool.takeIdle(at: start + .seconds(59)).isEmpty, true)
        equal(pool.takeIdle(at: start + .seconds(60)), [0])
        #expect(pool.slots.isEmpty)
    }

    @Test func aPoolThatIsShutSaysSo() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        pool.shutDown()
        equal(pool.decide(at: start), .fail(.closed))
    }

    /// Whatever happens in whatever order, the bounds hold and nobody is served by a session that is not live.
    @Test func boundsHoldUnderAnyHistory() {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: UInt64(seed))
            var limits = PoolLimits(sessions: Int.random(in: 1...6, using: &random))
            limits.handshakes = 2
            limits.recycleAfterBytes = 50
            var pool = PoolState(limits: limits)
            var now = start
            var users: [Int] = []
            var connecting: [Int] = []
            for _ in 0..<300 {
                now += .milliseconds(Int.random(in: 0...500, using: &random))
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1:
                    switch pool.decide(at: now) {
                    case .use(let number):
                        #expect(pool.slots[number]?.phase == .live)
                        users.append(number)
                    case .open(let number): connecting.append(number)
                    case .wait, .fail: break
                    }
                case 2:
                    if let number = connecting.popLast() { pool.opened(number, at: now) }
                case 3:
                    if let number = connecting.popLast() {
                        let error = [down, refused, .cancelled].randomElement(using: &random) ?? down
                        pool.failed(number, error, at: now, jitter: 0.5)
                    }
                case 4:
                    if let number = users.popLast() {
                        let bytes = UInt64.random(in: 0...60, using: &random)
                        _ = pool.released(number, isAlive: Bool.random(using: &random), bytes: bytes, at: now)
                    }
                default:
                    for number in pool.takeIdle(at: now) { #expect(!users.contains(number)) }
                }
                #expect(pool.slots.values.count { $0.phase != .retired } <= limits.sessions)
                #expect(pool.slots.values.count { $0.phase == .connecting } <= limits.handshakes)
                #expect(pool.slots.values.count { $0.phase == .connecting } == connecting.count)
                for number in users { #expect((pool.slots[number]?.users ?? 1) > 0) }
            }
        }
    }

    // MARK: What the gate says

    @Test func withoutASeatTheLiveSessionsServeAndTheGateIsAskedLater() {
        var pool = PoolState(limits: PoolLimits(sessions: 3))
        equal(pool.decide(at: start), .open(0))
        pool.opened(0, at: start)
        equal(pool.decide(at: start), .use(0))
        equal(pool.decide(at: start), .open(1))
        pool.turnedAway(1, .noSeat(retryAfter: .seconds(1)), at: start)
        equal(pool.decide(at: start), .use(0))
        equal(pool.lacksSeat(at: start), false)
        equal(pool.decide(at: start + .seconds(1)), .open(2))
    }

    @Test func withoutAnySessionASeatIsWaitedFor() {
        var pool = PoolState(limits: PoolLimits(sessions: 3))
        equal(pool.decide(at: start), .open(0))
        pool.turnedAway(0, .noSeat(retryAfter: .seconds(1)), at: start)
        equal(pool.decide(at: start), .wait(until: start + .seconds(1)))
        equal(pool.lacksSeat(at: start), true)
        equal(pool.decide(at: start + .seconds(1)), .open(1))
        pool.opened(1, at: start + .seconds(1))
        equal(pool.lacksSeat(at: start + .seconds(1)), false)
    }

    @Test func whatAnotherProcessFoundOutIsBelievedWithoutCountingAsAFailure() {
        var pool = PoolState(limits: PoolLimits(sessions: 1))
        equal(pool.decide(at: start), .open(0))
        pool.turnedAway(0, .breakerOpen(retryAfter: .seconds(7), cause: "away"), at: start)
        equal(pool.decide(at: start), .fail(.breakerOpen(retryAfter: .seconds(7), cause: "away")))
        equal(pool.breaker.failures, 0)
        equal(pool.decide(at: start + .seconds(7)), .open(1))
    }

    @Test func aSmallerAllowanceRetiresTheLeastUsed() {
        var pool = PoolState(limits: PoolLimits(sessions: 3))
        for number in 0..<3 {
            equal(pool.decide(at: start), .open(number))
            pool.opened(number, at: start)
            equal(pool.decide(at: start), .use(number))
        }
        equal(pool.decide(at: start), .use(0))
        equal(pool.released(2, isAlive: true, bytes: 0, at: start), false)
        equal(pool.allow(1), [2])
        // The other one ends with its last user, and gets no new one meanwhile.
        equal(pool.decide(at: start), .use(0))
        equal(pool.released(1, isAlive: true, bytes: 0, at: start), true)
        equal(pool.allow(nil), [])
        equal(pool.decide(at: start), .open(3))
    }

    @Test func whatIsLentIsNotOpenedAgainUntilItIsTakenBack() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        for number in 0..<2 {
            equal(pool.decide(at: start), .open(number))
            pool.opened(number, at: start)
            equal(pool.decide(at: start), .use(number))
        }
        // Both are in use: one ends with its last user.
        equal(pool.lend(), [])
        equal(pool.released(1, isAlive: true, bytes: 0, at: start), true)
        equal(pool.decide(at: start), .use(0))
        // The last one stays.
        equal(pool.lend(), [])
        pool.takeBack()
        equal(pool.decide(at: start), .use(0))
        pool.takeBack()
        equal(pool.decide(at: start), .open(2))
    }

    @Test func atLeastOneSessionIsAlwaysAllowed() {
        var pool = PoolState(limits: PoolLimits(sessions: 2))
        equal(pool.allow(0), [])
        equal(pool.decide(at: start), .open(0))
    }
}
