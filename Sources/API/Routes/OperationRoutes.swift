// OperationRoutes: what operators ask for: targets, workers, queues.

import Core
import Hummingbird
import HummingbirdCore

extension Problem {
    /// A question to the index that got no answer.
    init(_ error: StoreError) {
        let retry: Duration = .seconds(2)
        switch error {
        case .unavailable(let reason): self.init(IntakeError.unavailable(reason, retryAfter: retry))
        case .rebuilding: self.init(IntakeError.unavailable("the index is being rebuilt", retryAfter: retry))
        case .full: self.init(IntakeError.unavailable("the index has no memory left", retryAfter: .seconds(10)))
        case .unreadable(let what): self.init(IntakeError.internal("the index holds something unreadable: \(what)"))
        }
    }
}

/// Routes for operators.
struct OperationRoutes {
    let services: APIServices

    func targets() async throws -> Response {
        let presences: [TargetPresence]
        let sessions: [TargetID: Int]
        do {
            presences = try await services.store.targets()
            sessions = try await services.store.sessions(at: services.targets)
        } catch {
            throw Problem(error)
        }
        let known = Dictionary(presences.map { ($0.target, $0) }, uniquingKeysWith: { $0.seenAt > $1.seenAt ? $0 : $1 })
        let targets = services.targets.map {
            TargetsDocument.Target(id: $0.description, presence: known[$0], sessions: sessions[$0] ?? 0)
        }
        return try JSON.response(TargetsDocument(targets: targets))
    }

    func workers() async throws -> Response {
        do {
            let workers = try await services.store.workers().sorted { $0.name < $1.name }
            return try JSON.response(WorkersDocument(workers: workers.map(WorkersDocument.Worker.init)))
        } catch let error as StoreError {
            throw Problem(error)
        }
    }

    func throughput() async throws -> Response {
        let minutes: [MovedBytes]
        do { minutes = try await services.store.movedBytes() } catch { throw Problem(error) }
        return try JSON.response(ThroughputDocument(minutes: minutes.map(ThroughputDocument.Minute.init)))
    }

    func queues() async throws -> Response {
        var queues: [QueuesDocument.Queue] = []
        for target in services.targets {
            let depths = services.queue.isAvailable ? await services.queue.depths(of: target) : nil
            for kind in JobQueueKind.allCases {
                queues.append(.init(target: target.description, kind: kind.rawValue, depth: depths?[kind]))
            }
        }
        return try JSON.response(QueuesDocument(available: services.queue.isAvailable, queues: queues))
    }
}
