// The API's composition: from configuration to running services. The only file here that knows the adapters.

import Adapters
import Assembly
import Core
import Glibc
import Hummingbird
import Logging
import Metrics
import NIOSSL
import Service
import ServiceLifecycle

/// The program cannot be started like this.
struct StartRefused: Error, CustomStringConvertible {
    let description: String
}

/// Serves the HTTP interface until asked to stop.
func runAPI(_ configuration: FerryConfiguration, name: String) async throws {
    let logger = Logger(label: "ferry.api")
    for warning in configuration.warnings { logger.warning("Configuration", metadata: ["warning": "\(warning)"]) }
    raiseFileLimit(logger)
    let registry = describedRegistry()
    MetricsSystem.bootstrap(registry)
    let mode = try authenticationMode(configuration, logger: logger)
    // Clients are told soon that the index is away; a connection that is just being replaced is waited for.
    let options = try configuration.backend(name: name, indexPatience: .seconds(1))
    let backend = try await Backend.open(options, logger: logger)
    let targets = configuration.targetIDs
    let hub = EventHub(surroundings: .system)
    let intake = UploadIntake(
        store: backend.store,
        staging: backend.staging,
        queue: backend.queue,
        relay: backend.relay,
        events: backend.events,
        surroundings: .system,
        limits: configuration.uploadLimits,
        targets: Set(targets)
    )
    let router = APIRouter.make(
        APIServices(
            intake: intake,
            store: backend.store,
            staging: backend.staging,
            queue: backend.queue,
            targets: targets,
            roots: targetRoots(configuration),
            authenticator: makeAuthenticator(mode, sessions: backend.sessions),
            allowedOrigins: Set(configuration.http.allowedOrigins),
            compress: Gzip.compress,
            hub: hub,
            metrics: RequestMetrics(factory: registry),
            renderMetrics: { registry.render() }
        )
    )
    let server = try HTTPServer.make(
        router,
        host: configuration.listen.host,
        port: configuration.listen.port,
        limits: ServerLimits(
            maximumConnections: configuration.http.maxConnections,
            idleTimeout: configuration.http.idleTimeout,
            minimumRate: configuration.http.minRate
        ),
        tls: try configuration.http.tls.map {
            try HTTPServer.tls(certificateFile: $0.certificateFile, keyFile: $0.keyFile)
        },
        logger: logger
    ) { port in
        logger.info("Listening", metadata: ["host": "\(configuration.listen.host)", "port": "\(port)"])
    }
    let subscriber = AMQPEventSubscriber(
        configuration: try configuration.broker(name: name),
        logger: logger,
        isWanted: { hub.count > 0 },
        handler: { hub.deliver($0) }
    )
    // Shut down in reverse: requests end first, and what they stand on after them.
    try await runServices(
        name: "ferry-api",
        services: [
            BackgroundService { try await backend.run() },
            BackgroundService { try await subscriber.run() },
            BackgroundService { await hub.run() },
            server,
        ],
        logger: logger
    )
}

/// Something that runs until the server, which needs it, has ended.
private struct BackgroundService: ServiceLifecycle.Service {
    let work: @Sendable () async throws -> Void

    func run() async throws { try await cancelWhenGracefulShutdown { try await work() } }
}

private func targetRoots(_ configuration: FerryConfiguration) -> [TargetID: TargetRoot] {
    let roots = configuration.targets.compactMap { target in
        TargetID(target.id).map { ($0, TargetRoot(target.root)) }
    }
    return Dictionary(roots, uniquingKeysWith: { first, _ in first })
}

private func authenticationMode(
    _ configuration: FerryConfiguration,
    logger: Logger
) throws -> Authenticator.Mode {
    switch configuration.auth.mode {
    case .none:
        guard configuration.listen.isLoopback, let everybody = Authenticator.everybody else {
            throw StartRefused(
                description: "auth.mode: none is refused because listen: \(configuration.listen) is not loopback"
            )
        }
        logger.warning("Everybody on this machine may do everything: auth.mode is none")
        return .none(everybody)
    case .tokens:
        let file = TokensFile(path: configuration.auth.tokensFile, logger: logger)
        // Told at once rather than with the first request.
        _ = try file.table()
        return .tokens(file)
    }
}

private func makeAuthenticator(_ mode: Authenticator.Mode, sessions: any SessionStore) -> Authenticator {
    Authenticator(
        mode: mode,
        sessions: sessions,
        sha256: { bytes in
            bytes.withUnsafeBytes { pointer in
                guard let hasher = try? SHA256Hasher(), (try? hasher.update(pointer)) != nil else { return nil }
                return try? hasher.finish()
            }
        },
        now: Surroundings.system.now
    )
}

private func describedRegistry() -> PrometheusRegistry {
    let registry = PrometheusRegistry()
    registry.describe("ferry_http_requests_total", help: "Requests answered, by route, method and status.")
    registry.describe("ferry_http_request_duration_seconds", help: "Time until a request was answered.")
    registry.describe("ferry_http_received_bytes_total", help: "Bytes of parts and files received.")
    registry.describe("ferry_http_event_streams", help: "Event streams that are open.")
    registry.describe("ferry_target_reachable", help: "Whether a worker could reach the target, 1 or 0.")
    registry.describe("ferry_target_breaker_open", help: "Whether a worker leaves the target alone now, 1 or 0.")
    return registry
}

/// Thousands of connections need more descriptors than shells allow by default.
private func raiseFileLimit(_ logger: Logger) {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else {
        return
    }
    limit.rlim_cur = limit.rlim_max
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
        logger.debug("File limit stays", metadata: ["error": "\(errno)"])
    }
}
