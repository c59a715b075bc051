// A logged-in SFTP session: many callers, many requests in flight, one thread.

public import Logging
internal import NIOCore
internal import Synchronization

/// An SFTP session over one SSH connection.
///
/// Any number of tasks may use it at once; their requests travel together and are matched by id. A session never
/// heals itself: once ``isAlive`` is false, every call throws, and its owner makes another.
///
/// A cancelled caller gets ``SFTPError/cancelled`` at once; what it asked for may still happen on the server.
public final class SFTPSession: Sendable {
    /// What the server said it is and can do.
    public let capabilities: ServerCapabilities
    let mailbox: SessionMailbox
    let logger: Logger

    /// Bytes of file data a session holds before writers have to wait.
    public static let queueLimit = 4 * 1024 * 1024

    private init(mailbox: SessionMailbox, capabilities: ServerCapabilities, logger: Logger) {
        self.mailbox = mailbox
        self.capabilities = capabilities
        self.logger = logger
    }

    deinit { mailbox.requestClose() }

    /// Connects, checks the host key, logs in and starts the sftp subsystem.
    public static func connect(
        _ configuration: SSHConfiguration,
        logger: Logger
    ) async throws(SFTPError) -> SFTPSession {
        let mailbox = try SessionMailbox(queueLimit: queueLimit)
        let opened = OneShot<ServerCapabilities>()
        try SessionThread.run(named: "sftp") {
            openAndServe(configuration, mailbox, opened)
            mailbox.threadEnded()
        }
        let capabilities = try await opened.value(
            within: configuration.connectTimeout * 3,
            otherwise: .connectFailed(
                host: configuration.host,
                port: configuration.port,
                reason: "no session in time"
            ),
            onFailure: { mailbox.requestClose() }
        )
        logger.debug(
            "SFTP session opened",
            metadata: [
                "host": "\(configuration.host)",
                "port": "\(configuration.port)",
                "server": "\(capabilities.transport.serverIdent)",
                "cipher": "\(capabilities.transport.cipher)",
                "mac": "\(capabilities.transport.mac)",
            ]
        )
        mailbox.writeLength.store(capabilities.writeLength, ordering: .relaxed)
        return SFTPSession(mailbox: mailbox, capabilities: capabilities, logger: logger)
    }

    /// The whole life of a session's thread.
    private static func openAndServe(
        _ configuration: SSHConfiguration,
        _ mailbox: SessionMailbox,
        _ opened: OneShot<ServerCapabilities>
    ) {
        var wait = OpeningWait(
            wakeup: mailbox.wakeup,
            isInterrupted: { mailbox.isCloseRequested },
            deadline: .now + configuration.connectTimeout
        )
        do throws(SFTPError) {
            let transport = try configuration.open(.subsystem("sftp"), wait)
            defer { transport.close() }
            let loop = SessionLoop(
                mailbox: mailbox,
                transport: transport,
                requestTimeout: configuration.requestTimeout,
                keepAlive: configuration.keepAlive
            )
            wait.deadline = .now + configuration.connectTimeout
            let capabilities = try loop.initialize(wait)
            guard opened.deliver(.success(capabilities)) else { return mailbox.finish(.cancelled) }
            loop.run()
        } catch {
            mailbox.finish(error)
            opened.deliver(.failure(error))
        }
    }

    // MARK: State

    /// Whether requests can still be made.
    public var isAlive: Bool { mailbox.end == nil && !mailbox.isCloseRequested }

    /// Requests under way.
    public var load: Int { mailbox.load }

    /// Bytes of file data carried so far, both ways.
    public var transferredBytes: UInt64 { mailbox.transferred.load(ordering: .relaxed) }

    /// Data of one write request, as it is used now.
    public var writeLength: Int { mailbox.writeLength.load(ordering: .relaxed) }

    /// Ends the session; requests under way throw ``SFTPError/closed``. Returns when its thread is through.
    public func close() async {
        let done = OneShot<Void>()
        mailbox.requestClose(notify: done)
        // A cancelled task need not wait; the thread ends by itself.
        do throws(SFTPError) { try await done.value() } catch {}
    }

    // MARK: Requests

    /// Sends one request and waits for its reply.
    func perform(_ request: Request, _ operation: String, _ path: String) async throws(SFTPError) -> Reply {
        try await ask(request, operation, path).value()
    }

    /// Sends one request; its reply may be waited for later, or not at all.
    func ask(_ request: Request, _ operation: String, _ path: String) -> OneShot<Reply> {
        var breath = Breath()
        let reply = breath.ask(request, operation, path)
        send(breath)
        return reply
    }

    /// Sends what was gathered.
    func send(_ breath: consuming Breath) { mailbox.submit(breath.submissions) }

    func expectStatus(_ request: Request, _ operation: String, _ path: String) async throws(SFTPError) {
        _ = try await perform(request, operation, path)
    }

    func expectAttributes(
        _ request: Request,
        _ operation: String,
        _ path: String
    ) async throws(SFTPError) -> FileAttributes {
        guard case .attributes(let attributes) = try await perform(request, operation, path) else {
            throw .protocolViolation("no attributes in answer to \(operation)")
        }
        return attributes
    }

    /// A path the protocol can carry. OpenSSH ends the session at a NUL byte, so that one is refused here.
    func checked(_ path: String) throws(SFTPError) -> String {
        guard !path.utf8.contains(0) else { throw .invalidArgument("a path with a NUL byte") }
        guard path.utf8.count <= PacketBounds.path else { throw .invalidArgument("a path of \(path.utf8.count) bytes") }
        return path
    }
}

/// Requests that are sent together. A server works through those of a session as if one came after the other
/// (draft-ietf-secsh-filexfer-02 §3), and mostly answers in that order: whoever waits for the last one first is woken once.
struct Breath: ~Copyable {
    private(set) var submissions: [Submission] = []

    /// Adds a request; its reply may be waited for once it was sent, or not at all.
    mutating func ask(_ request: Request, _ operation: String, _ path: String) -> OneShot<Reply> {
        let reply = OneShot<Reply>()
        add(Submission(request: request, operation: operation, path: path, receiver: reply))
        return reply
    }

    /// Adds what is told to somebody else.
    mutating func add(_ submission: Submission) { submissions.append(submission) }
}

extension OneShot {
    /// Waits for the value with a bound; `onFailure` runs before anything is thrown.
    func value(
        within limit: Duration,
        otherwise late: SFTPError,
        onFailure: @Sendable () -> Void
    ) async throws(SFTPError) -> Value {
        let watchdog = Task {
            do { try await Task.sleep(for: limit) } catch { return }
            self.deliver(.failure(late))
        }
        defer { watchdog.cancel() }
        do throws(SFTPError) {
            return try await value()
        } catch {
            onFailure()
            throw error
        }
    }
}
