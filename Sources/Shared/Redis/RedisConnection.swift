// One connection to a Redis server: writes the commands of all callers, hands out the replies in order.

internal import Logging
public import NIOCore
internal import Synchronization

/// One TCP connection, logged in, on one database.
///
/// Any number of tasks may send at once: their commands are written without waiting for one another, and all that
/// gather while the event loop is busy go out in one write. A connection never heals itself; once it is closed, all
/// that is sent on it fails with `RedisError.notConnected`, and its owner makes another. Whoever made it must close it.
///
/// The connection is shared, so commands that change how it speaks (`SUBSCRIBE`, `MONITOR`, `HELLO`, `CLIENT REPLY`)
/// must not be sent on it, blocking ones hold up everybody, and `MULTI` … `EXEC` belong into one `pipeline`.
public final class RedisConnection: RedisCommands, Sendable {
    typealias Waiter = CheckedContinuation<Result<RedisReplies, RedisError>, Never>

    private struct State {
        var queue: CommandQueue<Waiter>
        /// Commands that were not yet handed to the channel, encoded one behind the other.
        var outgoing: ByteBuffer
        /// The buffer that `outgoing` changes places with, so that neither is made anew for each write.
        var spare: ByteBuffer
        /// Whether a flush is on its way, so that the next caller need not ask for one.
        var isFlushing = false
        /// A moment at which commands expire, which the event loop has not been told of yet.
        var unwatched: NIODeadline?
    }

    let channel: any Channel
    let logger: Logger
    private let commandTimeout: Duration
    private let maximumPendingBytes: Int
    private let state: Mutex<State>
    private let tickets = Atomic<UInt64>(0)

    init(channel: any Channel, configuration: RedisConfiguration, logger: Logger) {
        self.channel = channel
        self.logger = logger
        commandTimeout = configuration.commandTimeout
        maximumPendingBytes = configuration.maxPendingBytes
        state = Mutex(
            State(
                queue: CommandQueue(limit: configuration.maxPending),
                outgoing: channel.allocator.buffer(capacity: 4096),
                spare: channel.allocator.buffer(capacity: 4096)
            )
        )
    }

    /// Succeeds when the connection is closed, whatever the reason.
    public var closeFuture: EventLoopFuture<Void> { channel.closeFuture }

    /// Whether commands are taken.
    public var isOpen: Bool { state.withLock { $0.queue.phase == .open } }

    /// Why the connection closed, once it has.
    public var closeReason: String? {
        state.withLock { if case .closed(let reason) = $0.queue.phase { reason } else { nil } }
    }

    /// How many commands wait for their replies.
    public var pendingCommands: Int { state.withLock { $0.queue.pending } }

    // MARK: Sending

    /// Sends a command and waits for its reply.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait; the configuration's `commandTimeout` by default. A time-out closes the connection.
    /// - Throws: `RedisError`; an error reply is `RedisError.server`.
    public func send(
        _ command: String,
        _ arguments: [RedisArgument],
        timeout: Duration? = nil
    ) async throws(RedisError) -> RESPValue {
        try await send(command, arguments, deadline: .after(timeout ?? commandTimeout))
    }

    /// Sends commands in one go, with nobody else's between them, and waits for all their replies.
    ///
    /// - Returns: the replies in the order of the commands; error replies are among them and do not throw.
    public func pipeline(
        _ commands: [(String, [RedisArgument])],
        timeout: Duration? = nil
    ) async throws(RedisError) -> [RESPValue] {
        try await pipeline(commands, deadline: .after(timeout ?? commandTimeout))
    }

    func send(
        _ command: String,
        _ arguments: [RedisArgument],
        deadline: NIODeadline
    ) async throws(RedisError) -> RESPValue {
        switch try await exchange(.one(command, arguments), command, count: 1, deadline: deadline) {
        case .one(.error(let error)): throw .server(error, command: command)
        case .one(let value): return value
        case .many: throw .unexpectedReply(command: command, expected: "one reply")
        }
    }

    func pipeline(
        _ commands: [(String, [RedisArgument])],
        deadline: NIODeadline
    ) async throws(RedisError) -> [RESPValue] {
        guard let first = commands.first else { return [] }
        switch try await exchange(.many(commands), first.0, count: commands.count, deadline: deadline) {
        case .one(let value): return [value]
        case .many(let values): return values
        }
    }

    private func exchange(
        _ request: Request,
        _ command: String,
        count: Int,
        deadline: NIODeadline
    ) async throws(RedisError) -> RedisReplies {
        // Nothing was sent, but whoever cancels does not ask for a better answer.
        if Task.isCancelled { throw .cancelled }
        let ticket = tickets.wrappingAdd(1, ordering: .relaxed).newValue
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enqueue(request, command, count: count, deadline: deadline, ticket: ticket, waiter: continuation)
                // The handler may have run before there was anything to cancel.
                if Task.isCancelled { cancel(ticket: ticket) }
            }
        } onCancel: {
            cancel(ticket: ticket)
        }
        return try result.get()
    }

    private func enqueue(
        _ request: Request,
        _ command: String,
        count: Int,
        deadline: NIODeadline,
        ticket: UInt64,
        waiter: Waiter
    ) {
        let length = request.estimatedLength
        let (refusal, needsFlush) = state.withLock { state -> (RedisError?, Bool) in
            if let refusal = state.queue.refusal(count: count) { return (refusal, false) }
            let waiting = state.outgoing.readableBytes
            if waiting > 0, waiting + length > maximumPendingBytes { return (.queueFull, false) }
            request.write(to: &state.outgoing)
            state.queue.append(waiter, ticket: ticket, command: command, count: count, deadline: deadline)
            let needsAlarm = state.queue.watch(deadline)
            if needsAlarm { state.unwatched = deadline }
            defer { state.isFlushing = true }
            return (nil, needsAlarm || !state.isFlushing)
        }
        if let refusal {
            waiter.resume(returning: .failure(refusal))
        } else if needsFlush {
            channel.eventLoop.execute { self.flush() }
        }
    }

    private func cancel(ticket: UInt64) {
        let waiter = state.withLock { $0.queue.cancel(ticket: ticket) }
        waiter?.resume(returning: .failure(.cancelled))
    }

    // MARK: On the event loop

    /// Writes what has gathered. Where the peer does not read, it stays here, bounded, until the channel says that it
    /// can be written to again.
    func flush() {
        channel.eventLoop.preconditionInEventLoop()
        let isWritable = channel.isWritable
        let (bytes, deadline) = state.withLock { state -> (ByteBuffer?, NIODeadline?) in
            let deadline = state.unwatched.take()
            guard isWritable else { return (nil, deadline) }
            state.isFlushing = false
            guard state.outgoing.readableBytes > 0 else { return (nil, deadline) }
            let bytes = state.outgoing
            state.outgoing = state.spare
            state.spare = ByteBuffer()
            state.queue.markWritten()
            return (bytes, deadline)
        }
        if let deadline { watch(deadline) }
        guard var bytes else { return }
        channel.writeAndFlush(bytes, promise: nil)
        if bytes.capacity <= 256 * 1024 {
            // Keeps the memory if the channel is done with it, else takes new of the same size.
            bytes.clear()
            state.withLock { $0.spare = bytes }
        }
    }

    private func watch(_ deadline: NIODeadline) {
        // Whatever becomes of the connection, the timer does not keep it.
        channel.eventLoop.scheduleTask(deadline: deadline) { [weak self] in self?.expire(alarm: deadline) }
    }

    private func expire(alarm: NIODeadline) {
        let now = NIODeadline.now()
        switch state.withLock({ $0.queue.expire(alarm: alarm, now: now) }) {
        case .look(let deadline): watch(deadline)
        case .idle: break
        case .expired: finish(.timeOut(now: now))
        }
    }

    func received(_ replies: [RESPValue]) {
        var complete: [(Waiter, RedisReplies)] = []
        complete.reserveCapacity(replies.count)
        let (violation, isDrained) = state.withLock { state -> (String?, Bool) in
            for reply in replies {
                switch state.queue.received(reply) {
                case .more: break
                case .complete(let waiter, let replies):
                    if let waiter { complete.append((waiter, replies)) }
                case .unexpected(let reason): return (reason, false)
                }
            }
            return (nil, state.queue.phase == .draining && state.queue.isDrained)
        }
        for (waiter, replies) in complete { waiter.resume(returning: .success(replies)) }
        if let violation {
            finish(.violation(reason: violation))
        } else if isDrained {
            closeNow()
        }
    }

    /// Ends the connection and tells everybody who waits.
    func finish(_ ending: CommandQueue<Waiter>.Ending) {
        let failures = state.withLock { state in
            defer { if !state.queue.phase.isAlive { state.outgoing.clear() } }
            return state.queue.close(ending)
        }
        for failure in failures { failure.waiter.resume(returning: .failure(failure.error)) }
        channel.close(promise: nil)
    }

    // MARK: Closing

    /// Takes no more commands, waits for the replies to those sent (their time-outs bound that), and closes.
    public func close() async {
        beginClose()
        // It cannot fail: closeFuture only ever succeeds.
        try? await channel.closeFuture.get()
    }

    /// The first half of `close()`: takes no more commands and closes when the last reply is there.
    func beginClose() {
        let isDrained = state.withLock { state in
            state.queue.drain()
            return state.queue.isDrained
        }
        if isDrained { closeNow() }
    }

    /// Closes at once; commands that wait for their replies fail.
    public func closeNow() {
        finish(.closed(reason: "the connection was closed"))
    }
}

/// What is written for one waiter.
private enum Request {
    case one(String, [RedisArgument])
    case many([(String, [RedisArgument])])

    var estimatedLength: Int {
        switch self {
        case .one(_, let arguments): arguments.reduce(0) { $0 + $1.estimatedLength }
        case .many(let commands):
            commands.reduce(0) { $1.1.reduce($0) { $0 + $1.estimatedLength } }
        }
    }

    func write(to buffer: inout ByteBuffer) {
        switch self {
        case .one(let command, let arguments): buffer.writeRedisCommand(command, arguments)
        case .many(let commands):
            for (command, arguments) in commands { buffer.writeRedisCommand(command, arguments) }
        }
    }
}

extension NIODeadline {
    /// A time-out from now, held between nothing and a day so that no sum overflows.
    static func after(_ timeout: Duration) -> NIODeadline {
        .now() + TimeAmount(min(max(timeout, .zero), .seconds(86_400)))
    }
}
