// Who gets which connection, and when the next attempt is due, without a connection.

import NIOCore
import Testing

@testable import Redis

@Suite struct ConnectionKeeperTests {
    private final class Connection {}

    private typealias Keeper = ConnectionKeeper<Connection, String>

    private func at(_ seconds: UInt64) -> NIODeadline { .uptimeNanoseconds(seconds * 1_000_000_000) }

    private func keeper(limit: Int = 10) -> Keeper {
        Keeper(limit: limit, minimumBackoff: .milliseconds(50), maximumBackoff: .seconds(2))
    }

    private func describe(_ acquired: Keeper.Acquired) -> String {
        switch acquired {
        case .connection: "connection"
        case .refused(let error): "\(error)"
        case .waiting(let moment): "waiting \(moment.map { "\($0.uptimeNanoseconds / 1_000_000_000)" } ?? "-")"
        }
    }

    @Test func allWhoWaitGetTheNewConnection() {
        var keeper = keeper()
        #expect(keeper.start() == true)
        #expect(keeper.start() == false)
        #expect(describe(keeper.acquire("a", ticket: 1, deadline: at(5))) == "waiting 5")
        #expect(describe(keeper.acquire("b", ticket: 2, deadline: at(6))) == "waiting -")
        #expect(describe(keeper.acquire("c", ticket: 3, deadline: at(3))) == "waiting 3")
        #expect(keeper.cancel(ticket: 2) == "b")
        #expect(keeper.cancel(ticket: 2) == nil)
        let connection = Connection()
        #expect(keeper.connected(connection, now: at(1)) == ["a", "c"])
        #expect(keeper.connection === connection)
        #expect(describe(keeper.acquire("d", ticket: 4, deadline: at(5))) == "connection")
        // Alarms that were asked for earlier find nobody.
        #expect(keeper.expire(alarm: at(3), now: at(3)).waiters.isEmpty)
    }

    @Test func whoWaitsTooLongIsToldTheLastReason() {
        var keeper = keeper()
        _ = keeper.start()
        keeper.failed(reason: "refused")
        _ = keeper.acquire("a", ticket: 1, deadline: at(5))
        _ = keeper.acquire("b", ticket: 2, deadline: at(8))
        let overdue = keeper.expire(alarm: at(5), now: at(5))
        #expect(overdue.waiters == ["a"])
        #expect(overdue.error == .notConnected(reason: "refused"))
        #expect(overdue.lookAt == at(8))
        #expect(keeper.expire(alarm: at(8), now: at(8)).waiters == ["b"])
    }

    @Test func whoComesBeforeTheStartWaitsToo() {
        var keeper = keeper()
        _ = keeper.acquire("a", ticket: 1, deadline: at(5))
        #expect(keeper.expire(alarm: at(5), now: at(5)).error == .notConnected(reason: "the client is not running"))
    }

    @Test func noMoreThanTheLimitWait() {
        var keeper = keeper(limit: 1)
        _ = keeper.acquire("a", ticket: 1, deadline: at(5))
        #expect(describe(keeper.acquire("b", ticket: 2, deadline: at(5))) == "\(RedisError.queueFull)")
    }

    @Test func onlyTheCurrentConnectionCanBeLost() {
        var keeper = keeper()
        _ = keeper.start()
        let (old, new) = (Connection(), Connection())
        _ = keeper.connected(old, now: at(1))
        keeper.lost(old, reason: "reset", now: at(2))
        #expect(keeper.connection == nil)
        _ = keeper.connected(new, now: at(3))
        keeper.lost(old, reason: "late news", now: at(4))
        #expect(keeper.connection === new)
    }

    @Test func afterTheEndNobodyWaitsAndNoConnectionIsTaken() {
        var keeper = keeper()
        _ = keeper.start()
        _ = keeper.acquire("a", ticket: 1, deadline: at(5))
        let (waiters, error) = keeper.stop()
        #expect(waiters == ["a"])
        #expect(error == .notConnected(reason: "the client was shut down"))
        #expect(keeper.connected(Connection(), now: at(1)) == nil)
        #expect(describe(keeper.acquire("b", ticket: 2, deadline: at(5))) == "\(error)")
        #expect(keeper.start() == false)
    }

    @Test func pausesDoubleUpToTheMostAndAreSpread() {
        var keeper = keeper()
        #expect(
            (0..<8).map { _ in keeper.backoff(jitter: 1) }
                == [50, 100, 200, 400, 800, 1600, 2000, 2000].map { .milliseconds($0) }
        )
        #expect(keeper.backoff(jitter: 0) == .seconds(1))
        for _ in 0..<100 { _ = keeper.backoff(jitter: 1) }
        #expect(keeper.backoff(jitter: 1) == .seconds(2))
    }

    @Test func aConnectionThatHeldStartsThePausesAnew() {
        var keeper = keeper()
        _ = keeper.start()
        for _ in 0..<5 { _ = keeper.backoff(jitter: 1) }
        let short = Connection()
        _ = keeper.connected(short, now: at(10))
        keeper.lost(short, reason: "at once", now: at(11))
        #expect(keeper.backoff(jitter: 1) == .milliseconds(1600))
        let long = Connection()
        _ = keeper.connected(long, now: at(20))
        keeper.lost(long, reason: "later", now: at(22))
        #expect(keeper.backoff(jitter: 1) == .milliseconds(50))
    }
}
