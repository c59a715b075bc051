// The fault proxy does what it says, and only that.

import Foundation
import Glibc
import Harness
import Testing

@Suite struct FaultProxyTests {
    @Test func whatPassesIsUnchanged() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        let place = try TemporaryDirectory("value")
        // Larger than any buffer on the way.
        let value = String((0..<3_000_000).map { "abcdefghijklmnopqrstuvwxyz"[$0 % 26] })
        try value.write(toFile: place.path("value"), atomically: true, encoding: .utf8)
        #expect(try await cli(proxy, place, "redis-cli -p $PORT -x SET big < value").output == "OK\n")
        #expect(try await cli(proxy, place, "redis-cli -p $PORT --raw GET big").output == value + "\n")
        #expect(proxy.bytes(.toServer) > 3_000_000)
        #expect(proxy.bytes(.toClient) > 3_000_000)
        #expect(proxy.acceptedConnections == 2)
        try await eventually("both connections are closed") { proxy.openConnections == 0 }
    }

    @Test func whatIsPausedArrivesAfterTheResume() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        try proxy.pause([.toClient])
        let place = try TemporaryDirectory("paused")
        let child = try ChildProcess(
            "redis-cli",
            ["-p", String(proxy.port), "SET", "key", "value"],
            output: place.path("output")
        )
        // One way only: the command arrives, its answer does not.
        try await eventually("the server has the command") { try await redis.cli("EXISTS", "key") == "1" }
        #expect(child.isRunning)
        #expect(proxy.bytes(.toClient) == 0)
        try proxy.resume()
        #expect(try await child.wait() == .status(0))
        #expect(child.output == "OK\n")
    }

    @Test func aCutEndsTheConnectionsOfNow() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        let child = try ChildProcess("redis-cli", ["-p", String(proxy.port), "BLPOP", "none", "0"])
        try await eventually("the client is connected") {
            try await redis.cli("CLIENT", "LIST").contains("cmd=blpop")
        }
        try proxy.cut()
        #expect(try await child.wait() != .status(0))
        #expect(proxy.openConnections == 0)
        #expect(try await cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING").output == "PONG\n")
    }

    @Test func exactlyTheAllowedBytesPassBeforeACut() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        try proxy.cut(after: 3, .toClient)
        let first = try await cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING")
        #expect(!first.isSuccess)
        #expect(proxy.bytes(.toClient) == 3)
        #expect(try await cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING").output == "PONG\n")
    }

    @Test func refusedThenAccepted() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        try proxy.refuse()
        let refused = try await cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING")
        #expect((refused.output + refused.errors).contains("refused"))
        try proxy.accept()
        #expect(try await cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING").output == "PONG\n")
    }

    @Test func delayAndRateTakeTheirTime() async throws {
        let redis = try await RedisServer.start()
        let proxy = try FaultProxy(to: redis.port)
        let place = try TemporaryDirectory("slow")
        try proxy.delay(.milliseconds(150))
        var start = ContinuousClock.now
        #expect(try await cli(proxy, place, "redis-cli -p $PORT PING").output == "PONG\n")
        #expect(start.duration(to: .now) >= .milliseconds(300))
        try proxy.delay(.zero)
        try proxy.limit(bytesPerSecond: 100_000)
        try Data(count: 50_000).write(to: URL(fileURLWithPath: place.path("value")))
        start = .now
        #expect(try await cli(proxy, place, "redis-cli -p $PORT -x SET slow < value").output == "OK\n")
        let slow = start.duration(to: .now)
        #expect(slow >= .milliseconds(400))
        #expect(slow < .seconds(5))
    }

    @Test func aServerThatIsAwayClosesTheClient() async throws {
        let proxy = try FaultProxy(to: FreePort.next())
        #expect(try await !cli(proxy, TemporaryDirectory(), "redis-cli -p $PORT PING").isSuccess)
        proxy.stop()
        #expect(throws: HarnessError.self) { try proxy.pause() }
        #expect(FreePort.isFree(proxy.port))
    }

    private func cli(_ proxy: FaultProxy, _ place: TemporaryDirectory, _ command: String) async throws
        -> ChildProcess.Report
    {
        try await ChildProcess.run(
            "sh",
            ["-c", command],
            environment: ["PORT": String(proxy.port)],
            directory: place.path
        )
    }
}

extension String {
    fileprivate subscript(index: Int) -> Character {
        self[self.index(startIndex, offsetBy: index)]
    }
}
