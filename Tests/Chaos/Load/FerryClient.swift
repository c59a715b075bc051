// The public HTTP interface as a client sees it, and its patience.

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// An answer.
struct HTTPAnswer: Sendable {
    let status: Int
    let body: Data
    let headers: HTTPHeaders

    /// The fields of a JSON object.
    var json: [String: Any] { (try? JSONSerialization.jsonObject(with: body)) as? [String: Any] ?? [:] }
    func text(_ name: String) -> String { json[name] as? String ?? "" }
    /// The last component of a problem's type.
    var problem: String { text("type").split(separator: "/").last.map(String.init) ?? "" }

    /// How long the server asks to be left alone, in seconds.
    var retryAfter: Int? { headers.first(name: "Retry-After").flatMap { Int($0) } }
}

/// A client stopped trying.
struct GaveUp: Error, CustomStringConvertible {
    let description: String
}

/// One user of the interface.
struct FerryClient: Sendable {
    let http: HTTPClient
    let url: String
    let token: String

    static func makeHTTP() -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.timeout = .init(connect: .seconds(2), read: .seconds(15))
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Sends a request once.
    func send(
        _ method: HTTPMethod,
        _ path: String,
        json: [String: any Sendable]? = nil,
        bytes: ArraySlice<UInt8>? = nil,
        headers: [(String, String)] = [],
        timeout: Int64 = 20
    ) async throws -> HTTPAnswer {
        var request = HTTPClientRequest(url: url + path)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let json {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: json)))
        }
        if let bytes { request.body = .bytes(ByteBuffer(bytes: bytes)) }
        let response = try await http.execute(request, timeout: .seconds(timeout))
        let body = try await response.body.collect(upTo: 1 << 24)
        return HTTPAnswer(
            status: Int(response.status.code),
            body: Data(body.readableBytesView),
            headers: response.headers
        )
    }

    /// Sends a request until an answer settles it, leaving the server alone for as long as it asks.
    ///
    /// - Parameters:
    ///   - patience: how long it tries.
    ///   - ledger: where repetitions are counted.
    func persist(
        _ patience: Duration,
        _ ledger: Ledger,
        _ what: String,
        _ send: () async throws -> HTTPAnswer
    ) async throws -> HTTPAnswer {
        let deadline = ContinuousClock.now + patience
        var last = "nothing"
        while ContinuousClock.now < deadline {
            var pause = Duration.milliseconds(150)
            do {
                let answer = try await send()
                switch answer.status {
                // 400 and 408 only where the bytes did not arrive.
                case 400 where answer.problem == "body-incomplete": break
                case 408, 423, 429, 500, 502, 503, 507: break
                default: return answer
                }
                if answer.status == 500 { ledger.note(oddity: "500 to \(what): \(answer.text("detail"))") }
                last = "\(answer.status) \(answer.problem)"
                if let seconds = answer.retryAfter { pause = .seconds(min(seconds, 10)) }
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                last = "\(error)"
            }
            ledger.countRepeat()
            try await Task.sleep(for: pause)
        }
        throw GaveUp(description: "\(what): not within \(patience); last: \(last)")
    }
}
