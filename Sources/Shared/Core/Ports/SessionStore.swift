// The port to sign-ins of people who use a browser.

/// Sessions by the SHA-256 of their secret; each stands for a token, known by its SHA-256 too. Neither secret is ever
/// handed over. A session ends by itself when nobody uses it, and what it may do is what its token may do at that time.
public protocol SessionStore: Sendable {
    /// Begins a session that ends when it is not used for so long.
    func open(_ session: SHA256Digest, for token: SHA256Digest, idle: Duration) async throws(StoreError)
    /// The token that a session stands for, and so much more time for it; nil where there is no such session.
    func use(_ session: SHA256Digest, idle: Duration) async throws(StoreError) -> SHA256Digest?
    /// Ends a session; harmless if there is none.
    func close(_ session: SHA256Digest) async throws(StoreError)
}
