// LogHandlerTests: golden lines of both handlers, and lines that try to be more than one.

import Foundation
import Glibc
import Logging
import Testing

@testable import Service

/// A pipe whose written bytes can be read at the end.
struct PipeCapture: ~Copyable {
    let reader: Int32
    let writer: Int32

    init() throws {
        var descriptors: [Int32] = [0, 0]
        try #require(pipe(&descriptors) == 0)
        // F_SETPIPE_SZ of fcntl(2), which Glibc's module leaves out. The tests write less than this before they read.
        try #require(fcntl(descriptors[1], 1_031, 1 << 20) >= 1 << 20)
        (reader, writer) = (descriptors[0], descriptors[1])
    }

    deinit {
        close(reader)
        close(writer)
    }

    /// What is in the pipe now.
    func text() -> String {
        _ = fcntl(reader, F_SETFL, O_NONBLOCK)
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(reader, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: all, as: UTF8.self) }
            all += buffer[..<count]
        }
    }
}

private struct Problem: Error, CustomStringConvertible {
    var description: String { "cannot reach amqp://ferry:hunter2@broker/ferry\nreally" }
}

struct LogHandlerTests {
    private static let time = LogTime(seconds: 1_795_421_730, milliseconds: 7)

    private func logged(_ format: Logs.Format, label: String = "ferry.test", _ body: (inout Logger) -> Void) throws
        -> String
    {
        let capture = try PipeCapture()
        let output = LogOutput(descriptor: capture.writer)
        var logger = Logger(label: label) { label -> any LogHandler in
            switch format {
            case .json: return JSONLogHandler(label: label, metadataProvider: nil, output: output) { Self.time }
            case .text: return TextLogHandler(label: label, metadataProvider: nil, output: output) { Self.time }
            }
        }
        body(&logger)
        return capture.text()
    }

    @Test(arguments: [
        (0, 0, "1970-01-01T00:00:00.000Z"), (951_782_400, 5, "2000-02-29T00:00:00.005Z"),
        (1_795_421_730, 42, "2026-11-23T08:15:30.042Z"), (4_102_444_799, 999, "2099-12-31T23:59:59.999Z"),
    ])
    func time(seconds: Int, milliseconds: Int, text: String) {
        #expect(LogTime(seconds: seconds, milliseconds: milliseconds).rfc3339 == text)
    }

    @Test func json() throws {
        let text = try logged(.json) { logger in
            logger[metadataKey: "upload"] = "u1"
            logger.warning(
                "Part shipped",
                metadata: [
                    "size": .stringConvertible(42), "ok": .stringConvertible(true),
                    "target": ["id": "web", "port": "22"],
                    "ranges": ["1-2", .stringConvertible(5)], "list": [["a": "b"]], "message": "other",
                ]
            )
            logger.debug("not logged")
            logger.info("second")
        }
        #expect(
            text
                == #"{"time":"2026-11-23T08:15:30.007Z","level":"warning","logger":"ferry.test","message":"Part shipped","#
                + #""list":["a=b"],"metadata.message":"other","ok":true,"ranges":["1-2",5],"size":42,"#
                + #""target.id":"web","target.port":"22","upload":"u1"}"# + "\n"
                + #"{"time":"2026-11-23T08:15:30.007Z","level":"info","logger":"ferry.test","message":"second","upload":"u1"}"#
                + "\n"
        )
    }

    @Test func text() throws {
        let text = try logged(.text) { logger in
            logger.error("Part lost", metadata: ["path": "a b\"c", "n": .stringConvertible(1), "empty": ""])
        }
        #expect(text == #"2026-11-23T08:15:30.007Z ERROR    ferry.test: Part lost empty="" n=1 path="a b\"c""# + "\n")
    }

    @Test func linesCannotBeForgedInJSON() throws {
        let hostile = "a\n{\"level\":\"critical\"}\r\u{0}\u{1B}[31m\u{202E}\u{2028}\u{85}\"\\\t\u{7F}é😀"
        let text = try logged(.json, label: "x\ny") { logger in
            logger.info("\(hostile)", metadata: ["k\n\(hostile)": "\(hostile)", "list": ["\(hostile)"]])
        }
        #expect(text.unicodeScalars.filter { $0 == "\n" }.count == 1)
        #expect(text.unicodeScalars.dropLast().allSatisfy { !needsEscape($0) })
        #expect(text.contains(#"\u0000\u001b[31m\u202e\u2028\u0085\"\\\t\u007fé😀"#))
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["message"] as? String == hostile)
        #expect(object["logger"] as? String == "x\ny")
        #expect(object["level"] as? String == "info")
        #expect(object["k\n\(hostile)"] as? String == hostile)
        #expect(object["list"] as? [String] == [hostile])
    }

    @Test func linesCannotBeForgedInText() throws {
        let text = try logged(.text) { logger in
            logger.info("a\nb\r\u{1B}[31m\u{202E}\\", metadata: ["k\n": "v\nw"])
        }
        #expect(text == #"2026-11-23T08:15:30.007Z INFO     ferry.test: a\nb\r\u{1b}[31m\u{202e}\\ k\n=v\nw"# + "\n")
    }

    @Test(arguments: [Logs.Format.json, .text])
    func secretsStayOut(format: Logs.Format) throws {
        let text = try logged(format) { logger in
            logger.error(
                "cannot reach redis://:hunter2@h/0 and http://a:hunter2@b, Authorization: Bearer hunter2hunter2hunter2",
                error: Problem(),
                metadata: [
                    "password": "hunter2", "redis": ["password": "hunter2"], "Authorization": "hunter2",
                    "access_token": "hunter2", "url": "amqp://u:hunter2@h", "list": [["secret": "hunter2"]],
                ]
            )
        }
        #expect(!text.contains("hunter2"), "\(text)")
        #expect(text.contains("redis://:***@h/0 and http://a:***@b, Authorization: Bearer ***"))
        #expect(text.contains("amqp://ferry:***@broker/ferry\\nreally"))
        #expect(text.split(separator: "\n").count == 1)
    }

    @Test(arguments: [
        "http://host/a:b@c", "see http://host:80/x", "a@b", "bearer of bad news", "://", "://@", "://:@", "x://a@b:c",
    ])
    func whatIsNoSecretStays(text: String) {
        #expect(Redaction.clean(text) == (text == "://:@" ? "://:***@" : text))
    }

    @Test func lengthIsBounded() throws {
        let text = try logged(.json) { logger in
            logger.info(
                "\(String(repeating: "é", count: 100_000))",
                metadata: ["a": "\(String(repeating: "b", count: 100_000))"]
            )
        }
        #expect(text.utf8.count < 40_000)
        #expect(try JSONSerialization.jsonObject(with: Data(text.utf8)) is [String: Any])
    }

    @Test func threadsDoNotMixLines() async throws {
        let capture = try PipeCapture()
        let output = LogOutput(descriptor: capture.writer)
        await withTaskGroup { group in
            for task in 0..<8 {
                group.addTask {
                    let logger = Logger(label: "t\(task)") { label -> any LogHandler in
                        JSONLogHandler(label: label, metadataProvider: nil, output: output) { Self.time }
                    }
                    for number in 0..<200 { logger.info("\(String(repeating: "x", count: number * 2))") }
                }
            }
        }
        let lines = capture.text().split(separator: "\n")
        #expect(lines.count == 1_600)
        for line in lines {
            #expect(line.hasPrefix("{\"time\":") && line.hasSuffix("x\"}") || line.hasSuffix("\"message\":\"\"}"))
        }
    }

    @Test func setUpByEnvironment() throws {
        let standard = try Logs(environment: [:], isTerminal: false)
        #expect(standard.level == .info)
        #expect(standard.format == .json)
        #expect(try Logs(environment: ["FERRY_LOG_FORMAT": ""], isTerminal: true).format == .text)
        let chosen = try Logs(environment: ["FERRY_LOG_LEVEL": "TRACE", "FERRY_LOG_FORMAT": "json"], isTerminal: true)
        #expect(chosen.level == .trace)
        #expect(chosen.format == .json)
        #expect(chosen.handler(label: "x", provider: nil).logLevel == .trace)
        #expect(chosen.handler(label: "x", provider: nil) is JSONLogHandler)
        #expect(
            try Logs(environment: ["FERRY_LOG_FORMAT": "text"], isTerminal: false).handler(label: "x", provider: nil)
                is TextLogHandler
        )
        let error = #expect(throws: ConfigurationError.self) {
            try Logs(environment: ["FERRY_LOG_LEVEL": "loud", "FERRY_LOG_FORMAT": "xml"], isTerminal: false)
        }
        #expect(
            error?.description
                == """
                environment variable FERRY_LOG_LEVEL: expected one of trace, debug, info, notice, warning, error, critical, \
                found "loud"
                environment variable FERRY_LOG_FORMAT: expected one of json, text, found "xml"
                """
        )
    }
}
