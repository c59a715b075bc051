// The client: waits for its connection, replaces it, tells its owner first, and ends in order.

import Harness
import Redis
import Synchronization
import Testing

@Suite struct RedisClientTests {
    @Test func comesBackAfterTheServerWasKilled() async throws {
        let server = try await RedisServer.start()
        try await withClient(try RedisConfiguration(url: server.url)) { client in
            try await client.set("kept", "1")
            #expect(client.isConnected)
            try await server.kill()
            try await eventually("the loss was noticed") { !client.isConnected }
            // Sent while there is no server, answered once there is.
            async let waiting = client.incr("fresh")
            try await server.restart()
            #expect(try await waiting >= 1)
            #expect(client.isConnected)
            #expect(try await client.get("kept") == "1")
        }
        await server.stop()
    }

    @Test func withoutAServerACallFailsInTimeAndSaysWhy() async throws {
        let port = try FreePort.next()
        var configuration = try RedisConfiguration(url: "redis://127.0.0.1:\(port)")
        configuration.commandTimeout = .milliseconds(300)
        try await withClient(configuration) { client in
            // The first attempt may not be over when the first call is.
            try await eventually("the reason is told") {
                guard case .notConnected(let reason) = await redisError({ try await client.ping() }) else {
                    return false
                }
                return reason.contains("refused")
            }
            let error = await redisError { try await client.ping() }
            #expect(error?.mayHaveBeenExecuted == false)
            #expect(!client.isConnected)
        }
    }

    @Test func whoHasLittlePatienceIsToldSoonYetOutlastsANewConnection() async throws {
        let server = try await RedisServer.start()
        var configuration = try RedisConfiguration(url: server.url)
        configuration.connectionPatience = .milliseconds(600)
        let proxy = try FaultProxy(to: server.port)
        configuration.port = proxy.port
        try await withClient(configuration) { client in
            try await client.set("kept", "1")
            // Cut again and again: each time another connection is there before anybody gives up.
            for _ in 1...3 {
                try proxy.cut()
                let error = await redisError { _ = try await client.get("kept") }
                // What was under way when it was cut is another matter.
                guard error != nil, error != .connectionClosed(command: "GET") else { continue }
                Issue.record("\(String(describing: error))")
            }
            try await eventually("it is connected again") { client.isConnected }
            try await server.kill()
            try await eventually("the loss was noticed") { !client.isConnected }
            let start = ContinuousClock.now
            let error = await redisError { _ = try await client.get("kept") }
            #expect(error?.mayHaveBeenExecuted == false)
            #expect(start.duration(to: .now) < configuration.commandTimeout / 2)
        }
        await server.stop()
    }

    @Test func noMoreCallersWaitForAConnectionThanAllowed() async throws {
        let port = try FreePort.next()
        var configuration = try RedisConfiguration(url: "redis://127.0.0.1:\(port)")
        configuration.commandTimeout = .seconds(3)
        configuration.maxPending = 5
        try await withClient(configuration) { client in
            let errors = await withTaskGroup(of: RedisError?.self) { group in
                for _ in 0..<8 { group.addTask { await redisError { try await client.ping() } } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(errors.filter { $0 == .queueFull }.count == 3)
            #expect(errors.count { if case .notConnected = $0 { true } else { false } } == 5)
        }
    }

    @Test func aCallerThatWaitsForAConnectionCanBeCancelled() async throws {
        let port = try FreePort.next()
        var configuration = try RedisConfiguration(url: "redis://127.0.0.1:\(port)")
        configuration.commandTimeout = .seconds(60)
        try await withClient(configuration) { client in
            let waiting = Task { try await client.ping() }
            waiting.cancel()
            #expect(await redisError { try await waiting.value } == .cancelled)
        }
    }

    @Test func theOwnerSeesEachConnectionBeforeAnybodyElse() async throws {
        let server = try await RedisServer.start()
        let prepared = Mutex(0)
        try await withClient(try RedisConfiguration(url: server.url)) { connection in
            let number = prepared.withLock {
                $0 += 1
                return $0
            }
            // Slow on purpose: callers that are let in early would find nothing.
            _ = try await connection.send("BLPOP", ["nothing", "0.2"])
            try await connection.set("prepared", RedisArgument(number))
            _ = try await connection.info("server")
        } _: { client in
            #expect(try await client.get("prepared") == "1")
            try await server.kill()
            try await server.restart()
            try await eventually("the second connection") { prepared.withLock { $0 } == 2 }
            #expect(try await client.get("prepared") == "2")
        }
        await server.stop()
    }

    @Test func aConnectionThatTheOwnerRefusesIsNotUsed() async throws {
        struct Refusal: Error {}
        let tries = Mutex(0)
        var configuration = try await sharedConfiguration()
        configuration.commandTimeout = .seconds(20)
        try await withClient(configuration) { _ in
            let number = tries.withLock {
                $0 += 1
                return $0
            }
            if number < 3 { throw Refusal() }
        } _: { client in
            try await client.ping()
            #expect(tries.withLock { $0 } == 3)
        }
    }

    @Test func theOwnersReasonIsTold() async throws {
        struct Refusal: Error, CustomStringConvertible { let description = "the epoch is another" }
        var configuration = try await sharedConfiguration()
        configuration.commandTimeout = .milliseconds(300)
        try await withClient(configuration) { _ in
            throw Refusal()
        } _: { client in
            let expected = RedisError.notConnected(
                reason: "preparing a new connection failed: the epoch is another"
            )
            try await eventually("the reason is told") { await redisError { try await client.ping() } == expected }
        }
    }

    @Test func itEndsWhenItIsCancelledAndRunsOnlyOnce() async throws {
        let client = RedisClient(
            configuration: try await sharedConfiguration(),
            eventLoopGroup: eventLoops,
            logger: silent
        )
        let running = Task { try await client.run() }
        try await client.ping()
        let again = await redisError { try await client.run() }
        #expect(again == .notConnected(reason: "the client was started before"))
        running.cancel()
        try await running.value
        #expect(!client.isConnected)
        let late = await redisError { try await client.ping(timeout: .seconds(60)) }
        #expect(late == .notConnected(reason: "the client was shut down"))
    }

    @Test func itEndsWhileItCannotConnect() async throws {
        let port = try FreePort.next()
        let client = RedisClient(
            configuration: try RedisConfiguration(url: "redis://127.0.0.1:\(port)"),
            eventLoopGroup: eventLoops,
            logger: silent
        )
        let running = Task { try await client.run() }
        let waiting = Task { try await client.ping(timeout: .seconds(60)) }
        running.cancel()
        try await running.value
        #expect(await redisError { try await waiting.value } == .notConnected(reason: "the client was shut down"))
    }

    @Test func repliesToWhatWasSentAreWaitedForAtTheEnd() async throws {
        let server = try await RedisServer.start()
        let client = RedisClient(
            configuration: try RedisConfiguration(url: server.url),
            eventLoopGroup: eventLoops,
            logger: silent
        )
        let running = Task { try await client.run() }
        try await client.ping()
        let popped = Task { try await client.send("BLPOP", ["list", "4"]) }
        try await eventually("the command is there") {
            try await server.cli("INFO", "clients").contains("blocked_clients:1")
        }
        running.cancel()
        try await eventually("no more is taken") { !client.isConnected }
        _ = try await server.cli("RPUSH", "list", "x")
        #expect(try await popped.value.array?.map(\.string) == ["list", "x"])
        try await running.value
        await server.stop()
    }

    @Test func aServerThatIsLoadingIsNotOffered() async throws {
        let loading = Array("-LOADING Redis is loading the dataset in memory\r\n".utf8)
        let peer = try await ScriptedPeer.start([loading])
        var configuration = try RedisConfiguration(url: peer.url)
        configuration.commandTimeout = .milliseconds(300)
        try await withClient(configuration) { client in
            try await eventually("the reason is told") {
                guard case .notConnected(let reason) = await redisError({ try await client.ping() }) else {
                    return false
                }
                return reason.contains("LOADING")
            }
        }
        try await peer.stop()
    }

    @Test func aConnectionThatTheServerClosesIsReplaced() async throws {
        let server = try await RedisServer.start()
        try await withClient(try RedisConfiguration(url: server.url)) { client in
            for round in 1...5 {
                #expect(try await client.incr("rounds") == Int64(round))
                let id = try await client.send("CLIENT", ["ID"])
                let killed = await redisError {
                    _ = try await client.send("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "no"])
                }
                #expect(killed == nil || killed?.mayHaveBeenExecuted == true)
                try await eventually("round \(round) has its new connection") {
                    try await client.send("CLIENT", ["ID"]) != id
                }
            }
        }
        await server.stop()
    }
}
