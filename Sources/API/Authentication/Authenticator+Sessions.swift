// Authenticator, sessions: signing in with a token, out, and who a session's cookie stands for.

import Core
import HTTPTypes

extension Authenticator {
    /// A session ends when it is not used for so long.
    static let sessionIdle: Duration = .seconds(12 * 3_600)

    /// Begins a session for a token; answers whose it is, and the cookie to set.
    func signIn(_ token: String, _ head: HTTPRequest) async throws(Problem) -> (principal: Principal, cookie: String) {
        // A page of somebody else must not sign a browser in, and have its files sent in another's name.
        guard RequestOrigin(of: head).mayRead else { throw Self.otherSite }
        // Otherwise the cookie would go without TLS to a host that is not this machine.
        guard RequestOrigin.isLoopback(head) != false || !SessionCookie.isLoopback(head.authority) else {
            throw Problem(
                .forbidden,
                "what stands before this server must hand on the Host field that the browser sent"
            )
        }
        guard case .tokens(let file) = mode else {
            throw Problem.invalid("token", "this server asks for none (auth.mode: none)")
        }
        let table = try Self.table(of: file)
        guard Self.isToken(token), let hash = sha256(Array(token.utf8)),
            let principal = table.principal(hash: hash, now: now())
        else { throw Self.unauthorized("the token is not known, or no longer valid", error: nil) }
        let secret = RequestIdentifier.make() + RequestIdentifier.make()
        let session = try digest(of: secret)
        do throws(StoreError) { try await sessions.open(session, for: hash, idle: Self.sessionIdle) } catch {
            throw Problem(error)
        }
        return (principal, SessionCookie.keep(secret, for: head.authority))
    }

    /// Ends the request's session, if it has one; answers the cookie that removes it.
    func signOut(_ head: HTTPRequest) async throws(Problem) -> String {
        if let secret = SessionCookie.secret(in: head) {
            let session = try digest(of: secret)
            do throws(StoreError) { try await sessions.close(session) } catch {
                // The browser at least forgets it.
                var problem = Problem(error)
                problem.headers[.setCookie] = SessionCookie.forget(for: head.authority)
                throw problem
            }
        }
        return SessionCookie.forget(for: head.authority)
    }

    /// Whom a session stands for: whom its token stands for now. A token that is taken away ends its sessions.
    func principal(of secret: Substring, _ head: HTTPRequest, _ file: TokensFile) async throws(Problem) -> Principal {
        let origin = RequestOrigin(of: head)
        let isChange = head.method != .get && head.method != .head
        guard isChange ? origin.mayChange : origin.mayRead else { throw Self.otherSite }
        let session = try digest(of: secret)
        let found: SHA256Digest?
        do throws(StoreError) { found = try await sessions.use(session, idle: Self.sessionIdle) } catch {
            throw Problem(error)
        }
        guard let token = found, let principal = try Self.table(of: file).principal(hash: token, now: now()) else {
            var problem = Self.unauthorized("the session has ended; sign in again", error: nil)
            problem.headers[.setCookie] = SessionCookie.forget(for: head.authority)
            throw problem
        }
        return principal
    }

    private func digest(of secret: some StringProtocol) throws(Problem) -> SHA256Digest {
        guard let digest = sha256(Array(secret.utf8)) else {
            throw Problem(.internalError, "the log has more under this request's id")
        }
        return digest
    }

    static var otherSite: Problem {
        Problem(.forbidden, "a browser says that another site's page sent this, or does not say whose page did")
    }
}
