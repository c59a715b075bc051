// What the janitor of a target does: what stands still goes on, what was abandoned ends, what was left over goes.

/// Looks after the uploads of one target. Every step may be done by two at once; one at a time is enough.
public struct TendTarget: Sendable {
    private let ports: WorkPorts
    private let queue: any JobQueue
    private let target: TargetID

    /// How long an upload may stand still, beyond any retry that is recorded, before its jobs are taken for lost.
    public static let idle = Duration.seconds(30)
    /// How many uploads are looked at between two pauses.
    static let page = 200
    /// The pause between two pages.
    static let pause = Duration.milliseconds(50)

    /// The janitor's work at one target.
    public init(_ ports: WorkPorts, queue: any JobQueue, target: TargetID) {
        self.ports = ports
        self.queue = queue
        self.target = target
    }

    /// Records the jobs of uploads that stand still though nothing is left in the target's queues; answers how many.
    ///
    /// While jobs wait in a queue, slow work looks like lost work, and would only be multiplied.
    public func revive() async throws(StoreError) -> Int {
        guard await isDrained() else { return 0 }
        let busy = Set(try await ports.store.workers().flatMap(\.uploads))
        let now = ports.surroundings.now()
        var count = 0
        try await walk(UploadQuery(owner: nil, isUnfinished: true)) { upload throws(StoreError) in
            guard !busy.contains(upload.id), now - upload.updatedAt >= Self.idle else { return }
            guard case .applied(_, let entries) = try await ports.store.revive(upload.id, idleFor: Self.idle),
                !entries.isEmpty
            else { return }
            ports.relay.dispatch(entries)
            count += 1
        }
        return count
    }

    private func isDrained() async -> Bool {
        guard queue.isAvailable, let depths = await queue.depths(of: target) else { return false }
        // A queue that is not there has lost what was in it.
        return JobQueueKind.allCases.allSatisfy { depths[$0]?.messages ?? 0 == 0 }
    }

    /// Ends uploads that were abandoned: nothing came for as long as is configured; answers how many.
    public func expire() async throws(StoreError) -> Int {
        let now = ports.surroundings.now()
        var count = 0
        for state in UploadState.allCases where state.after(.expire) != nil {
            try await walk(UploadQuery(owner: nil, state: state)) { upload throws(StoreError) in
                guard upload.record.expiresAt <= now, !upload.isComplete,
                    case .applied(let expired, let entries) = try await ports.store.expire(upload.id)
                else { return }
                // Should it be lost here, the cleaner makes it before it deletes anything.
                _ = try? await ports.staging.mark(.expired(at: now), on: upload.id)
                ports.relay.dispatch(entries)
                ports.events.publish(.uploadExpired, expired)
                count += 1
            }
        }
        return count
    }

    /// Removes part files that a worker that was away may have made after their upload had ended; answers how many.
    public func sweep() async throws(StoreError) -> Int {
        guard let session = ports.target(target) else { return 0 }
        var count = 0
        for id in try await ports.store.dueSweeps(of: target, limit: Self.page) {
            if let upload = try await ports.store.upload(id), upload.state.isEnded {
                do throws(TargetError) {
                    count += try await session.removePartFiles(of: id, beside: upload.record.path, before: nil)
                } catch {
                    // The target is away, or does not let us look: later.
                    continue
                }
            }
            try await ports.store.swept(id, of: target)
        }
        return count
    }

    private func walk(
        _ query: UploadQuery,
        _ body: (Upload) async throws(StoreError) -> Void
    ) async throws(StoreError) {
        var query = query
        query.target = target
        query.limit = Self.page
        while !Task.isCancelled {
            let page = try await ports.store.uploads(query)
            for upload in page.uploads { try await body(upload) }
            query.cursor = page.next
            guard query.cursor != nil, (try? await ports.surroundings.sleep(Self.pause)) != nil else { return }
        }
    }
}
