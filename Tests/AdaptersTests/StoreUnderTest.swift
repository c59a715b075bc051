// The two indexes that the conformance suite runs on: one in memory, one in a real Redis.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Logging
import NIOPosix
import Redis
import Synchronization
import Testing

/// Which index a test runs on.
enum StoreUnderTest: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory
    case redis

    var testDescription: String { rawValue }

    /// A fresh index, attached.
    func index() async throws -> IndexUnderTest {
        let index =
            switch self {
            case .memory: Self.inMemory()
            case .redis: try await RedisUnderTest.shared()
            }
        try await index.store.adopt(epoch: "epoch")
        return index
    }

    private static func inMemory() -> IndexUnderTest {
        let clock = SteppingClock()
        let server = InMemoryIndexServer(clock: { clock.now })
        return IndexUnderTest(
            store: InMemoryUploadStore(server),
            leases: InMemoryLeaseStore(server),
            now: { clock.now },
            another: { InMemoryUploadStore(server) },
            wipe: { server.wipe() },
            pass: { clock.advance(by: $0) }
        )
    }
}

/// A clock that a test moves.
final class SteppingClock: Sendable {
    private let time = Mutex(Timestamp(microseconds: 1_790_000_000_000_000))

    var now: Timestamp { time.withLock { $0 } }

    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
}

/// An index with what a test needs around it.
struct IndexUnderTest: Sendable {
    let store: any UploadStore
    let leases: any LeaseStore
    let now: @Sendable () -> Timestamp
    /// The way of another process to the same index.
    let another: @Sendable () -> any UploadStore
    /// Forgets everything.
    let wipe: @Sendable () async throws -> Void
    /// Lets a short time pass on the index's clock.
    let pass: @Sendable (Duration) async throws -> Void

    /// Asks until something is true; meanwhile time passes on the index's clock.
    func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while try await !condition() {
            guard ContinuousClock.now < deadline else { throw TooLate(what: what) }
            try await pass(.milliseconds(20))
        }
    }
}

/// Something did not come true in time.
struct TooLate: Error {
    let what: String
}

/// The real index: one server and one client for all tests of the process, a prefix for each test.
enum RedisUnderTest {
    private static let counter = Atomic<Int>(0)
    private static let client = Mutex<Task<RedisClient, any Error>?>(nil)

    static func shared() async throws -> IndexUnderTest {
        let redis = try await sharedClient()
        let number = counter.wrappingAdd(1, ordering: .relaxed).newValue
        return index(redis, prefix: "test-\(number):")
    }

    static func sharedClient() async throws -> RedisClient {
        let task = client.withLock { existing in
            let task =
                existing
                ?? Task {
                    let server = try await SharedServers.redis()
                    return try start(server)
                }
            existing = task
            return task
        }
        return try await task.value
    }

    /// A client that runs as long as the process.
    static func start(_ server: RedisServer, attachment: IndexAttachment? = nil) throws -> RedisClient {
        let client = RedisClient(
            configuration: try RedisConfiguration(url: server.url),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            onConnect: { connection in await attachment?.connectionMade(connection) }
        )
        Task { try await client.run() }
        return client
    }

    static func now() -> Timestamp {
        Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }

    static func index(_ redis: any RedisCommands, prefix: String) -> IndexUnderTest {
        IndexUnderTest(
            store: RedisUploadStore(redis, attachment: IndexAttachment(prefix: prefix)),
            leases: RedisLeaseStore(redis, prefix: prefix),
            now: now,
            another: { RedisUploadStore(redis, attachment: IndexAttachment(prefix: prefix)) },
            wipe: {
                let keys = try await redis.send("KEYS", [RedisArgument("\(prefix)*")]).array ?? []
                try await redis.del(keys.compactMap(\.string))
            },
            pass: { try await Task.sleep(for: $0) }
        )
    }
}
