// The worked client of docs/compat.md on the real programs and servers: killed in the middle, run again, merged.

import Foundation
import Harness
import NIOCore
import NIOHTTP1
import Testing

@Suite("The old interfaces", .serialized)
struct CompatibilityTests {
    private static let chunkSize = 262_144

    private func arguments(_ stack: Stack, _ file: String, _ name: String, _ more: String...) -> [String] {
        [ProjectRoot.path("docs/examples/compat_client.py"), file, stack.target, "\(stack.root)/\(name)"] + more
    }

    /// The environment of one user, whose name is that of the stack's token.
    private func environment(_ stack: Stack, _ user: Stack.User) -> [String: String?] {
        ["FERRY_URL": stack["FERRY_URL"], "FERRY_TOKEN": stack[user.rawValue]]
    }

    /// The numbers in lines of the client's output that begin so.
    private func numbers(_ output: String, _ beginning: String) -> Set<Int> {
        Set(
            output.split(separator: "\n").filter { $0.hasPrefix(beginning) }.compactMap {
                Int($0.dropFirst(beginning.count))
            }
        )
    }

    @Test("The worked client uploads, resumes after kill -9, and sees its file merged", .timeLimit(.minutes(3)))
    func resume() async throws {
        try await Stack.with { stack in
            let directory = try TemporaryDirectory("compat")
            let environment = environment(stack, .alice)
            let bytes = testBytes(200 * Self.chunkSize + 77, seed: 11)
            let file = directory.path("big.bin")
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            let arguments = arguments(stack, file, "in/big file.bin", "alice", "--chunk-size", "\(Self.chunkSize)")

            let first = try ChildProcess(
                "/usr/bin/python3",
                arguments,
                environment: environment,
                output: directory.path("out"),
                errors: directory.path("err")
            )
            try await eventually("some chunks are stored", within: .seconds(30), every: .milliseconds(5)) {
                numbers(first.output, "stored chunk ").count >= 5
            }
            first.signal(SIGKILL)
            #expect(try await first.wait(within: .seconds(10)) == .signal(SIGKILL))
            let acknowledged = numbers(first.output, "stored chunk ")
            #expect(acknowledged.count >= 5 && acknowledged.count < 201, "it was not killed in the middle")
            let before = try await received(stack)

            let second = try await ChildProcess.run(
                "/usr/bin/python3",
                arguments,
                environment: environment,
                within: .seconds(120)
            )
            #expect(second.isSuccess, "\(second.output)\(second.errors)")
            #expect(second.output.hasSuffix("merged\n"))
            let sent = numbers(second.output, "sending chunk ")
            #expect(sent.isDisjoint(with: acknowledged))
            #expect(sent.count < 201 && sent.union(numbers(first.output, "sending chunk ")).count == 201)
            // The server counted no more than what was missing, with its forms' few bytes around each chunk.
            let missing = bytes.count - acknowledged.count * Self.chunkSize
            #expect(try await received(stack) - before <= missing + sent.count * 2_048)
            #expect(contents(stack.root + "/in/big file.bin") == bytes)
            #expect(stack.onTarget("in") == ["big file.bin"])

            // Once more: the file is there, unless it is to be replaced. Somebody else cannot use this name.
            let again = try await ChildProcess.run("/usr/bin/python3", arguments, environment: environment)
            #expect(again.exit == .status(1) && again.errors.contains("400"), "\(again.errors)")
            let replaced = try await ChildProcess.run(
                "/usr/bin/python3",
                arguments + ["--overwrite"],
                environment: environment,
                within: .seconds(120)
            )
            #expect(replaced.isSuccess, "\(replaced.output)\(replaced.errors)")
            let stranger = try await ChildProcess.run(
                "/usr/bin/python3",
                arguments,
                environment: self.environment(stack, .bob)
            )
            #expect(stranger.exit == .status(1) && stranger.errors.contains("403"), "\(stranger.errors)")
        }
    }

    @Test("Small and empty files, and a second owner at the same path")
    func owners() async throws {
        try await Stack.with { stack in
            let directory = try TemporaryDirectory("compat")
            for (name, bytes) in [("small", testBytes(1_000, seed: 12)), ("empty", [])] {
                let file = directory.path(name)
                try Data(bytes).write(to: URL(fileURLWithPath: file))
                let report = try await ChildProcess.run(
                    "/usr/bin/python3",
                    arguments(stack, file, name, "alice"),
                    environment: environment(stack, .alice),
                    within: .seconds(60)
                )
                #expect(report.isSuccess, "\(report.output)\(report.errors)")
                #expect(contents(stack.root + "/\(name)") == bytes)
            }
            // What alice has begun, bob cannot begin.
            let begun = try await APIClient(stack).send(
                .POST,
                "/get_file_upload_status",
                json: [
                    "host_id": stack.target, "full_path": "\(stack.root)/taken", "person_id": "alice",
                    "hash_code": "00ff",
                ]
            )
            #expect(begun.status == 200 && begun.number("code") == 1, "\(begun.json)")
            let report = try await ChildProcess.run(
                "/usr/bin/python3",
                arguments(stack, directory.path("small"), "taken", "bob"),
                environment: environment(stack, .bob)
            )
            #expect(report.exit == .status(1) && report.errors.contains("somebody else"), "\(report.errors)")
        }
    }

    /// How many bytes of parts and chunks the server has counted.
    private func received(_ stack: Stack) async throws -> Int {
        let metrics = try await APIClient(stack).send(.GET, "/metrics")
        let line = String(decoding: metrics.body, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("ferry_http_received_bytes_total ") }
        let value = try #require(line?.split(separator: " ").last)
        return Int(try #require(Double(value)))
    }
}
