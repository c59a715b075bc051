// The way of jobs from the outbox to the broker: at once after the change that recorded them, or later by the relay.

internal import Synchronization

/// Sends outbox entries and removes them once the broker has them.
///
/// The index is the record: whatever is dropped here, because the buffer is full or the process dies, is still in the
/// outbox, and is sent when it is due. So nothing here needs to be waited for before a client is answered.
public final class OutboxRelay: Sendable {
    private let store: any UploadStore
    private let queue: any JobQueue
    private let waiting = Mutex<[OutboxEntry]>([])
    private let ticks: AsyncStream<Void>
    private let tick: AsyncStream<Void>.Continuation

    /// The most entries that are sent in one go.
    public static let batch = 500
    /// The most entries that wait here; those beyond are left to the outbox.
    public static let bound = 10_000
    /// How long an entry waits that the broker did not take.
    public static let pause = Duration.seconds(2)

    /// A relay between an index and a broker.
    public init(store: any UploadStore, queue: any JobQueue) {
        self.store = store
        self.queue = queue
        (ticks, tick) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Hands over entries that were just recorded; returns at once.
    public func dispatch(_ entries: [OutboxEntry]) {
        guard !entries.isEmpty else { return }
        waiting.withLock { if $0.count < Self.bound { $0 += entries } }
        tick.yield()
    }

    /// Sends what is handed over until cancelled; to be run once.
    ///
    /// Entries of several changes that wait together travel together: the next batch forms while one is confirmed.
    public func run() async {
        for await _ in ticks {
            while !Task.isCancelled {
                let next = waiting.withLock { list in
                    let next = Array(list.prefix(Self.batch))
                    list.removeFirst(next.count)
                    return next
                }
                guard !next.isEmpty else { break }
                await send(next)
            }
        }
    }

    /// Sends entries now; answers how many the broker took. The others are moved to later.
    @discardableResult
    public func send(_ entries: [OutboxEntry]) async -> Int {
        var taken = 0
        for (target, group) in Dictionary(grouping: entries, by: \.target) {
            let results = await queue.send(group.map(\.job), to: target)
            var confirmed: [OutboxEntry] = []
            var refused: [OutboxEntry] = []
            for (entry, result) in zip(group, results) {
                if case .confirmed = result { confirmed.append(entry) } else { refused.append(entry) }
            }
            taken += confirmed.count
            // A failure here leaves the entries where they are: they are sent a second time, which is harmless.
            if !confirmed.isEmpty { try? await store.confirm(confirmed) }
            if !refused.isEmpty { try? await store.postpone(refused, by: Self.pause) }
        }
        return taken
    }

    /// Sends what is due of one target; answers how many entries there were.
    public func relayDue(of target: TargetID) async throws(StoreError) -> Int {
        guard queue.isAvailable else { return 0 }
        let due = try await store.dueEntries(of: target, limit: Self.batch)
        if !due.isEmpty { await send(due) }
        return due.count
    }
}
