// What somebody must look after from time to time, and who does: for each target, and for staging, one worker at a time.

internal import Core
internal import Logging
internal import ServiceLifecycle

/// Looks after a worker's targets and after staging. For each only one janitor of the fleet is active, by lease; the
/// lease saves work, no more.
struct Janitor: ServiceLifecycle.Service {
    let ports: WorkPorts
    let relay: OutboxRelay
    let queue: any JobQueue
    let leases: any LeaseStore
    let targets: [TargetID]
    /// Those of the whole fleet.
    let configured: Set<TargetID>
    let surroundings: Surroundings
    let holder: String
    let logger: Logger

    /// How often the outbox is looked at.
    static let interval = Duration.milliseconds(500)
    /// How often uploads that stand still, and leftovers, are looked for.
    private static let rounds = Duration.seconds(5)
    /// How often abandoned uploads are looked for.
    private static let expiryRounds = Duration.seconds(60)
    private static let lease = Duration.seconds(5)
    private static let stagingRounds = Duration.seconds(600)
    /// How often what is young in staging is looked at: ends that are kept long enough, creations that nobody ended.
    private static let youngRounds = Duration.seconds(10)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for target in targets {
                    let tend = TendTarget(ports, queue: queue, target: target)
                    group.addTask {
                        await every(Self.interval, as: "janitor:\(target)", for: Self.lease) {
                            try await relayDue(of: target)
                        }
                    }
                    group.addTask {
                        await every(Self.rounds, as: "tend:\(target)", for: Self.rounds * 3) {
                            note("Uploads that stood still were brought on their way", try await tend.revive(), target)
                            note("Part files of ended uploads removed", try await tend.sweep(), target)
                        }
                    }
                    group.addTask {
                        await every(Self.expiryRounds, as: "expire:\(target)", for: Self.expiryRounds) {
                            note("Abandoned uploads ended", try await tend.expire(), target)
                        }
                    }
                }
                group.addTask {
                    await every(Self.stagingRounds, as: "janitor:staging", for: Self.stagingRounds) {
                        try await tendStaging()
                    }
                }
                group.addTask {
                    await every(Self.youngRounds, as: "janitor:young", for: Self.youngRounds) {
                        try await tendYoung()
                    }
                }
            }
        }
    }

    /// Does work again and again, as the only one of the fleet that holds a lease of that name.
    private func every(
        _ interval: Duration,
        as name: String,
        for lease: Duration,
        _ work: () async throws -> Void
    ) async {
        while (try? await surroundings.sleep(interval)) != nil {
            do {
                guard try await leases.acquire(name, holder: holder, for: lease) else { continue }
                try await work()
            } catch let error as StoreError {
                // The index is away or being rebuilt; whoever is connected to it says so.
                logger.debug("Not looked after", metadata: ["what": "\(name)", "error": "\(error)"])
            } catch {
                logger.error("Not looked after", metadata: ["what": "\(name)", "error": "\(error)"])
            }
        }
        try? await leases.release(name, holder: holder)
    }

    private func relayDue(of target: TargetID) async throws(StoreError) {
        var count = OutboxRelay.batch
        while count == OutboxRelay.batch, !Task.isCancelled {
            count = try await relay.relayDue(of: target)
        }
    }

    private func tendStaging() async throws {
        let tend = TendStaging(ports, configured: configured)
        note("Leftovers swept from staging", try await tend.sweep(), nil)
        settled(try await tend.reconcile())
    }

    private func tendYoung() async throws {
        let tend = TendStaging(ports)
        _ = try await tend.forget()
        note("Creations that nobody ended were removed", try await tend.sweepUnborn(), nil)
        settled(try await tend.reconcile(onlyYoung: true))
    }

    private func settled(_ counts: (restored: Int, discarded: Int)) {
        let (restored, discarded) = counts
        note("Uploads that the index had lost were brought back", restored, nil)
        note("Uploads that were never answered were discarded", discarded, nil)
    }

    private func note(_ what: Logger.Message, _ count: Int, _ target: TargetID?) {
        guard count > 0 else { return }
        var details: Logger.Metadata = ["count": "\(count)"]
        if let target { details["target"] = "\(target)" }
        logger.info(what, metadata: details)
    }
}
