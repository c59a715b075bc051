// The main job on the real programs and servers.

import Foundation
import Harness
import NIOCore
import NIOHTTP1
import Testing

@Suite("The main job", .serialized)
struct MainJobTests {
    @Test("ferry upload takes a file to its target, whole, and says so", .timeLimit(.minutes(3)))
    func upload() async throws {
        try await Stack.with(workers: 2) { stack in
            let directory = try TemporaryDirectory("upload")
            let bytes = testBytes(50_000_003, seed: 1)
            let file = directory.path("big file.bin")
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            let modified = Date(timeIntervalSince1970: 1_000_000_000)
            try FileManager.default.setAttributes([.modificationDate: modified], ofItemAtPath: file)
            let report = try await stack.ferry(["upload", file, "\(stack.target):in/here/", "--mode", "0440", "--json"])
            #expect(report.isSuccess, "\(report.errors)")
            let answer = try JSONSerialization.jsonObject(with: Data(report.output.utf8)) as? [String: Any]
            #expect(answer?["state"] as? String == "done")
            #expect(answer?["verification"] as? String == "digest")
            #expect(answer?["digest"] is NSNull, "each part has its own")
            #expect(contents(stack.root + "/in/here/big file.bin") == bytes)
            #expect(stack.onTarget("in/here") == ["big file.bin"])
            let found = try FileManager.default.attributesOfItem(atPath: stack.root + "/in/here/big file.bin")
            #expect(found[.modificationDate] as? Date == modified)
            #expect((found[.posixPermissions] as? NSNumber)?.intValue == 0o440)

            // The same again meets its own file; with --overwrite it replaces it.
            let again = try await stack.ferry(["upload", file, "\(stack.target):in/here/"])
            #expect(again.exit == .status(4), "\(again.errors)")
            let replaced = try await stack.ferry([
                "upload", file, "\(stack.target):in/here/", "--overwrite", "--digest", "--json",
            ])
            #expect(replaced.isSuccess, "\(replaced.errors)")
            #expect(replaced.output.contains("\"sha-256\":\"\(try await sha256(file))\""), "\(replaced.output)")

            let empty = directory.path("empty")
            try Data().write(to: URL(fileURLWithPath: empty))
            let nothing = try await stack.ferry(["upload", empty, "\(stack.target):empty"])
            #expect(nothing.isSuccess, "\(nothing.errors)")
            #expect(contents(stack.root + "/empty") == [])

            #expect(try await stack.ferry(["status", String(repeating: "0", count: 32)]).exit == .status(3))
            #expect(try await stack.ferry(["upload", "/nowhere", "x:y"]).exit == .status(2))
            let list = try await stack.ferry(["list"])
            #expect(list.output.split(separator: "\n").count == 3)
            let doctor = try await stack.ferry(["doctor"])
            #expect(doctor.isSuccess, "\(doctor.output)")
            let targets = try await stack.ferry(["targets", "--probe"])
            #expect(targets.isSuccess && targets.output.contains("merge: in-place"), "\(targets.output)")
        }
    }

    @Test("The same command again joins in, also where the end was asked for", .timeLimit(.minutes(3)))
    func again() async throws {
        try await Stack.with(workers: 0) { stack in
            let directory = try TemporaryDirectory("again")
            let file = directory.path("file.bin")
            try Data(testBytes(3_000_000, seed: 3)).write(to: URL(fileURLWithPath: file))
            for options in [[], [], ["--digest"]] {
                let report = try await stack.ferry(["upload", file, "\(stack.target):a", "--detach"] + options)
                #expect(report.exit == .status(options.isEmpty ? 0 : 4), "\(report.errors)")
            }
            for options in [["--digest"], []] {
                let report = try await stack.ferry(["upload", file, "\(stack.target):b", "--detach"] + options)
                #expect(report.isSuccess, "\(report.errors)")
            }
        }
    }

    @Test("An interrupted upload goes on where it was", .timeLimit(.minutes(3)))
    func resume() async throws {
        try await Stack.with { stack in
            let directory = try TemporaryDirectory("resume")
            let bytes = testBytes(200_000_000, seed: 2)
            let file = directory.path("big.bin")
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            let first = try ChildProcess(
                BuiltPrograms.path("ferry"),
                ["upload", file, "\(stack.target):big.bin", "--parallel", "1"],
                environment: ["FERRY_URL": stack["FERRY_URL"], "FERRY_TOKEN": stack["FERRY_TOKEN"]],
                output: directory.path("out"),
                errors: directory.path("err")
            )
            let client = APIClient(stack)
            let received = try await eventuallyValue("something was received", within: .seconds(30)) { () -> Int64? in
                let page = try await client.send(.GET, "/v1/uploads").json["uploads"] as? [[String: Any]]
                let received = (page?.first?["receivedBytes"] as? NSNumber)?.int64Value ?? 0
                return received > 0 ? received : nil
            }
            first.signal(SIGINT)
            #expect(try await first.wait(within: .seconds(10)) == .status(130))
            #expect(received < 200_000_000)
            let second = try await stack.ferry(["upload", file, "\(stack.target):big.bin"])
            #expect(second.isSuccess, "\(second.errors)")
            #expect(contents(stack.root + "/big.bin") == bytes)
            let page = try await client.send(.GET, "/v1/uploads").json["uploads"] as? [[String: Any]]
            #expect(page?.count == 1, "the same upload was resumed")
            let id = try #require(page?.first?["id"] as? String)
            let digest = try await client.send(.GET, "/v1/uploads/\(id)").json["digest"] as? [String: Any]
            #expect(digest?["sha-256"] as? String == (try await sha256(file)), "what came another time is proven, too")
        }
    }

    /// By the system's own program, in hexadecimal digits.
    private func sha256(_ file: String) async throws -> String {
        let report = try await ChildProcess.run("sha256sum", [file])
        return String(report.output.prefix(64))
    }
}
