// What the tests with servers share: clients and connections that are closed again.

import Harness
import Logging
import NIOCore
import NIOPosix
import Redis

let eventLoops = MultiThreadedEventLoopGroup.singleton

let silent = Logger(label: "redis-tests") { _ in SwiftLogNoOpLogHandler() }

/// A connection for the length of `body`.
func withConnection<Result>(
    _ configuration: RedisConfiguration,
    _ body: (RedisConnection) async throws -> Result
) async throws -> Result {
    let connection = try await RedisConnection.connect(configuration, on: eventLoops.next(), logger: silent)
    do {
        let result = try await body(connection)
        connection.closeNow()
        return result
    } catch {
        connection.closeNow()
        throw error
    }
}

/// A running client for the length of `body`; that it ends when it is cancelled is part of every such test.
func withClient<Result: Sendable>(
    _ configuration: RedisConfiguration,
    onConnect: (@Sendable (RedisConnection) async throws -> Void)? = nil,
    _ body: (RedisClient) async throws -> Result
) async throws -> Result {
    let client = RedisClient(
        configuration: configuration,
        eventLoopGroup: eventLoops,
        logger: silent,
        onConnect: onConnect
    )
    let running = Task { try await client.run() }
    do {
        let result = try await body(client)
        running.cancel()
        try await running.value
        return result
    } catch {
        running.cancel()
        try? await running.value
        throw error
    }
}

/// What an operation threw, if it threw a `RedisError`.
func redisError(_ operation: () async throws -> Void) async -> RedisError? {
    do {
        try await operation()
        return nil
    } catch {
        return error as? RedisError
    }
}

/// The password of the default user of the shared configuration is none; each test takes keys of its own.
func sharedConfiguration() async throws -> RedisConfiguration {
    try await RedisConfiguration(url: SharedServers.redis().url)
}
