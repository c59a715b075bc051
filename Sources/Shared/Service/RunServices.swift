// RunServices: runs the services of a program until a signal, and ends them in order and in time.

internal import Glibc
public import Logging
public import ServiceLifecycle
internal import UnixSignals

/// Runs `services` until one of them fails or SIGTERM or SIGINT asks to stop.
///
/// Services start in order and are shut down in reverse, each once the one after it has ended: list what others need
/// first. A service that fails or ends by itself takes the program down, the others gracefully. SIGPIPE is ignored
/// from here on.
///
/// - Parameters:
///   - name: the program, for the log.
///   - services: in order of dependency.
///   - gracefulDuration: how long the shutdown may take in all before what still runs is cancelled; what does not end
///     within ten seconds of that is ended with the process.
/// - Throws: the error of the service that failed; nothing after a shutdown by signal.
public func runServices(
    name: String,
    services: [any ServiceLifecycle.Service],
    logger: Logger,
    gracefulDuration: Duration = .seconds(30)
) async throws {
    signal(SIGPIPE, SIG_IGN)
    var configuration = ServiceGroupConfiguration(
        services: services.map { service in
            .init(
                service: service,
                successTerminationBehavior: .cancelGroup,
                failureTerminationBehavior: .gracefullyShutdownGroup,
                serviceName: String(describing: type(of: service))
            )
        },
        gracefulShutdownSignals: [.sigterm, .sigint],
        logger: logger
    )
    configuration.maximumGracefulShutdownDuration = gracefulDuration
    configuration.maximumCancellationDuration = .seconds(10)
    let metadata: Logger.Metadata = ["program": "\(name)", "version": "\(BuildInformation.version)"]
    logger.info("Program started", metadata: metadata)
    try await ServiceGroup(configuration: configuration).run()
    logger.info("Program ended", metadata: metadata)
}
