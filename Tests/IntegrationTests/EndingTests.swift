// How uploads end: replaced under a reader's eyes, cancelled without a trace, refused for a reason.

import Foundation
import Harness
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@Suite("Endings", .serialized)
struct EndingTests {
    private static let partSize = 262_144

    private func upload(
        _ bytes: [UInt8],
        to path: String,
        _ stack: Stack,
        overwrite: String = "never"
    ) async throws -> String {
        let client = APIClient(stack)
        let id = try await client.create(
            stack,
            path,
            size: bytes.count,
            partSize: Self.partSize,
            overwrite: overwrite
        )
        for number in 1...((bytes.count + Self.partSize - 1) / Self.partSize) {
            let answer = try await client.put(number, of: id, bytes.part(number, size: Self.partSize))
            guard answer.status == 201 else { throw HarnessError("\(answer.status) \(answer.json)") }
        }
        let completed = try await client.complete(id)
        guard completed.status == 202 else { throw HarnessError("\(completed.status) \(completed.json)") }
        return id
    }

    @Test("A reader of a file that is replaced sees the old or the new one, never anything else")
    func replaced() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let old = testBytes(1_000_000, seed: 6)
            let new = testBytes(1_500_000, seed: 7)
            try await client.wait(try await upload(old, to: "file", stack), for: "done")
            let path = stack.root + "/file"
            let seen = Mutex<(old: Int, new: Int, other: Int)>((0, 0, 0))
            let reader = Task.detached {
                while !Task.isCancelled {
                    let bytes = contents(path)
                    seen.withLock {
                        if bytes == old { $0.old += 1 } else if bytes == new { $0.new += 1 } else { $0.other += 1 }
                    }
                }
            }
            try await client.wait(try await upload(new, to: "file", stack, overwrite: "replace"), for: "done")
            try await eventually("the reader sees the new file") { seen.withLock { $0.new } > 0 }
            reader.cancel()
            await reader.value
            let counts = seen.withLock { $0 }
            #expect(counts.old > 0 && counts.new > 0 && counts.other == 0, "\(counts)")
        }
    }

    @Test("Nothing is left of a cancelled upload but its history record, and that expires")
    func cancelled() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let bytes = testBytes(4 * Self.partSize, seed: 8)
            let id = try await client.create(stack, "gone", size: bytes.count, partSize: Self.partSize)
            for number in 1...3 { _ = try await client.put(number, of: id, bytes.part(number, size: Self.partSize)) }
            try await eventually("a part file is on the target") { !stack.onTarget().isEmpty }
            let stranger = APIClient(stack, as: .bob)
            #expect(try await stranger.send(.DELETE, "/v1/uploads/\(id)").status == 404)
            #expect(try await client.send(.DELETE, "/v1/uploads/\(id)").status == 202)
            #expect(try await client.send(.DELETE, "/v1/uploads/\(id)").status == 202)
            try await eventually("the part file is gone") { stack.onTarget().isEmpty }
            try await eventually("staging is clean") {
                let path = "\(stack["FERRY_STAGING_PATH"])/\(id.prefix(2))/\(id)"
                return !FileManager.default.fileExists(atPath: path)
            }
            try await eventually("only the history record is left") {
                let keys = try await stack.redis("KEYS", "*\(id)*").split(separator: "\n").filter { !$0.isEmpty }
                let outbox = try await stack.redis("ZRANGE", "ferry:outbox:\(stack.target)", "0", "-1")
                let paths = try await stack.redis("KEYS", "ferry:path:*")
                let record = ["ferry:u:\(id)", "ferry:u:\(id):history"]
                return keys.contains(Substring(record[0])) && keys.allSatisfy { record.contains(String($0)) }
                    && !outbox.contains(id) && !paths.contains("ferry:path")
            }
            for key in try await stack.redis("KEYS", "ferry:u:\(id)*").split(separator: "\n") where !key.isEmpty {
                let answer = try await stack.redis("TTL", String(key))
                #expect((Int(answer.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1) > 29 * 86_400, "\(key)")
            }
            #expect(try await client.put(4, of: id, bytes.part(4, size: Self.partSize)).status == 410)
            // The path is free for anybody.
            let next = try await stranger.send(.POST, "/v1/uploads", json: ["target": stack.target, "path": "gone"])
            #expect(next.status == 201)
        }
    }

    @Test("A file that is not what its digest says never appears")
    func wrongDigest() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let bytes = testBytes(2 * Self.partSize, seed: 9)
            let id = try await client.create(stack, "wrong", size: bytes.count, partSize: Self.partSize)
            for number in 1...2 { _ = try await client.put(number, of: id, bytes.part(number, size: Self.partSize)) }
            #expect(try await client.complete(id, sha256: String(repeating: "0", count: 64)).status == 202)
            try await client.wait(id, for: "failed")
            let error = try await client.state(id).json["error"] as? [String: Any]
            #expect(error?["reason"] as? String == "digest-mismatch")
            #expect(contents(stack.root + "/wrong") == nil)
        }
    }

    @Test("amqp-consume, bound to ferry.events, prints an upload's progress")
    func events() async throws {
        try await Stack.with { stack in
            let directory = try TemporaryDirectory("events")
            let consumer = try ChildProcess(
                "/usr/bin/amqp-consume",
                [
                    "--url", stack["FERRY_AMQP_URL"], "--exchange", "ferry.events", "--routing-key", "any",
                    "--exclusive", "-A", "cat",
                ],
                output: directory.path("out"),
                errors: directory.path("err")
            )
            // It is bound once anything at all arrives.
            var number = 0
            try await eventually("events are printed", within: .seconds(30), every: .milliseconds(500)) {
                number += 1
                _ = try await upload(testBytes(1_000, seed: 1), to: "probe-\(number)", stack)
                return consumer.output.contains("upload.created")
            }
            let id = try await upload(testBytes(3 * Self.partSize, seed: 10), to: "watched", stack)
            try await eventually("the whole way is printed", within: .seconds(20)) {
                let lines = consumer.output
                return ["upload.created", "part.received", "part.shipped", "upload.merging", "upload.done"].allSatisfy {
                    lines.contains("\"type\":\"\($0)\"")
                } && lines.contains(id)
            }
            _ = await consumer.stop()
        }
    }
}
