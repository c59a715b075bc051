// The main job while processes die and servers forget.

import Foundation
import Harness
import NIOCore
import NIOHTTP1
import Testing

@Suite("What was acknowledged arrives", .serialized)
struct FaultTests {
    private static let partSize = 1_048_576

    /// Sends parts in an order of its own; a part that was not acknowledged is sent again, one that was never.
    private func send(
        _ bytes: [UInt8],
        _ numbers: [Int],
        of id: String,
        _ client: APIClient,
        afterEach: (Int) async throws -> Void = { _ in }
    ) async throws {
        for (index, number) in numbers.enumerated() {
            let part = bytes.part(number, size: Self.partSize)
            try await eventually("part \(number) is acknowledged", within: .seconds(60), every: .milliseconds(100)) {
                let answer = try await client.put(number, of: id, part)
                guard [200, 201].contains(answer.status) else {
                    throw HarnessError("\(answer.status) \(answer.problem)")
                }
                return true
            }
            try await afterEach(index)
        }
    }

    @Test("Two loops send parts in random order, half of them twice, while workers and API are killed")
    func killed() async throws {
        try await Stack.with(workers: 2) { stack in
            let client = APIClient(stack)
            let bob = APIClient(stack, as: .bob)
            let bytes = testBytes(24 * Self.partSize - 5, seed: 3)
            let id = try await client.create(stack, "a/file", size: bytes.count, partSize: Self.partSize)
            let other = try await bob.send(.POST, "/v1/uploads", json: ["target": stack.target, "path": "a/file"])
            #expect(other.status == 423)
            #expect(other.problem == "upload-in-progress")
            #expect(!String(decoding: other.body, as: UTF8.self).contains("alice"))

            let order = Array(1...24).shuffled()
            async let first: Void = send(bytes, Array(order[..<12]) + Array(order[..<6]), of: id, client)
            async let second: Void = send(bytes, Array(order[12...]) + Array(order[12..<18]), of: id, client) { index in
                switch index {
                case 4: try await stack.script("kill", "worker-1")
                case 7:
                    try await stack.script("kill", "worker-2")
                    try await stack.script("kill", "api-1")
                    try await stack.script("start", "api-1")
                case 12: try await stack.script("start", "worker-1")
                default: break
                }
            }
            _ = try await (first, second)
            try await stack.script("start", "worker-2")
            let completed = try await client.complete(id)
            #expect(completed.status == 202, "\(completed.json)")
            try await client.wait(id, for: "done")
            #expect(contents(stack.root + "/a/file") == bytes)
            #expect(stack.onTarget("a") == ["file"])
            let taken = try await bob.send(.POST, "/v1/uploads", json: ["target": stack.target, "path": "a/file"])
            #expect(taken.status == 409)
            #expect(taken.problem == "target-exists")
        }
    }

    @Test("After FLUSHALL in the middle the upload still arrives, and no part is asked for again")
    func flushed() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let bytes = testBytes(10 * Self.partSize, seed: 4)
            let id = try await client.create(stack, "flushed", size: bytes.count, partSize: Self.partSize)
            try await send(bytes, [1, 3, 5, 7], of: id, client)
            #expect(try await stack.redis("FLUSHALL").contains("OK"))
            try await send(bytes, [2, 4, 6, 8], of: id, client)
            #expect(try await client.state(id).text("receivedParts") == "1-8")
            #expect(try await stack.redis("FLUSHALL").contains("OK"))
            try await send(bytes, [9, 10], of: id, client)
            try await eventually("complete is accepted") { try await client.complete(id).status == 202 }
            #expect(try await stack.redis("FLUSHALL").contains("OK"))
            try await eventually("the file is there", within: .seconds(60)) {
                contents(stack.root + "/flushed") == bytes
            }
            try await eventually("nothing else is there") { stack.onTarget() == ["flushed"] }
        }
    }

    @Test("Without RabbitMQ parts are taken and wait; without Redis they are refused and none is lost")
    func servers() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let bytes = testBytes(4 * Self.partSize, seed: 5)
            let id = try await client.create(stack, "servers", size: bytes.count, partSize: Self.partSize)
            try await stack.script("stop", "rabbitmq")
            let taken = try await client.put(1, of: id, bytes.part(1, size: Self.partSize))
            #expect(taken.status == 201)
            #expect(try await client.state(id).status == 200)
            try await stack.script("start", "rabbitmq")
            try await stack.script("kill", "redis")
            let refused = try await client.put(2, of: id, bytes.part(2, size: Self.partSize))
            #expect(refused.status == 503)
            #expect(refused.headers.first(name: "Retry-After") != nil)
            #expect(refused.headers.first(name: "Content-Type") == "application/problem+json")
            try await stack.script("start", "redis")
            try await send(bytes, [2, 3, 4], of: id, client)
            try await eventually("complete is accepted") { try await client.complete(id).status == 202 }
            try await client.wait(id, for: "done")
            #expect(contents(stack.root + "/servers") == bytes)
        }
    }
}
