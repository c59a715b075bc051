// What somebody must look after from time to time: outbox entries that are due, and leftovers in staging.

internal import Core
internal import Logging
internal import ServiceLifecycle

/// Looks after a worker's targets and after staging. For each only one janitor of the fleet is active, by lease; the
/// lease saves work, no more.
struct Janitor: ServiceLifecycle.Service {
    let relay: OutboxRelay
    let leases: any LeaseStore
    let staging: any Staging
    let targets: [TargetID]
    let surroundings: Surroundings
    let holder: String
    let logger: Logger

    /// How often the outbox is looked at.
    static let interval = Duration.milliseconds(500)
    private static let lease = Duration.seconds(5)
    private static let sweepInterval = Duration.seconds(600)
    private static let leftoverAge = Duration.seconds(86_400)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for target in targets {
                    group.addTask { await relayDue(of: target) }
                }
                group.addTask { await sweep() }
            }
        }
    }

    private func relayDue(of target: TargetID) async {
        let name = "janitor:\(target)"
        while (try? await surroundings.sleep(Self.interval)) != nil {
            do throws(StoreError) {
                guard try await leases.acquire(name, holder: holder, for: Self.lease) else { continue }
                var count = OutboxRelay.batch
                while count == OutboxRelay.batch, !Task.isCancelled {
                    count = try await relay.relayDue(of: target)
                }
            } catch {
                logger.debug("Outbox not relayed", metadata: ["target": "\(target)", "error": "\(error)"])
            }
        }
        try? await leases.release(name, holder: holder)
    }

    private func sweep() async {
        repeat {
            guard (try? await leases.acquire("janitor:staging", holder: holder, for: Self.sweepInterval)) == true else {
                continue
            }
            do {
                let count = try await staging.sweep(olderThan: Self.leftoverAge)
                if count > 0 { logger.info("Leftovers swept from staging", metadata: ["count": "\(count)"]) }
            } catch {
                logger.error("Staging not swept", metadata: ["error": "\(error)"])
            }
        } while (try? await surroundings.sleep(Self.sweepInterval)) != nil
    }
}
