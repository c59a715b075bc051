// What people are told: by the command line when a file cannot arrive, by the API when something is away.

import Foundation
import Harness
import NIOCore
import NIOHTTP1
import Testing

@Suite("People are told", .serialized)
struct ReportTests {
    @Test("ferry upload ends with 1 where the target refuses, with 4 where the file exists, and says why")
    func refused() async throws {
        try await Stack.with { stack in
            let directory = try TemporaryDirectory("refused")
            let file = directory.path("file")
            try Data(testBytes(300_000, seed: 11)).write(to: URL(fileURLWithPath: file))
            try Data("in the way".utf8).write(to: URL(fileURLWithPath: stack.root + "/taken"))

            let refused = try await stack.ferry(["upload", file, "\(stack.target):taken/file"])
            #expect(refused.exit == .status(1), "\(refused.errors)")
            #expect(refused.errors.contains(" failed: path-refused: "), "\(refused.errors)")

            let exists = try await stack.ferry(["upload", file, "\(stack.target):taken"])
            #expect(exists.exit == .status(4), "\(exists.errors)")
            #expect(exists.errors.contains("a file is at this path"), "\(exists.errors)")

            // Nobody could say so at creation: then the commit does.
            try await stack.script("stop", "worker-1")
            async let late = stack.ferry(["upload", file, "\(stack.target):late"])
            let client = APIClient(stack)
            try await eventually("everything was received", within: .seconds(30)) {
                let answer = try await client.send(.GET, "/v1/uploads?state=shipping")
                return (answer.json["uploads"] as? [Any])?.count == 1
            }
            try Data("in the way".utf8).write(to: URL(fileURLWithPath: stack.root + "/late"))
            try await stack.script("start", "worker-1")
            let report = try await late
            #expect(report.exit == .status(4), "\(report.errors)")
            #expect(report.errors.contains(" failed: target-exists: "), "\(report.errors)")
            #expect(contents(stack.root + "/late") == Array("in the way".utf8))
        }
    }

    @Test("A worker that ends in order leaves the roll; without Redis, requests are answered at once")
    func away() async throws {
        try await Stack.with(workers: 2) { stack in
            let operations = APIClient(stack, as: .operations)
            func workers() async throws -> Int? {
                (try await operations.send(.GET, "/v1/workers").json["workers"] as? [Any])?.count
            }
            try await eventually("both are there", within: .seconds(20)) { try await workers() == 2 }
            try await stack.script("stop", "worker-2")
            #expect(try await workers() == 1)

            try await stack.script("kill", "redis")
            for _ in 1...3 {
                let start = ContinuousClock.now
                let answer = try await operations.send(.GET, "/v1/uploads")
                let passed = start.duration(to: .now)
                #expect(answer.status == 503 && answer.headers.first(name: "Retry-After") != nil)
                // Well below what an answer of Redis may take.
                #expect(passed < .seconds(3), "\(passed)")
            }
            try await stack.script("start", "redis")
            try await eventually("it is back", within: .seconds(30)) {
                try await operations.send(.GET, "/v1/uploads").status == 200
            }
        }
    }
}
