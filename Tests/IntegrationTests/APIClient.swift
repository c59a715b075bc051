// The public HTTP interface as a test sees it: requests by AsyncHTTPClient, answers as JSON.

import AsyncHTTPClient
import Foundation
import Harness
import NIOCore
import NIOHTTP1

/// A client with one user's token.
struct APIClient: Sendable {
    let url: String
    let token: String

    init(_ stack: Stack, as user: Stack.User = .alice) {
        url = stack["FERRY_URL"]
        token = stack[user.rawValue]
    }

    /// An answer.
    struct Answer {
        let status: Int
        let body: Data
        let headers: HTTPHeaders

        /// The fields of a JSON object.
        var json: [String: Any] { (try? JSONSerialization.jsonObject(with: body)) as? [String: Any] ?? [:] }
        func text(_ name: String) -> String { json[name] as? String ?? "" }
        func number(_ name: String) -> Int64 { (json[name] as? NSNumber)?.int64Value ?? -1 }
        /// The last component of a problem's type.
        var problem: String { text("type").split(separator: "/").last.map(String.init) ?? "" }
    }

    func send(
        _ method: HTTPMethod,
        _ path: String,
        json: [String: Any]? = nil,
        bytes: ByteBuffer? = nil,
        headers: [(String, String)] = []
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url + path)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let json {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: json)))
        }
        if let bytes { request.body = .bytes(bytes) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        let body = try await response.body.collect(upTo: 1 << 24)
        return Answer(status: Int(response.status.code), body: Data(body.readableBytesView), headers: response.headers)
    }

    /// Creates an upload and answers its identifier.
    func create(_ stack: Stack, _ path: String, size: Int, partSize: Int, overwrite: String = "never") async throws
        -> String
    {
        let answer = try await send(
            .POST,
            "/v1/uploads",
            json: [
                "target": stack.target, "path": path, "size": size, "partSize": partSize, "overwrite": overwrite,
            ]
        )
        guard answer.status == 201 else { throw HarnessError("create: \(answer.status) \(answer.json)") }
        return answer.text("id")
    }

    func put(_ number: Int, of id: String, _ bytes: ByteBuffer) async throws -> Answer {
        try await send(.PUT, "/v1/uploads/\(id)/parts/\(number)", bytes: bytes)
    }

    func complete(_ id: String, sha256: String? = nil) async throws -> Answer {
        try await send(
            .POST,
            "/v1/uploads/\(id)/complete",
            json: sha256.map { ["digest": ["sha-256": $0]] } ?? [:]
        )
    }

    func state(_ id: String) async throws -> Answer { try await send(.GET, "/v1/uploads/\(id)") }

    /// Waits until an upload is in a state.
    func wait(_ id: String, for state: String, within: Duration = .seconds(60)) async throws {
        try await eventually("upload \(id) is \(state)", within: within, every: .milliseconds(50)) {
            let answer = try await self.state(id)
            guard answer.text("state") == state else {
                throw HarnessError("it is \(answer.text("state")), \(answer.json["error"] ?? "")")
            }
            return true
        }
    }
}

/// Bytes that look random and are the same each time.
func testBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { room in
        for index in stride(from: 0, to: count - count % 8, by: 8) {
            // xorshift64*
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            room.storeBytes(of: state &* 0x2545_F491_4F6C_DD1D, toByteOffset: index, as: UInt64.self)
        }
    }
    return bytes
}

extension [UInt8] {
    /// The bytes of one part, counted from 1.
    func part(_ number: Int, size: Int) -> ByteBuffer {
        ByteBuffer(bytes: self[((number - 1) * size)..<Swift.min(number * size, count)])
    }
}

/// The bytes of a file.
func contents(_ path: String) -> [UInt8]? { FileManager.default.contents(atPath: path).map { [UInt8]($0) } }
