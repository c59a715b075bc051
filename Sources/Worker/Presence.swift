// A worker tells that it is alive, and what it found out about its targets.

internal import Core
internal import Logging
internal import ServiceLifecycle

/// Announces a worker every few seconds, and inspects its targets every minute.
struct Presence: ServiceLifecycle.Service {
    let store: any UploadStore
    let worker: WorkerPresence
    let load: @Sendable () -> Int
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
    }

    private func announce() async {
        var pause = Self.interval
        repeat {
            var worker = worker
            worker.jobs = load()
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

    private func inspect(_ target: TargetID, _ session: any TargetSession) async {
        var pause = Self.inspectionInterval
        repeat {
            var presence = TargetPresence(
                target: target,
                reachable: true,
                facts: [:],
                error: nil,
                seenAt: surroundings.now()
            )
            do {
                presence.facts = try await session.inspect()
            } catch {
                presence.reachable = false
                presence.error = error.detail
                logger.warning("Target not usable", metadata: ["target": "\(target)", "error": "\(error)"])
            }
            do {
                try await store.announce(presence, lifetime: Self.inspectionLifetime)
                pause = Self.inspectionInterval
            } catch {
                pause = .seconds(1)
            }
        } while (try? await surroundings.sleep(pause)) != nil
    }
}
