// Authenticator: from a request's header to a principal, and from a principal to what a route lets it do.

import Core
import HTTPTypes
import HummingbirdCore

/// Who asks. Tokens come in the header only (RFC 6750 §2.1): one in a URL would end in logs.
struct Authenticator: Sendable {
    /// How callers prove who they are.
    enum Mode: Sendable {
        /// Not at all: everybody is this principal. Only for a server on loopback.
        case none(Principal)
        /// Bearer tokens, whose SHA-256 is looked up.
        case tokens(TokensFile)
    }

    let mode: Mode
    let sessions: any SessionStore
    let sha256: @Sendable ([UInt8]) -> SHA256Digest?
    let now: @Sendable () -> Timestamp

    /// The principal for mode `none`: it may do everything.
    static var everybody: Principal? {
        Owner("local").map { Principal(owner: $0, roles: [.uploader, .operator]) }
    }

    /// The principal as a route may see it; nil for routes that ask nobody.
    func authorize(_ head: HTTPRequest, for route: Route) async throws(Problem) -> Principal? {
        if route.access == .anyone { return nil }
        let principal: Principal
        do { principal = try await authenticate(head) } catch {
            var problem = error
            // Signing out works in the browser at least, whatever the server can do now.
            if route == .signOut, problem.type == .unavailable {
                problem.headers[.setCookie] = SessionCookie.forget(for: head.authority)
            }
            throw problem
        }
        guard let narrowed = route.access.narrowed(principal) else {
            throw Problem(.forbidden, "the token does not have a role that this needs")
        }
        return narrowed
    }

    /// Who it is: by a token in the header, else by a session's cookie.
    func authenticate(_ head: HTTPRequest) async throws(Problem) -> Principal {
        switch mode {
        case .none(let principal):
            // A page of another site must not use the loopback server through the user's browser; nor may one whose name
            // is made to lead here, which the browser takes for this server's own.
            guard RequestOrigin(of: head).mayRead, SessionCookie.isLoopback(head.authority) else {
                throw Problem(
                    .forbidden,
                    "without tokens only requests for a loopback name, of its own pages, are accepted"
                )
            }
            return principal
        case .tokens(let file):
            let values = head.headerFields[values: .authorization]
            guard let value = values.first else {
                if let secret = SessionCookie.secret(in: head) { return try await principal(of: secret, head, file) }
                throw Self.unauthorized("no bearer token was sent", error: nil)
            }
            guard values.count == 1, let token = Self.bearerToken(value) else {
                throw Self.unauthorized("the Authorization field holds no bearer token", error: "invalid_request")
            }
            let table = try Self.table(of: file)
            guard let hash = sha256(Array(token.utf8)) else {
                throw Problem(.internalError, "the log has more under this request's id")
            }
            guard let principal = table.principal(hash: hash, now: now()) else {
                throw Self.unauthorized("the token is not known, or no longer valid", error: "invalid_token")
            }
            return principal
        }
    }

    static func table(of file: TokensFile) throws(Problem) -> TokenTable {
        do { return try file.table() } catch {
            var problem = Problem(.unavailable, "tokens cannot be checked now", retryAfter: .seconds(5))
            problem.logged = error.description
            throw problem
        }
    }

    /// Whether an owner still may send files; yes where tokens cannot be read now, for nothing was taken away by that.
    func maySend(_ owner: Owner) -> Bool {
        guard case .tokens(let file) = mode, let table = try? file.table() else { return true }
        return table.maySend(owner, now: now())
    }

    /// The token of `Bearer <b64token>` (RFC 6750 §2.1); the scheme's name is compared without case (RFC 9110 §11.1).
    static func bearerToken(_ value: String) -> Substring? {
        let parts = value.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        let token = parts[1].drop { $0 == " " }
        return isToken(token) ? token : nil
    }

    /// Whether it is written as a token is: a `b64token` of at most 512 bytes.
    static func isToken(_ token: some StringProtocol) -> Bool {
        let body = token.utf8.prefix { $0 != UInt8(ascii: "=") }
        guard !body.isEmpty, token.utf8.count <= 512, token.utf8.dropFirst(body.count).allSatisfy({ $0 == 0x3D })
        else { return false }
        for byte in body {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                continue
            default:
                guard "-._~+/".utf8.contains(byte) else { return false }
            }
        }
        return true
    }

    static func unauthorized(_ detail: String, error: String?) -> Problem {
        var problem = Problem(.unauthorized, detail)
        let challenge = error.map { #"Bearer realm="ferry", error="\#($0)""# } ?? #"Bearer realm="ferry""#
        problem.headers[.wwwAuthenticate] = challenge
        return problem
    }
}

extension HTTPField.Name {
    /// `Sec-Fetch-Site`, which browsers set and pages cannot.
    static let fetchSite = named("Sec-Fetch-Site")
    /// `Cross-Origin-Opener-Policy`
    static let openerPolicy = named("Cross-Origin-Opener-Policy")
    /// `Referrer-Policy`
    static let referrerPolicy = named("Referrer-Policy")
    /// `X-Request-Id`
    static let requestID = named("X-Request-Id")
    /// `Content-Digest` (RFC 9530 §2)
    static let contentDigest = named("Content-Digest")
    /// `Idempotency-Key`
    static let idempotencyKey = named("Idempotency-Key")
    /// `Overwrite`
    static let overwrite = named("Overwrite")
    /// `Mode`
    static let mode = named("Mode")
    /// `Modified-At`
    static let modifiedAt = named("Modified-At")

    /// A name that is a token (RFC 9110 §5.1); all callers pass literals that are.
    private static func named(_ name: String) -> HTTPField.Name {
        guard let field = HTTPField.Name(name) else { preconditionFailure("not a field name: \(name)") }
        return field
    }
}
