// What a target can do is found out once, kept, and shown; and which way to build files follows from it.

public import Core
internal import Logging
internal import SFTP

/// What was found out about a target, for as long as its server says that it is the same.
actor ProbeMemory {
    private struct Known {
        var server: ServerCapabilities
        var probe: TargetProbe
        var until: ContinuousClock.Instant
    }

    private let configuration: SSHConfiguration
    private let gate: (any ConnectionGate)?
    private let logger: Logger
    private var known: Known?
    private var running: Task<TargetProbe, any Error>?

    /// How long it is believed: what an account may do can change.
    static let memory = Duration.seconds(600)

    init(configuration: SSHConfiguration, gate: (any ConnectionGate)?, logger: Logger) {
        self.configuration = configuration
        self.gate = gate
        self.logger = logger
    }

    /// What the server of a session can do, found out by trying if that is not known. Many who ask at once cause one
    /// look.
    func probe(on session: SFTPSession, _ options: SFTPTargetOptions) async throws -> TargetProbe {
        if let known, known.server == session.capabilities, known.until > .now { return known.probe }
        let task: Task<TargetProbe, any Error>
        if let running {
            task = running
        } else {
            let probing = TargetProbing(
                session: session,
                root: options.root,
                suffix: options.probe,
                configuration: configuration,
                gate: gate,
                logger: logger
            )
            task = Task { try await Self.bounded { try await probing.run() } }
            running = task
        }
        defer { if running == task { running = nil } }
        let probe = try await task.value
        // Where nothing works, something may only have been in the way.
        let isWorthKeeping = probe.choice != nil
        known = isWorthKeeping ? Known(server: session.capabilities, probe: probe, until: .now + Self.memory) : nil
        return probe
    }

    private static func bounded(
        _ body: @escaping @Sendable () async throws -> TargetProbe
    ) async throws -> TargetProbe {
        try await withThrowingTaskGroup(of: TargetProbe.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: TargetProbing.limit)
                throw TargetError(.interrupted, "trying what the target can do took more than \(TargetProbing.limit)")
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }
}

extension SFTPTarget {
    /// How a generation that begins now is to be built: as configured, else as what the target can do suggests.
    public func strategy() async throws(TargetError) -> MergeStrategy {
        if let merge = options.merge { return merge }
        return try await decision().strategy
    }

    /// Whether streamed files are to be written under their final names: where nothing can be renamed.
    func showsWhatIsClosed() async throws(TargetError) -> Bool {
        guard let probe = try await decision().probe else { return false }
        return !probe.renames && probe.showsWhatIsClosed
    }

    /// The strategy, why it was chosen, and what was found out, where that was possible.
    private func decision() async throws(TargetError)
        -> (strategy: MergeStrategy, reason: String, probe: TargetProbe?)
    {
        let options = options
        let probe: TargetProbe
        do throws(TargetError) {
            probe = try await withSession { try await self.probes.probe(on: $0, options) }
        } catch {
            switch error.kind {
            case .notFound, .permissionDenied, .diskFull, .quotaExceeded, .failed, .unsupported, .pathRefused,
                .rootMissing,
                .rootRefused:
                // Nothing can be tried there now; preparing a part file says what is wrong, if it is not only the root
                // itself that takes no files.
                return (options.merge ?? .inPlace, "it could not be tried: \(error.detail)", nil)
            default: throw error
            }
        }
        if let merge = options.merge { return (merge, "configured", probe) }
        guard let choice = probe.choice else {
            throw TargetError(
                .failed,
                "the target renames no files, and shows them unfinished or broken off: none would be whole"
            )
        }
        return (choice.strategy, choice.reason, probe)
    }

    /// Connects if need be, and says what the target can do.
    public func inspect() async throws(TargetError) -> [String: String] {
        let root = options.root
        var facts = try await withSession { session in
            // Asked after a session is there, so that a refused login is tried once, not twice.
            let takesDigests = await self.digests.isAvailable
            let capabilities = session.capabilities
            try await Self.check(root: root, on: session)
            var facts = [
                "server": capabilities.transport.serverIdent,
                "cipher": capabilities.transport.cipher,
                "mac": capabilities.transport.mac,
                "hostKey": capabilities.transport.hostKeyFingerprint,
                "extensions": capabilities.extensions.keys.sorted().joined(separator: " "),
                "writeLength": String(session.writeLength),
                // How a large part is proven.
                "verify": await self.verification(on: session, size: .max).rawValue,
                "exec": takesDigests ? "yes" : "no",
            ]
            if capabilities.supports(SFTPExtension.statvfs) {
                facts["freeBytes"] = String(try await session.statvfs(root).availableBytes)
            }
            return facts
        }
        let decision = try await decision()
        facts.merge(decision.probe?.facts ?? [:]) { _, tried in tried }
        facts["merge"] = decision.strategy.rawValue
        facts["mergeReason"] = decision.reason
        return facts
    }
}
