// Poison: a job that takes its worker down again and again is stopped before it takes down another.

/// Looks at jobs that come again, and stops those whose workers died of them.
///
/// The broker's count alone says nothing: it rises with every connection that is lost. So each worker that begins a job
/// that was delivered before leaves its name, and takes it away when it has ended. A name that stays belongs to a
/// worker that is gone if nobody of that name is alive.
public struct PoisonGuard: Sendable {
    private let ports: WorkPorts
    private let instance: String

    /// How often a job may take its worker down.
    public static let limit = 3

    /// A guard for one run of a worker.
    ///
    /// - Parameter instance: as in `WorkerPresence.instance`.
    public init(_ ports: WorkPorts, instance: String) {
        self.ports = ports
        self.instance = instance
    }

    /// Whether a job that was delivered before may be begun; if not, it has been failed or put off.
    ///
    /// - Parameter deliveries: how often the broker delivered it before. The first worker that died of it left no name,
    ///   for the job was new then; it counts if the broker counted it too.
    public func admits(_ job: Job, deliveries: Int) async -> Bool {
        let gone: Set<String>
        do {
            let others = try await ports.store.tries(job, by: instance)
            guard others.count >= Self.limit - 1 else { return true }
            gone = Set(others).subtracting(try await ports.store.workers().map(\.instance))
        } catch {
            return true
        }
        let deaths = gone.count + (deliveries > gone.count ? 1 : 0)
        guard gone.count >= Self.limit - 1, deaths >= Self.limit else { return true }
        await stop(job, deaths: deaths)
        return false
    }

    /// A job that was delivered before has ended, however.
    public func ended(_ job: Job) async { try? await ports.store.tried(job) }

    private func stop(_ job: Job, deaths: Int) async {
        let names = "it was begun \(deaths) times, and no worker came back from it"
        guard let upload = try? await ports.store.upload(job.upload) else { return }
        let attempt = (try? await ports.store.attempt(of: job)) ?? 0
        _ = await ports.settle(.permanent(Failure(.poison, names)), of: job, upload: upload, attempt: attempt)
        await ended(job)
    }
}
