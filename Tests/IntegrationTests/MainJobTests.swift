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
            #expect(contents(stack.root + "/in/here/big file.bin") == bytes)
            #expect(stack.onTarget("in/here") == ["big file.bin"])
            let found = try FileManager.default.attributesOfItem(atPath: stack.root + "/in/here/big file.bin")
            #expect(found[.modificationDate] as? Date == modified)
            #expect((found[.posixPermissions] as? NSNumber)?.intValue == 0o440)

            // The same again meets its own file; with --overwrite it replaces it.
            let again = try await stack.ferry(["upload", file, "\(stack.target):in/here/"])
            #expect(again.exit == .status(4), "\(again.errors)")
            let replaced = try await stack.ferry(["upload", file, "\(stack.target):in/here/", "--overwrite"])
            #expect(replaced.isSuccess, "\(replaced.errors)")

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
        }
    }
}
