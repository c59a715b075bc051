// The owner of a connection: keeps one alive and gives it to callers, replacing it when it breaks.

public import Logging
public import NIOCore
internal import Synchronization

/// A client for one server. `run()` keeps a connection alive; `send` and what is built on it use it, or wait for it, as
/// long as a command may take where the configuration says nothing else.
public final class RedisClient: RedisCommands, Sendable {
    typealias Waiter = CheckedContinuation<Result<RedisConnection, RedisError>, Never>

    private let configuration: RedisConfiguration
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let onConnect: (@Sendable (RedisConnection) async throws -> Void)?
    private let keeper: Mutex<ConnectionKeeper<RedisConnection, Waiter>>
    private let tickets = Atomic<UInt64>(0)

    /// A client that does nothing until `run()` is called.
    ///
    /// - Parameters:
    ///   - eventLoopGroup: one of its loops serves this client's connections.
    ///   - onConnect: runs with each new connection before callers get it. If it throws, the connection is closed and
    ///     another is made after a pause. Its commands have time-outs; what else it does is its own to bound.
    public init(
        configuration: RedisConfiguration,
        eventLoopGroup: any EventLoopGroup,
        logger: Logger,
        onConnect: (@Sendable (RedisConnection) async throws -> Void)? = nil
    ) {
        self.configuration = configuration
        self.logger = logger
        self.onConnect = onConnect
        eventLoop = eventLoopGroup.next()
        keeper = Mutex(
            ConnectionKeeper(
                limit: configuration.maxPending,
                minimumBackoff: configuration.minimumBackoff,
                maximumBackoff: configuration.maximumBackoff
            )
        )
    }

    /// Whether there is a connection that takes commands.
    public var isConnected: Bool {
        keeper.withLock { $0.connection }?.isOpen ?? false
    }

    // MARK: Keeping a connection

    /// Keeps a connection alive until the task is cancelled, then takes no more commands, waits for the replies to
    /// those sent, closes and returns.
    ///
    /// - Throws: `RedisError.notConnected` if it was called before: a client runs once.
    public func run() async throws {
        guard keeper.withLock({ $0.start() }) else {
            throw RedisError.notConnected(reason: "the client was started before")
        }
        while !Task.isCancelled {
            await keepOneConnection()
            let pause = keeper.withLock { $0.backoff(jitter: .random(in: 0...1)) }
            try? await Task.sleep(for: pause)
        }
        stop()
    }

    /// One connection from its making to its end.
    private func keepOneConnection() async {
        let connection: RedisConnection
        do {
            connection = try await RedisConnection.connect(configuration, on: eventLoop, logger: logger)
        } catch {
            attemptFailed(describe(error))
            return
        }
        do {
            try await onConnect?(connection)
        } catch {
            connection.closeNow()
            attemptFailed("preparing a new connection failed: \(describe(error))")
            return
        }
        guard !Task.isCancelled, let waiters = keeper.withLock({ $0.connected(connection, now: .now()) }) else {
            return await connection.close()
        }
        logger.info("Connected to Redis", metadata: ["redis": "\(configuration)"])
        for waiter in waiters { waiter.resume(returning: .success(connection)) }

        await withTaskCancellationHandler {
            // It cannot fail: closeFuture only ever succeeds.
            try? await connection.closeFuture.get()
        } onCancel: {
            stop()
            connection.beginClose()
        }
        let reason = connection.closeReason ?? "the connection closed"
        keeper.withLock { $0.lost(connection, reason: reason, now: .now()) }
        if !Task.isCancelled {
            logger.warning("Lost connection to Redis", metadata: ["redis": "\(configuration)", "reason": "\(reason)"])
        }
    }

    private func attemptFailed(_ reason: String) {
        keeper.withLock { $0.failed(reason: reason) }
        if !Task.isCancelled {
            logger.warning("Cannot connect to Redis", metadata: ["redis": "\(configuration)", "reason": "\(reason)"])
        }
    }

    private func stop() {
        let (waiters, error) = keeper.withLock { $0.stop() }
        for waiter in waiters { waiter.resume(returning: .failure(error)) }
    }

    // MARK: Sending

    /// Sends a command, once there is a connection, and waits for its reply.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for a connection if there is none, but no longer than `connectionPatience`; and
    ///     then, anew, how long for the reply (so that a caller whose time is nearly up does not end a connection that
    ///     was just made); `commandTimeout` by default.
    /// - Throws: `RedisError`; an error reply is `RedisError.server`. A command that cannot have reached the server
    ///   because its connection was closing is sent on the next one.
    public func send(
        _ command: String,
        _ arguments: [RedisArgument],
        timeout: Duration? = nil
    ) async throws(RedisError) -> RESPValue {
        let timeout = timeout ?? configuration.commandTimeout
        let deadline = NIODeadline.after(min(timeout, configuration.connectionPatience ?? timeout))
        while true {
            let connection = try await acquire(deadline: deadline)
            do {
                return try await connection.send(command, arguments, timeout: timeout)
            } catch .notConnected(let reason) {
                keeper.withLock { $0.lost(connection, reason: reason, now: .now()) }
            }
        }
    }

    /// Sends commands in one go, once there is a connection, with nobody else's between them.
    ///
    /// - Returns: the replies in the order of the commands; error replies are among them and do not throw.
    public func pipeline(
        _ commands: [(String, [RedisArgument])],
        timeout: Duration? = nil
    ) async throws(RedisError) -> [RESPValue] {
        let timeout = timeout ?? configuration.commandTimeout
        let deadline = NIODeadline.after(min(timeout, configuration.connectionPatience ?? timeout))
        while true {
            let connection = try await acquire(deadline: deadline)
            do {
                return try await connection.pipeline(commands, timeout: timeout)
            } catch .notConnected(let reason) {
                keeper.withLock { $0.lost(connection, reason: reason, now: .now()) }
            }
        }
    }

    private func acquire(deadline: NIODeadline) async throws(RedisError) -> RedisConnection {
        if let connection = keeper.withLock({ $0.connection }) { return connection }
        if Task.isCancelled { throw .cancelled }
        let ticket = tickets.wrappingAdd(1, ordering: .relaxed).newValue
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                wait(continuation, ticket: ticket, deadline: deadline)
                // The handler may have run before there was anything to cancel.
                if Task.isCancelled { cancel(ticket: ticket) }
            }
        } onCancel: {
            cancel(ticket: ticket)
        }.get()
    }

    private func wait(_ waiter: Waiter, ticket: UInt64, deadline: NIODeadline) {
        switch keeper.withLock({ $0.acquire(waiter, ticket: ticket, deadline: deadline) }) {
        case .connection(let connection): waiter.resume(returning: .success(connection))
        case .refused(let error): waiter.resume(returning: .failure(error))
        case .waiting(let moment): if let moment { watch(moment) }
        }
    }

    private func cancel(ticket: UInt64) {
        let waiter = keeper.withLock { $0.cancel(ticket: ticket) }
        waiter?.resume(returning: .failure(.cancelled))
    }

    private func watch(_ moment: NIODeadline) {
        eventLoop.scheduleTask(deadline: moment) { self.expire(alarm: moment) }
    }

    private func expire(alarm: NIODeadline) {
        let overdue = keeper.withLock { $0.expire(alarm: alarm, now: .now()) }
        for waiter in overdue.waiters { waiter.resume(returning: .failure(overdue.error)) }
        if let moment = overdue.lookAt { watch(moment) }
    }
}
