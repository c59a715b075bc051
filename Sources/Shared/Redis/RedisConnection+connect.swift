// Making a connection: resolve, connect, TLS, log in, select the database, and see that the server is ready.

public import Logging
public import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

extension RedisConnection {
    /// Connects and logs in.
    ///
    /// - Throws: `RedisError.connectFailed`, or `.cancelled`. It takes no longer than `connectTimeout`.
    public static func connect(
        _ configuration: RedisConfiguration,
        on eventLoop: any EventLoop,
        logger: Logger
    ) async throws(RedisError) -> RedisConnection {
        let deadline = NIODeadline.after(configuration.connectTimeout)
        let tls = try tlsSetup(configuration)
        let connection = try await open(configuration, tls, on: eventLoop, deadline: deadline, logger: logger)
        do {
            try await connection.logIn(configuration, deadline: deadline)
        } catch {
            connection.closeNow()
            throw error
        }
        return connection
    }

    // MARK: The channel

    private static func open(
        _ configuration: RedisConfiguration,
        _ tls: TLSSetup?,
        on eventLoop: any EventLoop,
        deadline: NIODeadline,
        logger: Logger
    ) async throws(RedisError) -> RedisConnection {
        let made = Candidates()
        var bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(deadline - .now())
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(tls.makeHandler()) }
                    let connection = RedisConnection(channel: channel, configuration: configuration, logger: logger)
                    let handler = try RedisChannelHandler(connection: connection, limits: configuration.limits)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    made.append(connection)
                }
            }
        #if os(Linux)
            // A peer that is gone without a word is noticed within half a minute, even while nothing is sent.
            for (option, value) in [(TCP_KEEPIDLE, 15), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 3)] as [(Int32, CInt)] {
                let option = ChannelOptions.socket(SocketOptionLevel(IPPROTO_TCP), SocketOptionName(option))
                bootstrap = bootstrap.channelOption(option, value: SocketOptionValue(value))
            }
        #endif
        let opened = OneWaiter()
        let future = bootstrap.connect(host: configuration.host, port: configuration.port).flatMapThrowing { channel in
            guard let connection = made.take(on: channel) else { throw ChannelError.ioOnClosedChannel }
            return connection
        }
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                opened.wait(continuation)
                future.whenComplete { result in
                    switch result {
                    case .success(let connection):
                        // Whoever waited may have gone.
                        if !opened.resume(.success(connection)) { connection.closeNow() }
                    case .failure(let error):
                        opened.resume(.failure(.connectFailed(reason: "\(configuration): \(describe(error))")))
                    }
                }
                if Task.isCancelled { opened.resume(.failure(.cancelled)) }
            }
        } onCancel: {
            opened.resume(.failure(.cancelled))
        }.get()
    }

    // MARK: The login

    /// All in one write: the server answers the commands one after the other anyway.
    private func logIn(_ configuration: RedisConfiguration, deadline: NIODeadline) async throws(RedisError) {
        var commands: [(String, [RedisArgument])] = []
        if let password = configuration.password {
            let login = (configuration.user.map { [$0] } ?? []) + [password]
            commands.append(("AUTH", login.map { RedisArgument($0) }))
        }
        if configuration.database != 0 { commands.append(("SELECT", [RedisArgument(configuration.database)])) }
        if let name = configuration.clientName { commands.append(("CLIENT", ["SETNAME", RedisArgument(name)])) }
        // A server that is loading its data or wants a login refuses this one.
        commands.append(("PING", []))

        let replies: [RESPValue]
        do {
            replies = try await pipeline(commands, deadline: deadline)
        } catch .cancelled {
            throw .cancelled
        } catch .timedOut {
            throw .connectFailed(reason: "\(configuration): no answer in time")
        } catch {
            throw .connectFailed(reason: "\(configuration): \(closeReason ?? error.description)")
        }
        for ((command, _), reply) in zip(commands, replies) {
            guard case .error(let error) = reply else { continue }
            switch (command, error.code) {
            // An account may be allowed much and not these.
            case ("CLIENT", _), ("PING", "NOPERM"): continue
            case (_, "NOAUTH"): throw .connectFailed(reason: "\(configuration): the server wants a password")
            case ("AUTH", _): throw .connectFailed(reason: "\(configuration): the login was refused: \(error)")
            default: throw .connectFailed(reason: "\(configuration): \(command) was refused: \(error)")
            }
        }
    }

    // MARK: TLS

    private struct TLSSetup: Sendable {
        let context: NIOSSLContext
        let host: String

        func makeHandler() throws -> NIOSSLClientHandler {
            // An address cannot be sent as a server name (RFC 6066 §3); without one NIOSSL holds the certificate
            // against the address that it is connected to.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
        }
    }

    private static func tlsSetup(_ configuration: RedisConfiguration) throws(RedisError) -> TLSSetup? {
        guard let tls = configuration.tls else { return nil }
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        settings.certificateVerification = .fullVerification
        var reading = "TLS settings"
        do {
            if let file = tls.authorityFile {
                reading = "TLS authorities from \(file)"
                settings.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            if let file = tls.certificateFile {
                reading = "TLS client certificate from \(file)"
                settings.certificateChain = try NIOSSLCertificate.fromPEMFile(file).map { .certificate($0) }
            }
            if let file = tls.keyFile {
                reading = "TLS client key from \(file)"
                settings.privateKey = .privateKey(try NIOSSLPrivateKey(file: file, format: .pem))
            }
            return TLSSetup(context: try NIOSSLContext(configuration: settings), host: configuration.host)
        } catch {
            throw .connectFailed(reason: "\(configuration): cannot read \(reading): \(describe(error))")
        }
    }
}

/// The connections of one attempt: there is one for every address that is tried. The channel's pipeline cannot be asked
/// for them, for it is empty already when a server turned the connection away at once.
private final class Candidates: Sendable {
    private let connections = Mutex<[RedisConnection]>([])

    func append(_ connection: RedisConnection) {
        connections.withLock { $0.append(connection) }
    }

    /// The connection on this channel; all are let go of.
    func take(on channel: any Channel) -> RedisConnection? {
        connections.withLock { connections in
            defer { connections.removeAll() }
            return connections.first { $0.channel === channel }
        }
    }
}

/// A continuation that is resumed by whoever comes first.
private final class OneWaiter: Sendable {
    typealias Continuation = CheckedContinuation<Result<RedisConnection, RedisError>, Never>

    private let continuation = Mutex<Continuation?>(nil)

    func wait(_ continuation: Continuation) {
        self.continuation.withLock { $0 = continuation }
    }

    /// Returns whether it was this call that resumed.
    @discardableResult
    func resume(_ result: Result<RedisConnection, RedisError>) -> Bool {
        guard let continuation = continuation.withLock({ $0.take() }) else { return false }
        continuation.resume(returning: result)
        return true
    }
}
