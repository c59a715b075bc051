// The sessions of all processes to one target: how many there may be, and whether the target is left alone.

public import Core
public import Logging
public import Redis
public import SFTP
internal import Synchronization

/// Seats in Redis that end by themselves, held for as long as this process renews them.
///
/// Where Redis cannot be asked no new session is opened: without it there is no work for one either.
public final class RedisConnectionGate: ConnectionGate {
    /// Limits over all processes, and times.
    public struct Options: Sendable {
        /// Sessions of all processes together, at most; nil for no bound.
        public var sessions: Int?
        /// Logins under way at once, at most; sshd drops some beyond its MaxStartups, 10 by default.
        public var handshakes = 8
        /// How long a seat outlives a process that died.
        public var seat = Duration.seconds(15)
        /// How long a login may take before it no longer counts as one.
        public var handshake = Duration.seconds(30)
        /// Failures in a row that open the breaker.
        public var threshold = 5
        /// How long it is open at first; each opening in a row doubles that.
        public var pause = Duration.seconds(5)
        /// How long it is open at most.
        public var longestPause = Duration.seconds(15)

        /// The usual times.
        public init(sessions: Int? = nil) { self.sessions = sessions }
    }

    private struct State {
        var held: Set<String> = []
        var listener: (@Sendable (GateNews) -> Void)?
        var keeper: Task<Void, Never>?
        var isShutDown = false
    }

    private let redis: any RedisCommands
    private let keys: [String]
    private let process: String
    private let options: Options
    private let logger: Logger
    private let state = Mutex(State())

    /// The gate of one target.
    ///
    /// - Parameters:
    ///   - process: this process's name; no other has it at the same time.
    ///   - prefix: what the names of all keys begin with.
    public init(
        _ redis: any RedisCommands,
        target: TargetID,
        process: String,
        options: Options,
        prefix: String = "ferry:",
        logger: Logger
    ) {
        self.redis = redis
        keys = UploadKeys(prefix: prefix).sessions(of: target)
        self.process = process
        self.options = options
        self.logger = logger
    }

    /// Asks for one more session.
    public func enter(_ session: String) async throws(SFTPError) {
        let answer: RESPValue
        do {
            answer = try await redis.run(
                UploadScripts.enter,
                keys: keys,
                arguments: [
                    RedisArgument(process), RedisArgument(session), RedisArgument(Int64(options.sessions ?? 0)),
                    RedisArgument(options.seat.milliseconds), RedisArgument(Int64(options.handshakes)),
                    RedisArgument(options.handshake.milliseconds),
                ]
            )
        } catch {
            throw .breakerOpen(retryAfter: .seconds(1), cause: "the index cannot be asked for a session: \(error)")
        }
        guard let fields = answer.array, fields.count == 3, let word = fields[0].string,
            let milliseconds = fields[1].integer
        else {
            throw .breakerOpen(retryAfter: .seconds(1), cause: "the index answers \(answer)")
        }
        switch word {
        case "go": hold(session)
        case "open": throw .breakerOpen(retryAfter: .milliseconds(milliseconds), cause: fields[2].string ?? "")
        default: throw .noSeat(retryAfter: .milliseconds(milliseconds))
        }
    }

    /// The session was opened: the target is well.
    public func opened(_ session: String) async { await settle(session, "opened") }

    /// The session could not be opened. A refused login says nothing of the target's health.
    public func failed(_ session: String, _ error: SFTPError) async {
        state.withLock { _ = $0.held.remove(session) }
        await settle(session, error.isRefusal || error == .cancelled ? "left" : "failed", cause: "\(error)")
    }

    /// The session has ended.
    public func left(_ session: String) {
        guard state.withLock({ $0.held.remove(session) }) != nil else { return }
        // What is not told is forgotten by the index after a while.
        Task { await settle(session, "left") }
    }

    private func settle(_ session: String, _ outcome: String, cause: String = "") async {
        do {
            _ = try await redis.run(
                UploadScripts.entered,
                keys: Array(keys.prefix(3)),
                arguments: [
                    RedisArgument(process), RedisArgument(session), RedisArgument(outcome),
                    RedisArgument(Int64(options.threshold)), RedisArgument(options.pause.milliseconds),
                    RedisArgument(options.longestPause.milliseconds), RedisArgument(String(cause.prefix(500))),
                ]
            )
        } catch {
            logger.debug("Session not told to the index", metadata: ["session": "\(session)", "error": "\(error)"])
        }
    }

    /// Where news goes.
    public func listen(_ listener: @escaping @Sendable (GateNews) -> Void) {
        state.withLock { $0.listener = listener }
    }

    /// Gives up all seats.
    public func shutdown() async {
        let (held, keeper) = state.withLock { state in
            state.isShutDown = true
            defer {
                state.held = []
                state.keeper = nil
                state.listener = nil
            }
            return (state.held, state.keeper)
        }
        keeper?.cancel()
        for session in held { await settle(session, "left") }
    }

    // MARK: Holding

    private func hold(_ session: String) {
        state.withLock { state in
            guard !state.isShutDown else { return }
            state.held.insert(session)
            guard state.keeper == nil else { return }
            let pause = options.seat / 3
            state.keeper = Task { [weak self] in
                while (try? await Task.sleep(for: pause)) != nil, await self?.stay() == true {}
            }
        }
    }

    /// Renews what is held; false, and no keeper any more, where nothing is.
    private func stay() async -> Bool {
        let held = state.withLock { state -> [String] in
            if state.held.isEmpty { state.keeper = nil }
            return state.held.sorted()
        }
        guard !held.isEmpty else { return false }
        do {
            let answer = try await redis.run(
                UploadScripts.stay,
                keys: keys,
                arguments: [
                    RedisArgument(process), RedisArgument(Int64(options.sessions ?? 0)),
                    RedisArgument(options.seat.milliseconds),
                ] + held.map { RedisArgument($0) }
            )
            guard let fields = answer.array, let allowance = fields.first?.integer else { return true }
            let lost = fields.dropFirst().compactMap(\.string)
            let listener = state.withLock { state in
                state.held.subtract(lost)
                return state.listener
            }
            listener?(GateNews(allowance: allowance > 0 ? Int(allowance) : nil, lost: lost))
        } catch {
            // Asked again soon; what ends meanwhile is told as lost then.
            logger.debug("Sessions not renewed", metadata: ["error": "\(error)"])
        }
        return true
    }
}
