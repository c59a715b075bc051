// Staging, index and broker together: what every program of Ferry stands on.

public import AMQP
public import Core
internal import Glibc
public import Logging
internal import NIOPosix
public import Redis

/// The ports that all programs share, opened together and kept alive by `run`.
public final class Backend: Sendable {
    /// Where they are.
    public struct Options: Sendable {
        /// Staging's directory.
        public var stagingPath: String
        /// How staging works.
        public var staging: DiskStaging.Options
        /// The index.
        public var redis: RedisConfiguration
        /// The broker.
        public var amqp: AMQPConfiguration
        /// The targets whose queues are declared.
        public var targets: [TargetID]
        /// This process's name among all: leases are held in it.
        public var name: String

        /// All of it.
        public init(
            stagingPath: String,
            staging: DiskStaging.Options,
            redis: RedisConfiguration,
            amqp: AMQPConfiguration,
            targets: [TargetID],
            name: String
        ) {
            self.stagingPath = stagingPath
            self.staging = staging
            self.redis = redis
            self.amqp = amqp
            self.targets = targets
            self.name = name
        }
    }

    /// The index.
    public let store: RedisUploadStore
    /// Short locks.
    public let leases: RedisLeaseStore
    /// Sign-ins.
    public let sessions: RedisSessionStore
    /// The record of everything acknowledged.
    public let staging: DiskStaging
    /// Jobs out.
    public let queue: AMQPJobQueue
    /// Events out.
    public let bus: AMQPEventBus
    /// Jobs out, by way of the outbox.
    public let relay: OutboxRelay
    /// Events out, coalesced.
    public let events: ProgressEvents

    private let redis: RedisClient
    private let attachment: IndexAttachment
    private let keeper: IndexKeeper
    private let logger: Logger

    /// Opens staging; the servers are connected to by `run`.
    public static func open(_ options: Options, logger: Logger) async throws(StagingError) -> Backend {
        let staging = try await DiskStaging.open(options.stagingPath, options: options.staging)
        return Backend(options, staging: staging, logger: logger)
    }

    private init(_ options: Options, staging: DiskStaging, logger: Logger) {
        self.logger = logger
        self.staging = staging
        let attachment = IndexAttachment()
        self.attachment = attachment
        redis = RedisClient(
            configuration: options.redis,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: logger,
            onConnect: { await attachment.connectionMade($0) }
        )
        store = RedisUploadStore(redis, attachment: attachment)
        leases = RedisLeaseStore(redis)
        sessions = RedisSessionStore(redis)
        queue = AMQPJobQueue(configuration: options.amqp, targets: options.targets, logger: logger)
        bus = AMQPEventBus(configuration: options.amqp, logger: logger)
        relay = OutboxRelay(store: store, queue: queue)
        events = ProgressEvents(bus: bus, surroundings: .system)
        keeper = IndexKeeper(
            store: store,
            leases: leases,
            staging: staging,
            relay: relay,
            surroundings: .system,
            holder: options.name
        )
    }

    /// The gate of a target's sessions.
    ///
    /// - Parameters:
    ///   - sessions: how many all processes may have together; nil for no bound.
    ///   - process: this process's name.
    public func connectionGate(of target: TargetID, sessions: Int?, process: String) -> RedisConnectionGate {
        RedisConnectionGate(
            redis,
            target: target,
            process: process,
            options: RedisConnectionGate.Options(sessions: sessions),
            logger: logger
        )
    }

    /// The version of the server that holds the index, as it tells it.
    public func indexVersion() async throws(StoreError) -> String {
        do { return try await redis.info("server")["redis_version"] ?? "of an unknown version" } catch {
            throw StoreError(error)
        }
    }

    /// Reads all of staging into the index; answers how many uploads came back. Waits while another process is at it.
    /// To be called while `run` runs.
    public func rebuildIndex(within limit: Duration) async throws(IntakeError) -> Int {
        let deadline = ContinuousClock.now + limit
        while true {
            if case .rebuilt(let count) = try await keeper.rebuildAll() { return count }
            guard ContinuousClock.now < deadline, (try? await Task.sleep(for: .milliseconds(200))) != nil else {
                throw .unavailable("another process is reading staging into the index", retryAfter: .seconds(5))
            }
        }
    }

    /// Keeps the connections, relays jobs and events, and keeps the index in agreement with staging, until cancelled.
    /// Throws if a server refuses the login.
    public func run() async throws {
        defer { logger.debug("Backend ended") }
        let losses = attachment.losses()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [redis] in try await redis.run() }
            group.addTask { [queue] in try await queue.run() }
            group.addTask { [bus] in try await bus.run() }
            group.addTask { [relay] in await relay.run() }
            group.addTask { [events] in await events.run() }
            group.addTask { [keeper, logger] in
                await keeper.run(losses: losses) { outcome in
                    switch outcome {
                    case .success(.current): logger.info("Index agrees with staging")
                    case .success(.rebuilt(let count)):
                        logger.notice("Index rebuilt from staging", metadata: ["uploads": "\(count)"])
                    case .success(.waiting): logger.debug("Index is being rebuilt by another process")
                    case .failure(let error): logger.warning("Index not usable", metadata: ["error": "\(error)"])
                    }
                }
            }
            defer { group.cancelAll() }
            // Each runs until cancelled; one that ends before is a failure that ends all.
            try await group.next()
        }
        await staging.close()
    }
}

extension Surroundings {
    /// The real clock and the system's random numbers.
    public static var system: Surroundings {
        Surroundings(
            now: {
                var time = timespec()
                clock_gettime(CLOCK_REALTIME, &time)
                return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
            },
            sleep: { try await Task.sleep(for: $0) },
            random: { UInt64.random(in: .min ... .max) }
        )
    }
}
