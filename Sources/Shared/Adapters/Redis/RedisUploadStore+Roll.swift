// Who is there: workers, and what they found out about targets.

public import Core
internal import Redis

extension RedisUploadStore {
    /// Tells that a worker is alive; forgotten after `lifetime` without another.
    public func announce(_ worker: WorkerPresence, lifetime: Duration) async throws(StoreError) {
        try await announce(worker.name, try UploadFields.json(WorkerForm(worker)), keys.workers, lifetime)
    }

    /// The workers that are alive.
    public func workers() async throws(StoreError) -> [WorkerPresence] {
        try await roll(keys.workers, WorkerForm.self).map { $0.presence(seenAt: $1) }.sorted { $0.name < $1.name }
    }

    /// Keeps what a worker found out about a target.
    public func announce(_ target: TargetPresence, lifetime: Duration) async throws(StoreError) {
        let name = target.target.description
        try await announce(name, try UploadFields.json(TargetForm(target)), keys.targets, lifetime)
    }

    /// What is known about targets.
    public func targets() async throws(StoreError) -> [TargetPresence] {
        try await roll(keys.targets, TargetForm.self).compactMap { $0.presence(seenAt: $1) }
            .sorted { $0.target < $1.target }
    }

    /// How many sessions all workers together have at each of these targets now.
    public func sessions(at targets: [TargetID]) async throws(StoreError) -> [TargetID: Int] {
        let reply = try await run(UploadScripts.sessions, targets.compactMap { keys.sessions(of: $0).first })
        guard let counts = reply.array?.compactMap(\.integer), counts.count == targets.count else {
            throw .unreadable("the sessions at targets")
        }
        return Dictionary(zip(targets, counts.map(Int.init)), uniquingKeysWith: { $1 })
    }

    /// The bytes that were received and shipped in each of the last 60 minutes, oldest first.
    public func movedBytes() async throws(StoreError) -> [MovedBytes] {
        let reply = try await run(UploadScripts.moved, [keys.moved])
        let numbers = reply.array?.compactMap { $0.string.flatMap { Int64($0) } } ?? []
        guard numbers.count == 1 + 2 * MovedBytes.minutes else { throw .unreadable("the bytes of the last hour") }
        return (0..<MovedBytes.minutes).map { index in
            MovedBytes(
                minute: Timestamp(microseconds: (numbers[0] + Int64(index)) * 60_000_000),
                received: numbers[1 + 2 * index],
                shipped: numbers[2 + 2 * index]
            )
        }
    }

    private func announce(
        _ name: String,
        _ text: String,
        _ key: String,
        _ lifetime: Duration
    ) async throws(StoreError) {
        let arguments = [RedisArgument(name), RedisArgument(lifetime.microseconds), RedisArgument(text)]
        _ = try await run(UploadScripts.announce, [key], arguments)
    }

    private func roll<Form: Decodable>(
        _ key: String,
        _ form: Form.Type
    ) async throws(StoreError) -> [(Form, Timestamp)] {
        guard let values = try await run(UploadScripts.roll, [key]).array, values.count.isMultiple(of: 2) else {
            throw .unreadable("the roll at \(key)")
        }
        var found: [(Form, Timestamp)] = []
        for index in stride(from: 0, to: values.count, by: 2) {
            guard let time = values[index].string.flatMap(RESPValue.microseconds),
                let text = values[index + 1].string
            else { throw .unreadable("an entry of the roll at \(key)") }
            found.append((try UploadFields.value(form, json: text), time))
        }
        return found
    }
}

/// A worker as it is kept.
private struct WorkerForm: Codable {
    let name: String
    let host: String
    let process: Int
    let version: String
    let targets: [String]
    let jobs: Int
    let uploads: [String]?
    let startedAt: Int64

    init(_ worker: WorkerPresence) {
        name = worker.name
        host = worker.host
        process = worker.process
        version = worker.version
        targets = worker.targets.map(\.description)
        jobs = worker.jobs
        uploads = worker.uploads.map(\.description)
        startedAt = worker.startedAt.microseconds
    }

    func presence(seenAt: Timestamp) -> WorkerPresence {
        WorkerPresence(
            name: name,
            host: host,
            process: process,
            version: version,
            targets: targets.compactMap { TargetID($0) },
            jobs: jobs,
            uploads: (uploads ?? []).compactMap { UploadID($0) },
            startedAt: Timestamp(microseconds: startedAt),
            seenAt: seenAt
        )
    }
}

/// What is known about a target, as it is kept.
private struct TargetForm: Codable {
    let target: String
    let reachable: Bool
    let breaker: String?
    let facts: [String: String]
    let error: String?

    init(_ presence: TargetPresence) {
        target = presence.target.description
        reachable = presence.reachable
        breaker = presence.breaker.rawValue
        facts = presence.facts
        error = presence.error
    }

    func presence(seenAt: Timestamp) -> TargetPresence? {
        TargetID(target).map {
            TargetPresence(
                target: $0,
                reachable: reachable,
                breaker: breaker.flatMap { BreakerState(rawValue: $0) } ?? .closed,
                facts: facts,
                error: error,
                seenAt: seenAt
            )
        }
    }
}
