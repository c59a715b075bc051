// OperationDocuments: what an operator asks for, and what probes of health are told.

import Core

/// The configured targets with what workers found out about them.
struct TargetsDocument: Encodable {
    struct Target: Encodable {
        var id: String
        var presence: TargetPresence?
        /// What all workers together have open now.
        var sessions: Int

        private enum Key: String, CodingKey { case id, reachable, breaker, sessions, facts, error, seenAt }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(id, forKey: .id)
            try container.encode(presence?.reachable, forKey: .reachable)
            try container.encode(presence?.breaker.rawValue, forKey: .breaker)
            try container.encode(sessions, forKey: .sessions)
            try container.encode(presence?.facts ?? [:], forKey: .facts)
            try container.encode(presence?.error, forKey: .error)
            try container.encode(presence?.seenAt.description, forKey: .seenAt)
        }
    }

    var targets: [Target]
}

/// The workers that are alive.
struct WorkersDocument: Encodable {
    struct Worker: Encodable {
        var name: String
        var host: String
        var process: Int
        var version: String
        var targets: [String]
        var jobs: Int
        var uploads: [String]
        var startedAt: String
        var seenAt: String

        init(_ worker: WorkerPresence) {
            name = worker.name
            host = worker.host
            process = worker.process
            version = worker.version
            targets = worker.targets.map(\.description)
            jobs = worker.jobs
            uploads = worker.uploads.map(\.description)
            startedAt = worker.startedAt.description
            seenAt = worker.seenAt.description
        }
    }

    var workers: [Worker]
}

/// The queues of all targets; numbers are null where the broker cannot say.
struct QueuesDocument: Encodable {
    struct Queue: Encodable {
        var target: String
        var kind: String
        var depth: QueueDepth?

        private enum Key: String, CodingKey { case target, kind, messages, consumers }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(target, forKey: .target)
            try container.encode(kind, forKey: .kind)
            try container.encode(depth?.messages, forKey: .messages)
            try container.encode(depth?.consumers, forKey: .consumers)
        }
    }

    /// Whether jobs can be sent now.
    var available: Bool
    var queues: [Queue]
}

/// What was moved in each of the last 60 minutes, oldest first.
struct ThroughputDocument: Encodable {
    struct Minute: Encodable {
        var at: String
        var receivedBytes: Int64
        var shippedBytes: Int64

        init(_ moved: MovedBytes) {
            at = moved.minute.description
            receivedBytes = moved.received
            shippedBytes = moved.shipped
        }
    }

    var minutes: [Minute]
}

/// Whether this process can do its work, and what of it cannot.
struct ReadinessDocument: Encodable {
    struct Check: Encodable {
        var ok: Bool
        var detail: String
    }

    /// `ready`, `degraded` (uploads are accepted, jobs wait) or `unavailable`.
    var status: String
    var checks: [String: Check]
}
