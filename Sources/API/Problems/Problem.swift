// Problem: what a client is told when a request was not done (RFC 9457).

import Core
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// A problem with its details. Thrown by routes; the problem middleware makes the response of it.
struct Problem: Error, Sendable {
    /// A value of an extension member (RFC 9457 §3.2).
    enum Value: Encodable, Hashable, Sendable {
        case text(String)
        case number(Int64)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            }
        }
    }

    /// Which problem.
    var type: ProblemType
    /// What happened this time, for a person. Never another owner's business, never a path or address of the server.
    var detail: String
    /// Extension members by name.
    var fields: [String: Value] = [:]
    /// Whole seconds after which trying again makes sense, rounded up.
    var retryAfter: Duration?
    /// Further header fields of the response.
    var headers: HTTPFields = [:]
    /// What only the log is told.
    var logged: String?

    init(_ type: ProblemType, _ detail: String, fields: [String: Value] = [:], retryAfter: Duration? = nil) {
        self.type = type
        self.detail = detail
        self.fields = fields
        self.retryAfter = retryAfter
    }

    /// A request whose field cannot be accepted.
    static func invalid(_ field: String, _ reason: String) -> Problem {
        Problem(.invalidRequest, "\(field): \(reason)", fields: ["field": .text(field)])
    }
}

extension Problem: Encodable {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(type.reference, forKey: Key(stringValue: "type"))
        try container.encode(type.title, forKey: Key(stringValue: "title"))
        try container.encode(type.status.code, forKey: Key(stringValue: "status"))
        try container.encode(detail, forKey: Key(stringValue: "detail"))
        for (name, value) in fields { try container.encode(value, forKey: Key(stringValue: name)) }
    }

    /// The response of media type `application/problem+json`.
    func response() -> Response {
        var headers = self.headers
        headers[.contentType] = "application/problem+json"
        headers[.cacheControl] = "no-store"
        if let retryAfter {
            headers[.retryAfter] = String(max(1, (retryAfter.milliseconds + 999) / 1_000))
        }
        let body = (try? JSON.encode(self)) ?? ByteBuffer(string: #"{"type":"\#(type.reference)"}"#)
        return Response(status: type.status, headers: headers, body: ResponseBody(byteBuffer: body))
    }
}
