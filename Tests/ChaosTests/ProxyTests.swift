// The balancer goes round the dead; traps hold exactly what they are set for.

import Harness
import Redis
import Testing

@testable import Adapters
@testable import Chaos

@Suite(.serialized) struct ProxyTests {
    private func ask(_ port: Int, _ words: String...) async throws -> String {
        try await ChildProcess.run("redis-cli", ["-p", String(port)] + words).output
    }

    @Test func theBalancerTakesTurnsAndPassesTheDead() async throws {
        let servers = [try await RedisServer.start(), try await RedisServer.start()]
        for server in servers { _ = try await server.cli("SET", "port", String(server.port)) }
        let balancer = try FaultProxy(toAnyOf: servers.map(\.port))
        var seen: Set<String> = []
        for _ in 0..<4 { seen.insert(try await ask(balancer.port, "GET", "port")) }
        #expect(seen.count == 2)
        await servers[0].stop()
        for _ in 0..<4 { #expect(try await ask(balancer.port, "GET", "port") == "\(servers[1].port)\n") }
    }

    @Test func aTrapHoldsARequestOrItsReply() async throws {
        let redis = try await RedisServer.start()
        let board = TrapBoard(owner: "me")
        let proxy = try FaultProxy(to: redis.port, inspector: { RedisInspector(board) })
        #expect(try await ask(proxy.port, "SET", "a", "1") == "OK\n")
        for (place, expected) in [(Trap.Place.before, "0"), (.after, "1")] {
            _ = try await redis.cli("DEL", "b")
            let trap = Trap("SET b", place) { $0.name == "SET" && $0.text(0) == "b" }
            board.set(trap)
            let client = try ChildProcess("redis-cli", ["-p", String(proxy.port), "SET", "b", "2"])
            let caught = try await trap.next()
            #expect(caught.owner == "me")
            #expect(try await redis.cli("EXISTS", "b") == expected)
            #expect(client.isRunning)
            // Others are not held up.
            #expect(try await ask(proxy.port, "GET", "a") == "1\n")
            try proxy.release(caught.hold)
            #expect(try await client.wait() == .status(0))
            #expect(try await redis.cli("GET", "b") == "2")
        }
    }

    @Test func scriptsAreKnownByTheirDigests() throws {
        let scripts = try IndexScripts()
        for script in [
            UploadScripts.commit, UploadScripts.finish, UploadScripts.shipped, UploadScripts.receive,
            UploadScripts.cleaned, UploadScripts.read, UploadScripts.acquire,
        ] {
            let known = TrafficFrame(name: "EVALSHA", words: [Array(script.sha1.utf8)])
            let whole = TrafficFrame(name: "EVAL", words: [Array(script.source.utf8)])
            #expect(scripts.name(of: known) == script.name)
            #expect(scripts.name(of: whole) == script.name)
        }
        #expect(scripts.name(of: TrafficFrame(name: "EVALSHA", words: [Array("0".utf8)])) == nil)
        #expect(scripts.name(of: TrafficFrame(name: "GET", words: [])) == nil)
    }

    @Test func jobsAreSeenOnTheirWay() async throws {
        let board = TrapBoard(owner: "publisher")
        let inspector = AMQPInspector(board)
        let trap = Trap("publish", .seen, times: 2) { $0.name == "publish" }
        board.set(trap)
        func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
            [type, 0, 1, 0, 0, 0, UInt8(payload.count)] + payload + [0xCE]
        }
        let job = Array(Fleet.job("merge", String(repeating: "0a", count: 16)).utf8)
        let key = Array("merge.near".utf8)
        let method: [UInt8] = [0, 60, 0, 40, 0, 0, 1, 120, UInt8(key.count)] + key + [0]
        let header: [UInt8] = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(job.count), 0, 0]
        let bytes = Array("AMQP".utf8) + [0, 0, 9, 1] + frame(1, method) + frame(2, header) + frame(3, job)
        // One byte after the other: nothing is lost or changed.
        var passed: [UInt8] = []
        for byte in bytes { for stretch in inspector.inspect([byte], .toServer) { passed += stretch.bytes } }
        #expect(passed == bytes)
        let caught = try #require(trap.take())
        #expect(caught.frame.text(0) == "x" && caught.frame.text(1) == "merge.near")
        #expect(caught.frame.identifier == String(repeating: "0a", count: 16))

        // The second one is dropped, and confirmed with its number on its channel.
        trap.disarm()
        board.set(Trap("publish", .drop) { $0.name == "publish" })
        let answer = inspector.inspect((frame(1, method) + frame(2, header) + frame(3, job))[...], .toServer)
        #expect(answer.count == 1 && answer.allSatisfy(\.goesBack))
        #expect(answer.first?.bytes == frame(1, [0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 2, 0]))
    }
}
