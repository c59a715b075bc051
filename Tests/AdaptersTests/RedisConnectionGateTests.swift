// What processes may do together at one target, in a real Redis, and with pools against a real sshd.

import Adapters
import Core
import Foundation
import Harness
import Redis
import SFTP
import Synchronization
import Testing

@Suite(.serialized) struct RedisConnectionGateTests {
    /// A target that no other test has, in the Redis that all share.
    private struct Place {
        let redis: any RedisCommands
        let target: TargetID
        let prefix: String

        func gate(
            _ process: String,
            sessions: Int? = nil,
            _ change: (inout RedisConnectionGate.Options) -> Void = { _ in }
        ) -> RedisConnectionGate {
            var options = RedisConnectionGate.Options(sessions: sessions)
            change(&options)
            return RedisConnectionGate(
                redis,
                target: target,
                process: process,
                options: options,
                prefix: prefix,
                logger: silent
            )
        }
    }

    private func place() async throws -> Place {
        let id = try #require(TargetID("gate-\(UUID().uuidString.lowercased())"))
        return Place(redis: try await RedisUnderTest.sharedClient(), target: id, prefix: "gates:")
    }

    private func isFull(_ gate: RedisConnectionGate, _ session: String) async -> Bool {
        do throws(SFTPError) {
            try await gate.enter(session)
            return false
        } catch {
            guard case .noSeat = error else { return false }
            return true
        }
    }

    private func pause(_ gate: RedisConnectionGate, _ session: String) async -> Duration? {
        do throws(SFTPError) {
            try await gate.enter(session)
            return nil
        } catch {
            guard case .breakerOpen(let pause, _) = error else { return nil }
            return pause
        }
    }

    private let down = SFTPError.connectFailed(host: "h", port: 1, reason: "refused")

    @Test func allProcessesTogetherHaveSoManySessions() async throws {
        let place = try await place()
        let (one, two) = (place.gate("one", sessions: 3), place.gate("two", sessions: 3))
        for (gate, session) in [(one, "s0"), (one, "s1"), (two, "s0")] {
            try await gate.enter(session)
            await gate.opened(session)
        }
        #expect(await isFull(one, "s2"))
        #expect(await isFull(two, "s1"))
        // The same session asks again, after an answer that was lost.
        try await one.enter("s1")
        one.left("s1")
        try await eventually("the seat is free") { await !isFull(two, "s1") }
        // Whoever looks after them sees all of both.
        let other = try #require(TargetID("elsewhere"))
        let index = RedisUnderTest.index(place.redis, prefix: place.prefix).store
        #expect(try await index.sessions(at: [place.target, other]) == [place.target: 3, other: 0])
        await one.shutdown()
        #expect(try await index.sessions(at: [place.target]) == [place.target: 2])
        try await two.enter("s2")
        #expect(await isFull(one, "s5"))
        await two.shutdown()
    }

    @Test func withoutABoundTheLoginsAreBounded() async throws {
        let place = try await place()
        let gate = place.gate("one") { $0.handshakes = 2 }
        try await gate.enter("s0")
        try await gate.enter("s1")
        #expect(await isFull(gate, "s2"))
        await gate.opened("s0")
        try await gate.enter("s2")
        await gate.shutdown()
    }

    @Test func theSeatsOfADeadProcessBecomeFree() async throws {
        let place = try await place()
        let quick: (inout RedisConnectionGate.Options) -> Void = {
            $0.seat = .milliseconds(300)
            $0.handshake = .milliseconds(300)
        }
        let other = place.gate("other", sessions: 1, quick)
        do {
            // Its keeper holds it weakly: with the last reference the process is as good as dead.
            let dead = place.gate("dead", sessions: 1, quick)
            try await dead.enter("s0")
            await dead.opened("s0")
            try await Task.sleep(for: .milliseconds(900))
            #expect(await isFull(other, "s0"), "renewed while it lives")
        }
        try await eventually("the seat is free") { await !isFull(other, "s0") }
        await other.shutdown()
    }

    @Test func whoWaitsForAFirstSessionGetsAShare() async throws {
        let place = try await place()
        let quick: (inout RedisConnectionGate.Options) -> Void = { $0.seat = .milliseconds(300) }
        let (rich, poor) = (place.gate("rich", sessions: 4, quick), place.gate("poor", sessions: 4, quick))
        let news = News()
        rich.listen { news.append($0) }
        for session in ["s0", "s1", "s2", "s3"] {
            try await rich.enter(session)
            await rich.opened(session)
        }
        try await eventually("the bound is told") { news.last == GateNews(allowance: 4, lost: []) }
        #expect(await isFull(poor, "s0"))
        try await eventually("the share is told") { news.last == GateNews(allowance: 2, lost: []) }
        rich.left("s3")
        try await eventually("there is a seat") { await !isFull(poor, "s0") }
        try await eventually("nobody waits any more") { news.last == GateNews(allowance: 4, lost: []) }
        await rich.shutdown()
        await poor.shutdown()
    }

    @Test func whatWasGivenAwayWhileAProcessSleptIsLost() async throws {
        let place = try await place()
        let sleeper = place.gate("sleeper", sessions: 1) {
            $0.seat = .milliseconds(1_500)
            $0.handshake = .milliseconds(1)
        }
        let news = News()
        sleeper.listen { news.append($0) }
        try await sleeper.enter("s0")
        await sleeper.opened("s0")
        // As if its time had passed.
        let seats = "gates:seats:\(place.target)"
        _ = try await place.redis.send("DEL", [RedisArgument(seats)])
        let other = place.gate("other", sessions: 1)
        try await other.enter("s0")
        try await eventually("the loss is told") { news.last == GateNews(allowance: 1, lost: ["s0"]) }
        await other.shutdown()
        await sleeper.shutdown()
    }

    @Test func failuresOfAllOpenTheBreakerForAllAndOneTrialClosesIt() async throws {
        let place = try await place()
        let quick: (inout RedisConnectionGate.Options) -> Void = {
            $0.pause = .milliseconds(400)
            $0.longestPause = .milliseconds(400)
        }
        let gates = (0..<3).map { place.gate("p\($0)", quick) }
        for attempt in 0..<5 {
            try await gates[attempt % 3].enter("s0")
            await gates[attempt % 3].failed("s0", down)
        }
        let told = try #require(await pause(gates[1], "s1"))
        #expect(told <= .milliseconds(400))
        try await eventually("a trial is allowed") { await pause(gates[2], "s1") == nil }
        #expect(await pause(gates[0], "s1") != nil, "one trial at a time")
        await gates[2].failed("s1", down)
        #expect(await pause(gates[0], "s1") != nil, "it failed")
        try await eventually("a trial is allowed") { await pause(gates[0], "s1") == nil }
        await gates[0].opened("s1")
        for gate in gates { #expect(await pause(gate, "s2") == nil) }
        for gate in gates { await gate.shutdown() }
    }

    @Test func theEndOfAnOpenSessionIsNoOutcomeOfATrial() async throws {
        let place = try await place()
        let quick: (inout RedisConnectionGate.Options) -> Void = { $0.pause = .milliseconds(100) }
        let (one, other) = (place.gate("one", quick), place.gate("other", quick))
        try await one.enter("s0")
        await one.opened("s0")
        for _ in 0..<5 {
            try await one.enter("s1")
            await one.failed("s1", down)
        }
        try await eventually("a trial is allowed") { await pause(one, "s2") == nil }
        one.left("s0")
        let seats = RedisArgument("gates:seats:\(place.target)")
        try await eventually("the seat is free") {
            try await place.redis.send("ZSCORE", [seats, RedisArgument("one#s0")]).string == nil
        }
        #expect(await pause(other, "s0") != nil)
        await one.shutdown()
        await other.shutdown()
    }

    @Test func aWayThatOnlyOneProcessCannotGoIsNotClosedToAll() async throws {
        let place = try await place()
        let (cut, well) = (place.gate("cut"), place.gate("well"))
        try await well.enter("s0")
        await well.opened("s0")
        for _ in 0..<8 {
            try await cut.enter("s0")
            await cut.failed("s0", down)
        }
        try await well.enter("s1")
        await well.shutdown()
        await cut.shutdown()
    }

    @Test func aRefusedLoginSaysNothingOfTheTargetsHealth() async throws {
        let place = try await place()
        let gate = place.gate("one")
        for _ in 0..<8 {
            try await gate.enter("s0")
            await gate.failed("s0", .authenticationFailed(user: "u", methods: [], reason: "no"))
        }
        try await gate.enter("s0")
        await gate.shutdown()
    }

    @Test func poolsOfTwoProcessesShareATarget() async throws {
        let place = try await place()
        let server = try await SharedServers.ssh()
        let quick: (inout RedisConnectionGate.Options) -> Void = { $0.seat = .milliseconds(600) }
        let pools = ["one", "two"].map { process in
            SFTPPool(
                configuration: server.account,
                limits: PoolLimits(sessions: 4),
                gate: place.gate(process, sessions: 3, quick),
                logger: silent
            )
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for pool in pools {
                for _ in 0..<12 {
                    group.addTask {
                        for _ in 0..<30 {
                            try await pool.withSession { session in
                                _ = try await session.stat("/")
                                try await Task.sleep(for: .milliseconds(20))
                            }
                            #expect(pools.map(\.liveSessions).reduce(0, +) <= 3)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(pools.allSatisfy { $0.liveSessions >= 1 }, "each had its share")
        for pool in pools { await pool.shutdown() }
        let alone = place.gate("alone", sessions: 3)
        for session in ["a", "b", "c"] { try await alone.enter(session) }
        await alone.shutdown()
    }

    @Test func aPoolThatHasAllSeatsGivesOneUpForASessionBesideIt() async throws {
        let gate = try await place().gate("one", sessions: 2)
        let pool = SFTPPool(
            configuration: try await SharedServers.ssh().account,
            limits: PoolLimits(sessions: 2),
            gate: gate,
            logger: silent
        )
        let users = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        while !Task.isCancelled {
                            _ = try await pool.withSession { try await $0.stat("/") }
                            try? await Task.sleep(for: .milliseconds(5))
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        try await eventually("the pool has all seats", within: .seconds(20)) { pool.liveSessions == 2 }
        #expect(await isFull(gate, "beside"))
        try await pool.enter("beside")
        #expect(pool.liveSessions == 1)
        gate.left("beside")
        // It takes the seat back once that is free.
        try await eventually("the pool has all seats again", within: .seconds(20)) { pool.liveSessions == 2 }
        users.cancel()
        try? await users.value
        await pool.shutdown()
    }
}

/// What a gate told.
private final class News: Sendable {
    private let heard = Mutex<[GateNews]>([])
    var last: GateNews? { heard.withLock { $0.last } }
    func append(_ news: GateNews) { heard.withLock { $0.append(news) } }
}
