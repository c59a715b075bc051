// Which index this process works on, and word of its loss.

internal import Core
public import Redis
internal import Synchronization

/// The identity of the index that a process attached to. Until it is attached, and after the server was restarted or
/// replaced, changes are refused as `rebuilding`.
///
/// It is made before the client, so that the client's `onConnect` can call `connectionMade`.
public final class IndexAttachment: Sendable {
    private struct State {
        var epoch: String?
        var watchers: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var next: UInt64 = 0
    }

    private let keys: UploadKeys
    private let state = Mutex(State())

    /// Attached to nothing yet.
    ///
    /// - Parameter prefix: what the names of all keys begin with.
    public init(prefix: String = "ferry:") { keys = UploadKeys(prefix: prefix) }

    /// Tells each time that the index may no longer be staging's, so that somebody looks at its condition. Several
    /// losses in a row may be told once.
    public func losses() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.next += 1
            state.watchers[state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.watchers.removeValue(forKey: number) }
        }
        return stream
    }

    /// To be called with each new connection before it is used: a server that was restarted may have lost its last
    /// second, so changes wait until staging has been compared.
    public func connectionMade(_ connection: any RedisCommands) async {
        guard let epoch else { return lost(detach: true) }
        guard let found = try? await Self.identity(keys, connection), found.id == epoch, found.adopted == found.running
        else { return lost(detach: true) }
    }

    var epoch: String? { state.withLock { $0.epoch } }

    var prefix: String { keys.prefix }

    func attach(_ epoch: String) { state.withLock { $0.epoch = epoch } }

    func lost(detach: Bool) {
        let watchers = state.withLock { state in
            if detach { state.epoch = nil }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.yield() }
    }

    /// The index's identifier, the run of the server in which it was adopted, and the server's present run.
    static func identity(
        _ keys: UploadKeys,
        _ redis: any RedisCommands
    ) async throws(StoreError) -> (id: String?, adopted: String?, running: String?) {
        let reply: RESPValue
        do { reply = try await redis.run(UploadScripts.condition, keys: [keys.epoch], arguments: []) } catch {
            throw StoreError(error)
        }
        guard let values = reply.array, values.count == 3 else { throw .unreadable("the index's identity") }
        return (values[0].string, values[1].string, values[2].string)
    }
}
