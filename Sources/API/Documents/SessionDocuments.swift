// SessionDocuments: what signing in asks for, and what somebody is told about oneself.

import Core

/// The body of `POST /v1/session`.
struct SignInDocument: Decodable {
    var token: String

    private enum Key: String, CodingKey, CaseIterable { case token }

    init(from decoder: any Decoder) throws {
        try decoder.refuseUnknownKeys(Key.self)
        token = try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .token)
    }
}

/// Who somebody is, and what a page must know to offer an upload.
struct SessionDocument: Encodable {
    /// How somebody proved it.
    enum Credential: String, Encodable {
        case session, token, none
    }

    var owner: String
    var roles: [String]
    var credential: Credential
    /// The configured targets, in the configuration's order.
    var targets: [String]
}
