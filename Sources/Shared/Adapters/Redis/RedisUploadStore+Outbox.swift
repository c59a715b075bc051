// The outbox: jobs that were recorded and must be sent.

public import Core
internal import Redis

extension RedisUploadStore {
    /// Entries of a target that are due, oldest first.
    public func dueEntries(of target: TargetID, limit: Int) async throws(StoreError) -> [OutboxEntry] {
        let arguments = [RedisArgument(min(max(limit, 1), Self.page))]
        let reply = try await change(UploadScripts.due, [keys.outbox(target)], arguments)
        guard let values = reply.array, values.count.isMultiple(of: 2) else { throw .unreadable("due entries") }
        var entries: [OutboxEntry] = []
        for index in stride(from: 0, to: values.count, by: 2) {
            // A job of a newer program is left to that.
            guard let job = values[index].string.flatMap({ Job($0) }),
                let due = values[index + 1].string.flatMap(RESPValue.microseconds)
            else { continue }
            entries.append(OutboxEntry(job: job, target: target, due: due))
        }
        return entries
    }

    /// How many dead letters there are, and how many jobs wait in the outboxes of these targets.
    public func backlog(of targets: [TargetID]) async throws(StoreError) -> Backlog {
        let reply = try await run(UploadScripts.backlog, [keys.dead] + targets.map(keys.outbox))
        guard let counts = reply.array?.compactMap(\.integer), counts.count == targets.count + 1 else {
            throw .unreadable("what waits")
        }
        let outbox = Dictionary(zip(targets, counts.dropFirst().map(Int.init)), uniquingKeysWith: +)
        return Backlog(deadLetters: Int(counts[0]), outbox: outbox)
    }

    /// Removes entries that were sent and confirmed, where they still have the same due time.
    public func confirm(_ entries: [OutboxEntry]) async throws(StoreError) {
        try await settle(entries) { outbox, pairs throws(StoreError) in
            _ = try await run(UploadScripts.confirm, [outbox], pairs)
        }
    }

    /// Moves entries that the broker did not take to later, where they still have the same due time.
    public func postpone(_ entries: [OutboxEntry], by delay: Duration) async throws(StoreError) {
        try await settle(entries) { outbox, pairs throws(StoreError) in
            _ = try await change(UploadScripts.postpone, [outbox], [RedisArgument(delay.microseconds)] + pairs)
        }
    }

    private func settle(
        _ entries: [OutboxEntry],
        _ send: (_ outbox: String, _ pairs: [RedisArgument]) async throws(StoreError) -> Void
    ) async throws(StoreError) {
        for (target, group) in Dictionary(grouping: entries, by: \.target) {
            for start in stride(from: 0, to: group.count, by: Self.page) {
                let page = group[start..<min(start + Self.page, group.count)]
                let pairs = page.flatMap { [RedisArgument($0.job.description), RedisArgument($0.due.microseconds)] }
                try await send(keys.outbox(target), pairs)
            }
        }
    }
}
