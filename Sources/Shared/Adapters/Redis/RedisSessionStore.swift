// Sign-ins in Redis, so that they outlive a process of the API and hold for all of them.

public import Core
public import Redis

/// Sessions, each a key that expires by itself. They do not ask which index this is: nothing of an upload is in them.
public struct RedisSessionStore: SessionStore {
    private let redis: any RedisCommands
    private let keys: UploadKeys

    /// Sessions on a client.
    ///
    /// - Parameter prefix: what the names of all keys begin with.
    public init(_ redis: any RedisCommands, prefix: String = "ferry:") {
        self.redis = redis
        keys = UploadKeys(prefix: prefix)
    }

    /// Begins a session that ends when it is not used for so long.
    public func open(
        _ session: SHA256Digest,
        for token: SHA256Digest,
        idle: Duration
    ) async throws(StoreError) {
        do throws(RedisError) {
            try await redis.set(keys.session(session), RedisArgument(token.hex), px: Self.milliseconds(idle))
        } catch { throw StoreError(error) }
    }

    /// The token that a session stands for, and so much more time for it; nil where there is no such session.
    public func use(_ session: SHA256Digest, idle: Duration) async throws(StoreError) -> SHA256Digest? {
        let text: String?
        do throws(RedisError) {
            text = try await redis.getAndExpire(keys.session(session), px: Self.milliseconds(idle))
        } catch { throw StoreError(error) }
        guard let text else { return nil }
        guard let token = SHA256Digest(hex: text) else { throw .unreadable("a session") }
        return token
    }

    /// Ends a session; harmless if there is none.
    public func close(_ session: SHA256Digest) async throws(StoreError) {
        do throws(RedisError) { try await redis.del(keys.session(session)) } catch { throw StoreError(error) }
    }

    private static func milliseconds(_ duration: Duration) -> Int64 { max(duration.microseconds / 1_000, 1) }
}
