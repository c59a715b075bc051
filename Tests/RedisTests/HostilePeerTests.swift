// Peers that do not play by the rules: nothing traps, nothing hangs, nothing grows.

import Harness
import NIOCore
import NIOPosix
import Redis
import Testing

@Suite struct HostilePeerTests {
    private static let pong = Array("+PONG\r\n".utf8)

    private func errorOfGet(_ answers: [[UInt8]], closing: Bool = false) async throws -> (RedisError?, isOpen: Bool) {
        let peer = try await ScriptedPeer.start(answers, closing: closing)
        var configuration = try RedisConfiguration(url: peer.url)
        configuration.commandTimeout = .seconds(20)
        let result = try await withConnection(configuration) { connection in
            (await redisError { _ = try await connection.get("key") }, connection.isOpen)
        }
        try await peer.stop()
        return result
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\u{1}\u{2}\u{3}", "$99999999999999999\r\n", "*2000000000\r\n",
        "*1000000\r\n*1000000\r\n*1000000\r\n*1000000\r\n*1000000\r\n*1000000\r\n*1000000\r\n*1000000\r\n",
        "$3\r\nabcdefgh\r\n", ":12x\r\n", "$-7\r\n",
    ]) func garbageIsAViolationAndClosesTheConnection(answer: String) async throws {
        let (error, isOpen) = try await errorOfGet([Self.pong, Array(answer.utf8)])
        guard case .protocolViolation(let reason) = error else { return _ = Issue.record("\(error as Any)") }
        #expect(!reason.isEmpty)
        #expect(!isOpen)
    }

    @Test func aLineWithoutEndIsAViolation() async throws {
        let line = [UInt8(ascii: "+")] + [UInt8](repeating: 0x61, count: 70_000)
        let (error, _) = try await errorOfGet([Self.pong, line])
        #expect(error == .protocolViolation("a line of more than 65536 bytes"))
    }

    @Test func aReplyToNothingClosesTheConnection() async throws {
        let peer = try await ScriptedPeer.start([Self.pong + Array(":1\r\n:2\r\n".utf8)])
        let configuration = try RedisConfiguration(url: peer.url)
        let connection = try? await RedisConnection.connect(configuration, on: eventLoops.next(), logger: silent)
        if let connection {
            try await eventually("the connection is closed") { !connection.isOpen }
            #expect(connection.closeReason == "a reply to no command")
        }
        try await eventually("the peer sees the end") { peer.connections == 1 && peer.openConnections == 0 }
        try await peer.stop()
    }

    @Test func aPeerThatHangsUpInTheMiddleOfAReply() async throws {
        let (error, _) = try await errorOfGet([Self.pong, Array("$10\r\nabc".utf8)], closing: true)
        #expect(error == .connectionClosed(command: "GET"))
        #expect(error?.mayHaveBeenExecuted == true)
    }

    @Test func aReplyOfAnotherKindIsAnErrorOfTheCommand() async throws {
        let (error, isOpen) = try await errorOfGet([Self.pong, Array("*1\r\n:1\r\n".utf8)])
        #expect(error == .unexpectedReply(command: "GET", expected: "UTF-8 text"))
        #expect(isOpen)
    }

    @Test func aPeerThatNeverAnswersTheLoginIsGivenUp() async throws {
        let peer = try await ScriptedPeer.start([])
        var configuration = try RedisConfiguration(url: peer.url)
        configuration.connectTimeout = .milliseconds(300)
        let error = await redisError { [configuration] in try await withConnection(configuration) { _ in } }
        #expect(error == .connectFailed(reason: "\(peer.url): no answer in time"))
        try await peer.stop()
    }

    @Test func aPeerThatDoesNotSpeakRedisIsNamed() async throws {
        let peer = try await ScriptedPeer.start([Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)])
        let error = await redisError { try await withConnection(try RedisConfiguration(url: peer.url)) { _ in } }
        guard case .connectFailed(let reason) = error else { return _ = Issue.record("\(error as Any)") }
        #expect(reason.hasPrefix(peer.url))
        try await peer.stop()
    }

    /// Accepting and hanging up at once must not make the client spin: pauses grow though each connect succeeds.
    @Test func aPeerThatHangsUpAfterTheLoginIsNotHammered() async throws {
        let peer = try await ScriptedPeer.start([Self.pong], closing: true)
        let configuration = try RedisConfiguration(url: peer.url)
        try await withClient(configuration) { _ in
            try await eventually("the client came back") { peer.connections >= 3 }
            let before = peer.connections
            let start = ContinuousClock.now
            try await eventually("the client comes back more slowly") { peer.connections >= before + 2 }
            #expect(ContinuousClock.now - start > .milliseconds(150))
        }
        try await peer.stop()
    }
}
