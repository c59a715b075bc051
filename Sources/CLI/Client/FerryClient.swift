// The HTTP contract from the client's side: one method a request, problems as failures with exit codes.

internal import AsyncHTTPClient
internal import Core
internal import Foundation
internal import NIOCore
internal import NIOFoundationCompat
internal import NIOHTTP1

/// Talks to the API. Whoever makes one ends it by `shutdown`.
struct FerryClient: Sendable {
    /// An answer that is not a success.
    struct Refusal: Error {
        var problem: ProblemView
        var retryAfter: Duration?

        /// Whether the same request may succeed later.
        var isTransient: Bool { [408, 425, 429, 500, 502, 503, 504, 507].contains(problem.status) }

        /// What the server said, for a person.
        var text: String {
            Terminal.plain(problem.detail.map { "\(problem.title): \($0)" } ?? problem.title)
        }

        /// The contract's exit code.
        var failure: CommandFailure {
            let text = Terminal.plain(problem.detail ?? problem.title)
            switch problem.status {
            case 404, 410: return CommandFailure(.notFound, text)
            case 409, 423: return CommandFailure(.conflict, text)
            case 502, 503, 504, 507: return CommandFailure(.unavailable, text)
            default: return CommandFailure(.failed, text)
            }
        }
    }

    let url: String
    private let token: String?
    private let http: HTTPClient

    /// - Parameter insists: whether a connection that is refused is tried again for ten seconds; else whoever asks is
    ///   told at once.
    init(url: String, token: String?, connections: Int = 8, insists: Bool = false) {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.token = token
        var configuration = HTTPClient.Configuration()
        configuration.timeout = .init(connect: .seconds(10))
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
        configuration.connectionPool.retryConnectionEstablishment = insists
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    func shutdown() async { try? await http.shutdown() }

    // MARK: Requests

    func create(_ body: CreateBody) async throws -> (upload: UploadView, isNew: Bool) {
        let response = try await json("POST", "/v1/uploads", body)
        return (try decode(UploadView.self, response.body), response.status == 201)
    }

    func upload(_ id: String) async throws -> UploadView {
        try decode(UploadView.self, try await raw("GET", "/v1/uploads/\(id)").body)
    }

    func complete(_ id: String, sha256: String?) async throws -> UploadView {
        let body = CompleteBody(digest: sha256.map { ["sha-256": $0] })
        return try decode(UploadView.self, try await json("POST", "/v1/uploads/\(id)/complete", body).body)
    }

    /// Sends a part, with its SHA-256 (RFC 9530 §2), which the server compares.
    func put(
        part number: Int64,
        of id: String,
        length: Int64,
        digest: SHA256Digest,
        body: some AsyncSequence<ByteBuffer, any Error> & Sendable
    ) async throws {
        var request = self.request("PUT", "/v1/uploads/\(id)/parts/\(number)")
        request.headers.add(name: "Content-Digest", value: "sha-256=:\(Data(digest.bytes).base64EncodedString()):")
        request.body = .stream(body, length: .known(length))
        _ = try await execute(request, timeout: .minutes(30))
    }

    /// Sends a document; answers what came back.
    func post(_ path: String, _ body: some Encodable) async throws -> Data { try await json("POST", path, body).body }

    /// Any other request, with the answer as it came.
    func raw(_ method: String, _ path: String) async throws -> (status: Int, body: Data) {
        try await execute(request(method, path), timeout: .seconds(60))
    }

    /// The events of an upload, or of all that may be seen, until the stream ends.
    func events(of id: String?, _ body: (EventView, String) async throws -> Bool) async throws {
        let path = id.map { "/v1/uploads/\($0)/events" } ?? "/v1/events"
        // The server comments every 15 s; what is silent for longer is not there any more.
        let response = try await http.execute(request("GET", path), timeout: .hours(24))
        guard response.status == .ok else { throw try await refusal(response) }
        var parser = EventStreamParser()
        for try await buffer in response.body {
            for data in try parser.take(buffer.readableBytesView) {
                let event = try decode(EventView.self, Data(data.utf8))
                guard try await body(event, data) else { return }
            }
        }
    }

    // MARK: How

    struct CreateBody: Encodable {
        var target: String
        var path: String
        var size: Int64
        var overwrite: String
        var fingerprint: String
        /// Left out where it is nil.
        var mode: String?
        /// RFC 3339; left out where it is nil.
        var modifiedAt: String?
    }

    private struct CompleteBody: Encodable {
        var digest: [String: String]?
    }

    private func request(_ method: String, _ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url + path)
        request.method = HTTPMethod(rawValue: method)
        request.headers.add(name: "Accept", value: "application/json")
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        return request
    }

    private func json(_ method: String, _ path: String, _ body: some Encodable) async throws -> (
        status: Int, body: Data
    ) {
        var request = request(method, path)
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
        return try await execute(request, timeout: .seconds(60))
    }

    private func execute(_ request: HTTPClientRequest, timeout: TimeAmount) async throws -> (status: Int, body: Data) {
        let response = try await http.execute(request, timeout: timeout)
        guard (200..<300).contains(response.status.code) else { throw try await refusal(response) }
        let body = try await response.body.collect(upTo: 16 << 20)
        return (Int(response.status.code), Data(buffer: body))
    }

    private func refusal(_ response: HTTPClientResponse) async throws -> Refusal {
        let status = Int(response.status.code)
        let body = try await response.body.collect(upTo: 1 << 20)
        let problem =
            (try? JSONDecoder().decode(ProblemView.self, from: Data(buffer: body)))
            ?? ProblemView(type: "about:blank", title: "\(response.status)", status: status)
        let retryAfter = response.headers.first(name: "Retry-After").flatMap { Int64($0) }
        return Refusal(problem: problem, retryAfter: retryAfter.map { .seconds(min(max($0, 0), 600)) })
    }

    private func decode<Value: Decodable>(_: Value.Type, _ data: Data) throws -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw CommandFailure(.failed, "the server's answer cannot be read: is \(url) a Ferry API?")
        }
    }
}
