// A peer that does not speak the protocol is an error, never a crash or a hang.

import AMQP
import Foundation
import Harness
import Logging
import Testing

/// Answers every connection with the same bytes, then leaves it open or closes it.
private final class Babbler: Sendable {
    let port: Int
    private let server: ChildProcess

    init(_ bytes: [UInt8], closes: Bool) async throws {
        let port = try FreePort.next()
        let program = """
            import socket, sys
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(50)
            kept = []
            while True:
                c, _ = s.accept()
                try:
                    c.sendall(bytes.fromhex(sys.argv[2]))
                except OSError:
                    pass
                if sys.argv[3] == "close": c.close()
                else: kept.append(c)
            """
        let hex = bytes.map { String(format: "%02x", $0) }.joined()
        server = try ChildProcess("python3", ["-c", program, "\(port)", hex, closes ? "close" : "keep"])
        self.port = port
        try await eventually("it listens", within: .seconds(30)) { !FreePort.isFree(port) }
    }

    func stop() async { _ = await server.stop() }
}

@Suite(.timeLimit(.minutes(2))) struct HostilePeerTests {
    static let words: [[UInt8]] = [
        [],
        Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8),
        Array("AMQP".utf8) + [0, 1, 0, 0],
        Array(repeating: 0xFF, count: 4_096),
        Array(repeating: 0, count: 4_096),
        // A method frame of an unknown class; one without its end; a header on channel 0; a body first.
        [1, 0, 0, 0, 0, 0, 4, 0, 99, 0, 10, 0xCE],
        [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10, 0],
        [3, 0, 1, 0, 0, 0, 3, 1, 2, 3, 0xCE],
        // connection.start whose table says it is longer than the frame.
        [1, 0, 0, 0, 0, 0, 10, 0, 10, 0, 10, 0, 9, 0x7F, 0xFF, 0xFF, 0xFF, 0xCE],
        (0..<2_048).map { UInt8(truncatingIfNeeded: $0 &* 197 &+ 13) },
    ]

    @Test(arguments: words, [true, false]) func nonsenseIsAnError(word: [UInt8], closes: Bool) async throws {
        let babbler = try await Babbler(word, closes: closes)
        var configuration = try AMQPConfiguration(url: "amqp://127.0.0.1:\(babbler.port)")
        configuration.connectTimeout = .milliseconds(500)
        configuration.operationTimeout = .milliseconds(500)
        let publisher = AMQPPublisher(
            configuration: configuration,
            logger: Logger(label: "amqp.test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await running({ try await publisher.run() }) {
            try await eventually("the error is told") {
                if case .disconnected(let reason?) = publisher.state { !reason.isEmpty } else { false }
            }
            await #expect(throws: AMQPError.self) {
                try await publisher.publish(AMQPMessage("m"), exchange: "", routingKey: "q", mandatory: true)
            }
        }
        await babbler.stop()
    }

    @Test func nobodyThere() async throws {
        let port = try FreePort.next()
        let publisher = AMQPPublisher(
            configuration: try AMQPConfiguration(url: "amqp://127.0.0.1:\(port)"),
            logger: Logger(label: "amqp.test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await running({ try await publisher.run() }) {
            try await eventually("the error names the place") {
                if case .disconnected(let reason?) = publisher.state {
                    reason.contains("127.0.0.1:\(port)")
                } else {
                    false
                }
            }
        }
        #expect(publisher.state == .stopped)
    }
}
