// A worker tells that it is alive, and what it found out about its targets.

internal import Core
internal import Logging
internal import ServiceLifecycle

/// Announces a worker every few seconds, and inspects its targets every minute. A worker that ends in order takes
/// itself off the roll; one that dies is forgotten after a while.
struct Presence: ServiceLifecycle.Service {
    let store: any UploadStore
    let worker: WorkerPresence
    let load: @Sendable () -> [UploadID: Int]
    let sessions: [TargetID: any TargetSession]
    let surroundings: Surroundings
    let logger: Logger

    private static let interval = Duration.seconds(5)
    private static let lifetime = Duration.seconds(15)
    private static let inspectionInterval = Duration.seconds(60)
    private static let inspectionLifetime = Duration.seconds(180)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await announce() }
                for (target, session) in sessions {
                    group.addTask { await inspect(target, session) }
                }
            }
        }
        // Cancelled, it did not end in order: others may have to ask who was at its jobs.
        if !Task.isCancelled { await leave() }
    }

    /// What lives for no time is forgotten at once.
    private func leave() async {
        do { try await store.announce(worker, lifetime: .zero) } catch {
            logger.debug("Still on the roll of workers", metadata: ["error": "\(error)"])
        }
    }

    private func announce() async {
        var pause = Self.interval
        repeat {
            var worker = worker
            let load = load()
            worker.jobs = load.values.reduce(0, +)
            worker.uploads = load.keys.sorted()
            worker.seenAt = surroundings.now()
            do {
                try await store.announce(worker, lifetime: Self.lifetime)
                pause = Self.interval
            } catch {
                // At a start the index may not be there yet.
                pause = .milliseconds(200)
            }
        } while (try? await surroundings.sleep(pause)) != nil
    }

    /// Looks at a target every minute, and at once when its breaker has opened or closed.
    private func inspect(_ target: TargetID, _ session: any TargetSession) async {
        var known: TargetPresence?
        repeat {
            let breaker = session.breaker
            if let last = known, last.breaker == breaker,
                surroundings.now() - last.seenAt < Self.inspectionInterval
            {
                continue
            }
            let presence = await look(target, session)
            // Not announced, it is looked at again.
            if (try? await store.announce(presence, lifetime: Self.inspectionLifetime)) != nil { known = presence }
        } while (try? await surroundings.sleep(.seconds(1))) != nil
    }

    private func look(_ target: TargetID, _ session: any TargetSession) async -> TargetPresence {
        var presence = TargetPresence(
            target: target,
            reachable: true,
            facts: [:],
            error: nil,
            seenAt: .init(microseconds: 0)
        )
        do {
            presence.facts = try await session.inspect()
        } catch {
            presence.reachable = false
            presence.error = error.detail
            logger.warning("Target not usable", metadata: ["target": "\(target)", "error": "\(error)"])
        }
        presence.breaker = session.breaker
        presence.seenAt = surroundings.now()
        return presence
    }
}
