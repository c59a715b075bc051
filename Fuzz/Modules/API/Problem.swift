// What the API's parsers throw, without the response that is made of it: the whole would need the HTTP server.

import HTTPTypes

/// A problem with its details.
struct Problem: Error, Sendable {
    /// Which problem.
    var type: ProblemType
    /// What happened this time.
    var detail: String

    init(_ type: ProblemType, _ detail: String) {
        self.type = type
        self.detail = detail
    }

    /// A request whose field cannot be accepted.
    static func invalid(_ field: String, _ reason: String) -> Problem {
        Problem(.invalidRequest, "\(field): \(reason)")
    }
}

extension HTTPField.Name {
    /// `Content-Digest` (RFC 9530 §2)
    static let contentDigest: HTTPField.Name = {
        guard let name = HTTPField.Name("Content-Digest") else { preconditionFailure("not a field name") }
        return name
    }()
}
