// Sign-ins in memory.

public import Core
import Synchronization

/// Sessions that end by a clock of the test's.
public final class InMemorySessionStore: SessionStore {
    private struct Kept {
        var token: SHA256Digest
        var until: Timestamp
    }

    private let now: @Sendable () -> Timestamp
    private let kept = Mutex<[SHA256Digest: Kept]>([:])
    private let isAway = Mutex(false)

    /// No sessions.
    public init(now: @escaping @Sendable () -> Timestamp) { self.now = now }

    /// Whether every question fails as if the index could not be reached.
    public func setAway(_ away: Bool) { isAway.withLock { $0 = away } }

    /// How many there are.
    public var count: Int { kept.withLock { $0.count } }

    /// Begins a session that ends when it is not used for so long.
    public func open(_ session: SHA256Digest, for token: SHA256Digest, idle: Duration) async throws(StoreError) {
        try check()
        kept.withLock { $0[session] = Kept(token: token, until: now() + idle) }
    }

    /// The token that a session stands for, and so much more time for it; nil where there is no such session.
    public func use(_ session: SHA256Digest, idle: Duration) async throws(StoreError) -> SHA256Digest? {
        try check()
        let now = now()
        return kept.withLock { kept in
            guard let found = kept[session], found.until > now else {
                kept[session] = nil
                return nil
            }
            kept[session]?.until = now + idle
            return found.token
        }
    }

    /// Ends a session; harmless if there is none.
    public func close(_ session: SHA256Digest) async throws(StoreError) {
        try check()
        kept.withLock { $0[session] = nil }
    }

    private func check() throws(StoreError) {
        if isAway.withLock({ $0 }) { throw .unavailable("away") }
    }
}
