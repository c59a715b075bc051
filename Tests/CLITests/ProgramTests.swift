// The program itself: what it asks, what it says, and with which code it ends.

import Foundation
import Harness
import Synchronization
import Testing

@testable import CLI

@Suite("The program", .timeLimit(.minutes(1)))
struct ProgramTests {
    private static let id = String(repeating: "a", count: 32)

    private static func upload(_ state: String, error: String = "null") -> String {
        """
        {"id":"\(id)","owner":"o","target":"t","path":"a","state":"\(state)","size":3,"partSize":4096,
        "receivedBytes":3,"shippedBytes":3,"receivedParts":"1","shippedParts":"1","attempts":0,"error":\(error),
        "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}
        """
    }

    private func ferry(
        _ arguments: String...,
        url: String,
        token: String? = "secret"
    ) async throws -> ChildProcess.Report {
        try await ferry(arguments, url: url, token: token)
    }

    private func ferry(
        _ arguments: [String],
        url: String,
        token: String? = "secret"
    ) async throws -> ChildProcess.Report {
        try await ChildProcess.run(
            BuiltPrograms.path("ferry"),
            arguments,
            environment: ["FERRY_URL": url, "FERRY_TOKEN": token, "FERRY_CONFIG": nil]
        )
    }

    private func file() throws -> (directory: TemporaryDirectory, path: String) {
        let directory = try TemporaryDirectory("program")
        try Data("abc".utf8).write(to: URL(fileURLWithPath: directory.path("file")))
        return (directory, directory.path("file"))
    }

    @Test("A replay of many that leaves some behind says so, and ends with 1", arguments: [true, false])
    func replayLeavesSome(leaves: Bool) async throws {
        let skipped = leaves ? #"{"owner-revoked":2}"# : "{}"
        let server = try await AnsweringServer { _ in
            PlannedAnswer(
                status: 202,
                body: #"{"matched":3,"replayed":\#(leaves ? 1 : 3),"skipped":\#(skipped),"dryRun":false}"#
            )
        }
        let report = try await ferry("dead", "replay", "--all", url: server.url)
        #expect(report.exit == .status(leaves ? 1 : 0))
        #expect(report.output.hasPrefix("\(leaves ? 1 : 3) of 3 dead letters replayed"))
        #expect(report.errors == (leaves ? "ferry: 2 of 3 dead letters stay\n" : ""))
    }

    @Test(
        "An upload that fails says why, and ends with the contract's code",
        arguments: [("target-failed", Int32(1)), ("target-exists", 4), ("disk-full", 1)]
    )
    func failed(reason: String, code: Int32) async throws {
        let (directory, path) = try file()
        let error = #"{"reason":"\#(reason)","detail":"it said no"}"#
        let server = try await AnsweringServer { line in
            switch line {
            case "POST /v1/uploads": PlannedAnswer(status: 201, body: Self.upload("receiving"))
            case "POST /v1/uploads/\(Self.id)/complete": PlannedAnswer(status: 202, body: Self.upload("shipping"))
            default: PlannedAnswer(body: Self.upload("failed", error: error))
            }
        }
        let report = try await ferry("upload", path, "t:a", url: server.url)
        #expect(report.exit == .status(code), "\(report.errors)")
        #expect(report.errors == "ferry: upload \(Self.id) failed: \(reason): it said no\n")
        #expect(report.output.isEmpty)
        withExtendedLifetime(directory) {}
    }

    @Test("Files get the times that they have here, and the mode that is asked for")
    func attributes() async throws {
        let (directory, path) = try file()
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_000_000_000)],
            ofItemAtPath: path
        )
        let server = try await AnsweringServer { line in
            PlannedAnswer(status: line == "POST /v1/uploads" ? 201 : 200, body: Self.upload("done"))
        }
        let time = #""modifiedAt":"2001-09-09T01:46:40.000Z""#
        let runs: [(options: [String], sent: [String], unsent: [String])] = [
            ([], [time], [#""mode""#]),
            (["--mode", "640"], [time, #""mode":"0640""#], []),
            (["--no-times"], [], ["modifiedAt", #""mode""#]),
        ]
        for run in runs {
            let report = try await ferry(["upload", path, "t:a"] + run.options, url: server.url)
            #expect(report.exit == .status(0), "\(report.errors)")
            let body = server.received.last { $0.line == "POST /v1/uploads" }?.body ?? ""
            for text in run.sent { #expect(body.contains(text), "\(run.options): \(body)") }
            for text in run.unsent { #expect(!body.contains(text), "\(run.options): \(body)") }
        }
        for mode in ["rw", "0088", "0200", "4755"] {
            let report = try await ferry(["upload", path, "t:a", "--mode", mode], url: server.url)
            #expect(report.exit == .status(2) && report.errors.contains("--mode must be like 0640"), "\(report.errors)")
        }
        withExtendedLifetime(directory) {}
    }

    @Test("Who waits for room in staging is told so, until when, and goes on by itself")
    func waiting() async throws {
        let (directory, path) = try file()
        let attempts = Mutex(0)
        let server = try await AnsweringServer { line in
            guard line == "POST /v1/uploads" else { return PlannedAnswer(body: Self.upload("done")) }
            let isFirst = attempts.withLock { attempts in
                attempts += 1
                return attempts <= 2
            }
            let full = PlannedAnswer.problem(507, "staging-full", "there is no room", retryAfter: 1)
            return isFirst ? full : PlannedAnswer(status: 201, body: Self.upload("done"))
        }
        let report = try await ferry("upload", path, "t:a", url: server.url)
        #expect(report.exit == .status(0), "\(report.errors)")
        // Told once, though it was asked twice.
        let lines = report.errors.split(separator: "\n")
        #expect(lines.count == 1)
        let reason = #/ferry: [\d:]{8} waiting: The title: there is no room; trying again in 0:01, until [\d:]{8}/#
        #expect(try reason.wholeMatch(in: lines.first ?? "") != nil, "\(report.errors)")
        withExtendedLifetime(directory) {}
    }

    @Test("An empty FERRY_TOKEN is none")
    func emptyToken() async throws {
        let server = try await AnsweringServer { _ in .problem(401, "unauthorized", "a token is needed") }
        let report = try await ferry("list", url: server.url, token: "")
        #expect(report.exit == .status(1) && report.errors == "ferry: a token is needed\n")
        _ = try await ferry("list", url: server.url, token: "secret")
        #expect(server.received.map(\.authorization) == [nil, "Bearer secret"])
    }

    @Test("An empty token file is refused")
    func emptyTokenFile() async throws {
        let directory = try TemporaryDirectory("program")
        try Data("\n".utf8).write(to: URL(fileURLWithPath: directory.path("token")))
        let report = try await ferry("list", "--token-file", directory.path("token"), url: "http://127.0.0.1:1")
        #expect(report.exit == .status(2) && report.errors.hasSuffix("token is empty\n"), "\(report.errors)")
    }

    @Test(
        "What is wrong with the way to the API is told in words",
        arguments: [
            ("http://127.0.0.1:1", Int32(5), "http://127.0.0.1:1: Connection refused"),
            ("127.0.0.1:1", 2, "127.0.0.1:1 is no URL like http://127.0.0.1:8080"),
            ("ftp://127.0.0.1:1", 2, "ftp://127.0.0.1:1 is no URL like http://127.0.0.1:8080"),
            ("http://", 2, "http:// is no URL like http://127.0.0.1:8080"),
        ]
    )
    func unreachable(url: String, code: Int32, text: String) async throws {
        let report = try await ferry("list", url: url)
        #expect(report.exit == .status(code) && report.errors == "ferry: \(text)\n", "\(report.errors)")
    }

    @Test("A server that is no Ferry API is told of as one", arguments: ["<html>", "{}", ""])
    func stranger(body: String) async throws {
        let server = try await AnsweringServer { _ in PlannedAnswer(body: body) }
        let report = try await ferry("list", url: server.url)
        let text = "ferry: \(server.url): the answer is not that of a Ferry API of this version\n"
        #expect(report.exit == .status(1) && report.errors == text, "\(report.errors)")
    }

    @Test("What doctor finds wrong is in words")
    func doctor() async throws {
        let directory = try TemporaryDirectory("program")
        try FileManager.default.createDirectory(atPath: directory.path("staging"), withIntermediateDirectories: true)
        let key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
        let configuration = """
            staging: { path: \(directory.path("staging")) }
            redis: { url: "redis://127.0.0.1:1/0" }
            amqp: { url: "amqp://ferry:ferry@127.0.0.1:1/ferry" }
            auth: { tokens_file: \(directory.path("tokens")) }
            targets:
              web: { host: 127.0.0.1, port: 1, user: u, key_file: /none, host_keys: ["\(key)"], root: /srv }
            """
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: directory.path("ferry.yaml")))
        let report = try await ferry("doctor", "--config", directory.path("ferry.yaml"), url: "")
        #expect(report.exit == .status(1))
        for subject in ["redis", "rabbitmq", "target web"] {
            #expect(report.output.contains("WRONG  \(subject): "), "\(report.output)")
        }
        for leak in ["Optional(", "Error(", "disconnected(", "descriptor:", "(errno"] {
            #expect(!report.output.contains(leak), "\(report.output)")
        }
    }
}
