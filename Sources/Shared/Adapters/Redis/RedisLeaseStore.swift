// Short locks in Redis.

public import Core
public import Redis

/// Named leases, each a key that expires by itself. They do not ask which index this is: a rebuild needs one.
public struct RedisLeaseStore: LeaseStore {
    private let redis: any RedisCommands
    private let keys: UploadKeys

    /// Leases on a client.
    ///
    /// - Parameter prefix: what the names of all keys begin with.
    public init(_ redis: any RedisCommands, prefix: String = "ferry:") {
        self.redis = redis
        keys = UploadKeys(prefix: prefix)
    }

    /// Takes or extends a lease; false while somebody else holds it.
    public func acquire(_ name: String, holder: String, for duration: Duration) async throws(StoreError) -> Bool {
        let milliseconds = max((duration.microseconds + 999) / 1_000, 1)
        return try await run(UploadScripts.acquire, name, [RedisArgument(holder), RedisArgument(milliseconds)]) == 1
    }

    /// Gives a lease up, if it still is the holder's; a cancelled task's, too.
    public func release(_ name: String, holder: String) async throws(StoreError) {
        try await shielded { () async throws(StoreError) in
            _ = try await run(UploadScripts.unlock, name, [RedisArgument(holder)])
        }
    }

    private func run(
        _ script: RedisScript,
        _ name: String,
        _ arguments: [RedisArgument]
    ) async throws(StoreError) -> Int64 {
        do {
            guard let number = try await redis.run(script, keys: [keys.lock(name)], arguments: arguments).integer else {
                throw StoreError.unreadable("the answer about the lease \(name)")
            }
            return number
        } catch let error as RedisError {
            throw StoreError(error)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .unavailable("\(error)")
        }
    }
}
