// One connection and a real server: order, login, time-outs, cancellation, limits.

import Harness
import NIOCore
import NIOPosix
import Redis
import Testing

@Suite struct RedisConnectionTests {
    @Test func manyCallersGetTheirOwnReplies() async throws {
        try await withConnection(try await sharedConfiguration()) { connection in
            try await withThrowingTaskGroup(of: (Int, RESPValue).self) { group in
                for number in 0..<2000 {
                    group.addTask { (number, try await connection.send("ECHO", [RedisArgument(number)])) }
                }
                for try await (number, reply) in group { #expect(reply.string == "\(number)") }
            }
        }
    }

    @Test func aRunIsNotInterrupted() async throws {
        try await withConnection(try await sharedConfiguration()) { connection in
            try await connection.del("run")
            try await withThrowingTaskGroup(of: [RESPValue].self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await connection.pipeline([
                            ("MULTI", []), ("INCR", ["run"]), ("INCR", ["run"]), ("NOSUCH", []), ("DISCARD", []),
                            ("INCR", ["run"]), ("GET", ["run"]),
                        ])
                    }
                }
                for try await replies in group {
                    #expect(replies.count == 7)
                    #expect(replies[1] == .simpleString("QUEUED"))
                    guard case .error = replies[3] else { return _ = Issue.record("\(replies[3])") }
                    #expect(replies[5].integer.map(String.init) == replies[6].string)
                }
            }
            #expect(try await connection.get("run") == "50")
            #expect(try await connection.pipeline([]).isEmpty)
        }
    }

    @Test func largeValuesComeBackWhole() async throws {
        var configuration = try await sharedConfiguration()
        configuration.commandTimeout = .seconds(30)
        var random = SeededGenerator(seed: 7)
        let block = (0..<4_001).map { _ in UInt8.random(in: 0...255, using: &random) }
        var bytes = ByteBuffer()
        for number in 0..<2_250 {
            bytes.writeInteger(number)
            bytes.writeBytes(block)
        }
        try await withConnection(configuration) { connection in
            try await connection.set("large", RedisArgument(bytes: bytes))
            async let first = connection.getBytes("large")
            async let second = connection.send("ECHO", ["between"])
            async let third = connection.getBytes("large")
            // Compared outside of #expect, which would print nine megabytes where they differ.
            let isFirstWhole = try await first == bytes
            let isThirdWhole = try await third == bytes
            #expect(isFirstWhole && isThirdWhole)
            #expect(try await second.string == "between")
            try await connection.del("large")
        }
    }

    @Test func anErrorReplyNamesItsCommand() async throws {
        try await withConnection(try await sharedConfiguration()) { connection in
            try await connection.set("text", "x")
            let error = await redisError { _ = try await connection.send("LPUSH", ["text", "y"]) }
            guard case .server(let reply, "LPUSH") = error else { return _ = Issue.record("\(error as Any)") }
            #expect(reply.code == "WRONGTYPE")
            // It is the command's error, not the connection's.
            #expect(connection.isOpen)
            #expect(try await connection.get("text") == "x")
        }
    }

    @Test func aTimeOutClosesTheConnectionAndFailsTheOthers() async throws {
        let server = try await RedisServer.start()
        try await withConnection(try RedisConfiguration(url: server.url)) { connection in
            try server.suspend()
            async let other = redisError { _ = try await connection.send("INCR", ["x"], timeout: .seconds(60)) }
            try await eventually("the patient command is pending") { connection.pendingCommands == 1 }
            let hasty = await redisError { try await connection.ping(timeout: .milliseconds(100)) }
            #expect(hasty == .timedOut(command: "PING"))
            #expect(await other == .connectionClosed(command: "INCR"))
            #expect(!connection.isOpen)
            #expect(connection.closeReason == "a command was not answered in time")
            try await connection.closeFuture.get()
            let late = await redisError { try await connection.ping() }
            #expect(late == .notConnected(reason: "a command was not answered in time"))
        }
        try await server.kill()
    }

    @Test func aServerThatStopsAnsweringIsNoticed() async throws {
        let server = try await RedisServer.start()
        try await withConnection(try RedisConfiguration(url: server.url)) { connection in
            try server.suspend()
            #expect(
                await redisError { try await connection.ping(timeout: .milliseconds(200)) }
                    == .timedOut(command: "PING")
            )
        }
        try server.resume()
        await server.stop()
    }

    @Test func noMoreCommandsWaitThanAllowed() async throws {
        let server = try await RedisServer.start()
        var configuration = try RedisConfiguration(url: server.url)
        configuration.maxPending = 8
        try await withConnection(configuration) { connection in
            try server.suspend()
            await withTaskGroup(of: RedisError?.self) { group in
                for number in 0..<12 {
                    group.addTask {
                        await redisError {
                            _ = try await connection.send("INCR", ["n\(number)"], timeout: .seconds(3))
                        }
                    }
                }
                var errors: [RedisError?] = []
                for await error in group { errors.append(error) }
                #expect(errors.filter { $0 == .queueFull }.count == 4)
                #expect(errors.filter { $0?.mayHaveBeenExecuted == true }.count == 8)
            }
        }
        try server.resume()
        await server.stop()
    }

    @Test func bytesOfWaitingCommandsAreBoundedWhileTheServerDoesNotRead() async throws {
        let server = try await RedisServer.start()
        var configuration = try RedisConfiguration(url: server.url)
        configuration.maxPendingBytes = 4 * 1024 * 1024
        let value = RedisArgument(bytes: repeatElement(0x61, count: 1024 * 1024))
        try await withConnection(configuration) { connection in
            try server.suspend()
            let errors = await withTaskGroup(of: RedisError?.self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        await redisError { _ = try await connection.send("ECHO", [value], timeout: .seconds(1)) }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(errors.contains(.queueFull))
            #expect(errors.contains(.timedOut(command: "ECHO")))
        }
        try server.resume()
        await server.stop()
    }

    @Test func aCancelledCallerLeavesAndTheOthersStayInOrder() async throws {
        let server = try await RedisServer.start()
        try await withConnection(try RedisConfiguration(url: server.url)) { connection in
            try server.suspend()
            let cancelled = Task { try await connection.send("ECHO", ["cancelled"]) }
            let kept = Task { try await connection.send("ECHO", ["kept"]) }
            try await eventually("both are pending") { connection.pendingCommands == 2 }
            cancelled.cancel()
            #expect(await redisError { _ = try await cancelled.value } == .cancelled)
            try server.resume()
            #expect(try await kept.value.string == "kept")
            #expect(try await connection.send("ECHO", ["after"]).string == "after")
        }
        await server.stop()
    }

    @Test func aConnectAttemptEndsWithItsTask() async throws {
        // The peer accepts and says nothing, so only the cancellation can end it soon.
        let peer = try await ScriptedPeer.start([])
        var configuration = try RedisConfiguration(url: peer.url)
        configuration.connectTimeout = .seconds(60)
        let attempt = Task { [configuration] in
            try await RedisConnection.connect(configuration, on: eventLoops.next(), logger: silent)
        }
        try await eventually("the peer was connected to") { peer.connections > 0 }
        attempt.cancel()
        #expect(await redisError { _ = try await attempt.value } == .cancelled)
        try await eventually("the connection was closed") { peer.openConnections == 0 }
        try await peer.stop()
    }

    @Test func closingWaitsForRepliesAndTakesNoMore() async throws {
        let server = try await RedisServer.start()
        let connection = try await RedisConnection.connect(
            try RedisConfiguration(url: server.url),
            on: eventLoops.next(),
            logger: silent
        )
        try server.suspend()
        let pending = Task { try await connection.send("ECHO", ["still"]) }
        let replies = Task { try await connection.pipeline([("ECHO", ["a"]), ("ECHO", ["b"])]) }
        try await eventually("commands are pending") { connection.pendingCommands == 3 }
        let closing = Task { await connection.close() }
        try await eventually("no more is taken") { !connection.isOpen }
        #expect(
            await redisError { try await connection.ping() } == .notConnected(reason: "the connection is being closed")
        )
        try server.resume()
        #expect(try await pending.value.string == "still")
        #expect(try await replies.value.map(\.string) == ["a", "b"])
        await closing.value
        await server.stop()
    }

    // MARK: Login

    @Test func logsInAndSaysWhyNot() async throws {
        let server = try await RedisServer.start(
            configuration: ["user ferry on >s3cret ~* &* +@all -ping", "user nobody off >s3cret"],
            password: "hunter2"
        )
        let address = "127.0.0.1:\(server.port)"
        try await withConnection(try RedisConfiguration(url: "redis://\(address)", password: "hunter2")) {
            try await $0.ping()
        }
        // An account without PING is still an account.
        try await withConnection(try RedisConfiguration(url: "redis://ferry:s3cret@\(address)")) {
            let name = try await $0.send("ACL", ["WHOAMI"]).string
            #expect(name == "ferry")
        }
        for (url, expected) in [
            ("redis://\(address)", "the server wants a password"),
            ("redis://:wrong@\(address)", "the login was refused: WRONGPASS"),
            ("redis://ferry:wrong@\(address)", "the login was refused: WRONGPASS"),
            ("redis://nobody:s3cret@\(address)", "the login was refused: WRONGPASS"),
        ] {
            let error = await redisError { try await withConnection(try RedisConfiguration(url: url)) { _ in } }
            guard case .connectFailed(let reason) = error else {
                return _ = Issue.record("\(url): \(error as Any)")
            }
            #expect(reason.contains(expected), "\(url): \(reason)")
            #expect(!reason.contains("s3cret") && !reason.contains("wrong@"))
        }
        await server.stop()
    }

    @Test func aPasswordThatTheServerDoesNotWantIsSaid() async throws {
        let server = try await SharedServers.redis()
        let error = await redisError {
            try await withConnection(try RedisConfiguration(url: "redis://:x@127.0.0.1:\(server.port)")) { _ in }
        }
        guard case .connectFailed(let reason) = error else { return _ = Issue.record("\(error as Any)") }
        #expect(reason.contains("without any password configured"))
    }

    @Test func selectsTheDatabaseAndNamesItself() async throws {
        let server = try await SharedServers.redis()
        var other = try RedisConfiguration(url: "redis://127.0.0.1:\(server.port)/3")
        other.clientName = "ferry-test"
        try await withConnection(other) { connection in
            try await connection.set("only-in-3", "x")
            let mine = try await connection.send("CLIENT", ["INFO"]).string ?? ""
            #expect(mine.contains(" db=3 ") && mine.contains(" name=ferry-test "))
        }
        try await withConnection(try await sharedConfiguration()) { connection in
            let isThere = try await connection.exists("only-in-3")
            #expect(!isThere)
        }
        let outOfRange = await redisError {
            try await withConnection(try RedisConfiguration(url: "redis://127.0.0.1:\(server.port)/99")) { _ in }
        }
        guard case .connectFailed(let reason) = outOfRange else { return _ = Issue.record("\(outOfRange as Any)") }
        #expect(reason.contains("SELECT was refused"))
    }

    @Test func aPortThatNobodyListensOnIsSaid() async throws {
        let port = try FreePort.next()
        let error = await redisError {
            try await withConnection(try RedisConfiguration(url: "redis://127.0.0.1:\(port)")) { _ in }
        }
        guard case .connectFailed(let reason) = error else { return _ = Issue.record("\(error as Any)") }
        #expect(reason.contains("redis://127.0.0.1:\(port)/0") && reason.contains("refused"), "\(reason)")
    }

    @Test func aServerWithoutRoomForMoreClientsIsSaid() async throws {
        let server = try await RedisServer.start(configuration: ["maxclients 1"])
        let configuration = try RedisConfiguration(url: server.url)
        // The connection that saw the server start may take the one place for another moment.
        let first = try await eventuallyValue("the only place is free") {
            try await RedisConnection.connect(configuration, on: eventLoops.next(), logger: silent)
        }
        let error = await redisError { try await withConnection(configuration) { _ in } }
        guard case .connectFailed(let reason) = error else { return _ = Issue.record("\(error as Any)") }
        #expect(reason.contains("max number of clients"), "\(reason)")
        await first.close()
        await server.stop()
    }
}
