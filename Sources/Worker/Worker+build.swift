// The worker's composition: from configuration to running services. The only file here that knows the adapters.

internal import Adapters
internal import Assembly
internal import Core
internal import Foundation
internal import Logging
internal import Service
internal import ServiceLifecycle

/// Runs a worker until it is asked to stop.
func runWorker(_ configuration: FerryConfiguration, name: String) async throws {
    let logger = Logger(label: "ferry.worker")
    for warning in configuration.warnings { logger.warning("Configuration", metadata: ["warning": "\(warning)"]) }
    let mine = configuration.targets.filter { configuration.worker.handles($0.id) }
    let backend = try await Backend.open(try configuration.backend(name: name), logger: logger)
    var sessions: [TargetID: SFTPTarget] = [:]
    let system = ProcessInfo.processInfo
    // A worker that starts again under its name is another process to the targets.
    let process = "\(name)/\(system.processIdentifier)"
    for target in mine {
        guard let id = TargetID(target.id) else { continue }
        let gate = backend.connectionGate(of: id, sessions: target.maxSessions, process: process)
        sessions[id] = SFTPTarget(target, process: name, gate: gate, logger: logger)
    }
    let targets = sessions
    let ids = targets.keys.sorted()
    let ports = WorkPorts(
        store: backend.store,
        leases: backend.leases,
        staging: backend.staging,
        target: { targets[$0] },
        relay: backend.relay,
        events: backend.events,
        surroundings: .system,
        policy: configuration.retryPolicy,
        worker: name
    )
    let startedAt = Surroundings.system.now()
    let desk = JobDesk(ports, instance: WorkerPresence.instance(name, startedAt: startedAt), logger: logger)
    let sessionCounts = mine.map(\.sessions)
    var options = AMQPJobConsumer.Options()
    options.kinds = Set(configuration.worker.roles.map { $0 == .ship ? JobQueueKind.ship : .merge })
    // Four times the sessions: none waits for its next part, and small ones keep a distant target busy.
    options.shipPrefetch = 4 * (sessionCounts.max() ?? 4)
    // A merge is held only until it is claimed.
    options.mergePrefetch = 4
    options.drain = configuration.worker.drain
    let consumer = AMQPJobConsumer(
        configuration: try configuration.broker(name: name),
        targets: ids,
        options: options,
        replies: backend.queue,
        handlers: AMQPJobConsumer.Handlers(
            job: { delivery in
                await desk.perform(
                    delivery.job,
                    of: delivery.target,
                    isRepeated: delivery.redelivered,
                    deliveries: delivery.deliveryCount
                )
            },
            // What the broker gave up is in the state all the same; the job says where to look.
            dead: { await desk.perform($0.job, of: $0.target) },
            probe: { path, target in
                guard let session = targets[target] else { return nil }
                return try? await session.facts(of: path) != nil
            }
        ),
        logger: logger
    )
    let presence = WorkerPresence(
        name: name,
        host: system.hostName,
        process: Int(system.processIdentifier),
        version: BuildInformation.version,
        targets: ids,
        jobs: 0,
        startedAt: startedAt,
        seenAt: startedAt
    )
    try await runServices(
        name: "ferry-worker",
        services: [
            BackendService(backend: backend, targets: Array(targets.values)),
            Janitor(
                ports: ports,
                relay: backend.relay,
                queue: backend.queue,
                leases: backend.leases,
                targets: ids,
                configured: Set(configuration.targets.compactMap { TargetID($0.id) }),
                surroundings: .system,
                holder: name,
                logger: logger
            ),
            Presence(
                store: backend.store,
                worker: presence,
                load: { desk.load },
                sessions: targets,
                surroundings: .system,
                logger: logger
            ),
            desk,
            ConsumerService(consumer: consumer, drain: configuration.worker.drain),
        ],
        logger: logger,
        gracefulDuration: configuration.worker.drain
    )
}

/// Connections outlive everything that uses them: they are closed when all the rest has ended, the index's last, where
/// targets give up their sessions.
private struct BackendService: ServiceLifecycle.Service {
    let backend: Backend
    let targets: [SFTPTarget]

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await backend.run() }
            group.addTask {
                // Ends by a cancellation, too: then the index has failed.
                try? await gracefulShutdown()
                for target in targets { await target.shutdown() }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

/// Stops taking jobs first of all, and lets those that were taken end.
private struct ConsumerService: ServiceLifecycle.Service {
    let consumer: AMQPJobConsumer
    let drain: Duration

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await consumer.run()
        } onGracefulShutdown: {
            consumer.drain(within: drain)
        }
    }
}
