// The harness itself: its servers start, answer, die and come back, and leave nothing behind.

import Foundation
import Glibc
import Harness
import Testing

@Suite struct ServersTests {
    @Test func redisKeepsItsDataOverARestart() async throws {
        let redis = try await RedisServer.start(configuration: ["appendfsync always"])
        #expect(try await redis.cli("SET", "key", "value") == "OK")
        try await redis.kill()
        #expect(!redis.isRunning)
        try await redis.restart()
        #expect(try await redis.cli("GET", "key") == "value")
        #expect(try await redis.cli("CONFIG", "GET", "maxmemory-policy").hasSuffix("noeviction"))
    }

    @Test func redisWithAPasswordRefusesStrangers() async throws {
        let redis = try await RedisServer.start(password: "secret")
        #expect(redis.url == "redis://:secret@127.0.0.1:\(redis.port)/0")
        #expect(try await redis.cli("PING") == "PONG")
        let stranger = try await ChildProcess.run("redis-cli", ["-p", String(redis.port), "PING"])
        #expect(stranger.output.contains("NOAUTH"))
    }

    @Test func aSuspendedServerAnswersAgainAfterResume() async throws {
        let redis = try await RedisServer.start()
        try redis.suspend()
        await #expect(throws: NotInTime.self) {
            let child = try ChildProcess("redis-cli", ["-p", String(redis.port), "PING"])
            _ = try await child.wait(within: .milliseconds(300))
        }
        try redis.resume()
        #expect(try await redis.cli("PING") == "PONG")
    }

    @Test func rabbitMQLosesItsPortMapperWithIt() async throws {
        let broker = try await RabbitMQServer.start()
        let epmd = try #require(broker.pid.map(ProcessTree.descendants(of:))).filter { name(of: $0) == "epmd" }
        #expect(epmd.count == 1)
        let declare = ["--url=\(broker.url)", "-q", "kept", "-d"]
        #expect(try await ChildProcess.run("amqp-declare-queue", declare).isSuccess)
        // A queue that was declared is in the broker's file of changes up to two seconds later.
        _ = try await broker.control("-q", "eval", "ok = mnesia:sync_log().")
        try await broker.kill()
        try await eventually("the port mapper is gone") { epmd.allSatisfy { name(of: $0) != "epmd" } }
        try await broker.restart()
        #expect(try await broker.control("-q", "list_queues", "-p", "ferry", "name").contains("kept"))
    }

    @Test(arguments: ["ed25519", "ecdsa"])
    func sshdLetsTheKeyInOverSFTP(type: String) async throws {
        let server = try await SSHServer.start(hostKeyTypes: [type])
        #expect(server.hostKeyFingerprint.hasPrefix("SHA256:"))
        let report = try await server.sftp("mkdir \(server.root)/made")
        #expect(report.isSuccess, "\(report.errors)")
        #expect(FileManager.default.fileExists(atPath: server.root + "/made"))
    }

    @Test func sshdRefusesWhatItsFlagsForbid() async throws {
        let plain = try await SSHServer.start()
        let restricted = try await SSHServer.start(sftp: .internal(flags: "-P mkdir"))
        let external = try await SSHServer.start(sftp: .external)
        #expect(try await plain.sftp("mkdir \(plain.root)/made").isSuccess)
        #expect(try await !restricted.sftp("mkdir \(restricted.root)/made").isSuccess)
        #expect(try await external.sftp("mkdir \(external.root)/made").isSuccess)
    }

    @Test func killedSessionsLeaveTheListener() async throws {
        let server = try await SSHServer.start()
        let place = try TemporaryDirectory("session")
        let session = try ChildProcess(
            "ssh",
            server.clientOptions + [
                "-p", String(server.port), "\(server.user)@127.0.0.1", "echo ready; exec sleep 1000",
            ],
            output: place.path("output")
        )
        try await eventually("the session is open") { session.output.contains("ready") }
        server.killSessions()
        #expect(try await session.wait() != .status(0))
        #expect(server.isRunning)
        #expect(try await server.sftp("pwd").isSuccess)
    }

    @Test func sharedServersAreOneServer() async throws {
        async let first = SharedServers.redis()
        async let second = SharedServers.redis()
        #expect(try await first.port == second.port)
    }

    @Test func releasingAServerEndsItAndItsDirectory() async throws {
        var redis: RedisServer? = try await RedisServer.start()
        let pid = try #require(redis?.pid)
        let directory = try #require(redis?.directory)
        redis = nil
        #expect(kill(pid, 0) == -1)
        #expect(!FileManager.default.fileExists(atPath: directory))
    }

    private func name(of pid: Int32) -> String? {
        (try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8))?.trimmingCharacters(in: .newlines)
    }
}
