// Staging wins: an index that is empty, somebody else's or freshly restarted is read anew from staging.

/// Keeps the index in agreement with staging. One process rebuilds at a time; the others wait. Until it is done,
/// whatever changes state is refused as `rebuilding`.
public final class IndexKeeper: Sendable {
    /// What a check found or did.
    public enum Outcome: Hashable, Sendable {
        /// The index is staging's.
        case current
        /// It was read anew: so many uploads came back.
        case rebuilt(uploads: Int)
        /// Another process is reading it anew.
        case waiting
    }

    private let store: any UploadStore
    private let leases: any LeaseStore
    private let staging: any Staging
    private let relay: OutboxRelay
    private let surroundings: Surroundings
    private let holder: String

    private static let interval = Duration.seconds(5)
    private static let lease = Duration.seconds(15)
    private static let recent = Duration.seconds(600)

    /// A keeper; `holder` names this process among all.
    public init(
        store: any UploadStore,
        leases: any LeaseStore,
        staging: any Staging,
        relay: OutboxRelay,
        surroundings: Surroundings,
        holder: String
    ) {
        self.store = store
        self.leases = leases
        self.staging = staging
        self.relay = relay
        self.surroundings = surroundings
        self.holder = holder
    }

    /// Checks now, at each of these signals, and every few seconds, until cancelled.
    ///
    /// - Parameters:
    ///   - losses: signals that the index may no longer be staging's.
    ///   - tell: is told of every outcome but `current`, and of the first `current` after another.
    public func run(
        losses: AsyncStream<Void>,
        tell: @escaping @Sendable (Result<Outcome, IntakeError>) -> Void
    ) async {
        let (ticks, tick) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        tick.yield()
        await withTaskGroup { group in
            group.addTask {
                for await _ in losses { tick.yield() }
            }
            group.addTask { [surroundings] in
                while (try? await surroundings.sleep(Self.interval)) != nil { tick.yield() }
                tick.finish()
            }
            var last: Result<Outcome, IntakeError>?
            for await _ in ticks {
                var outcome = await result()
                while outcome != .success(.current), !Task.isCancelled {
                    tell(outcome)
                    last = outcome
                    guard (try? await surroundings.sleep(.milliseconds(200))) != nil else { break }
                    outcome = await result()
                }
                if outcome == .success(.current), last != outcome { tell(outcome) }
                last = outcome
            }
            group.cancelAll()
        }
    }

    private func result() async -> Result<Outcome, IntakeError> {
        do throws(IntakeError) { return .success(try await check()) } catch { return .failure(error) }
    }

    /// Looks at the index, and rebuilds it if it must be and nobody else does.
    public func check() async throws(IntakeError) -> Outcome {
        let epoch = try await staged { () throws(StagingError) in try await staging.epoch() }
        let condition = try await asking { () throws(StoreError) in try await store.condition(epoch: epoch) }
        if condition == .current { return .current }
        guard try await hold() else { return .waiting }
        // Somebody may have finished between the look and the lease.
        switch try await asking({ () throws(StoreError) in try await store.condition(epoch: epoch) }) {
        case .current:
            try? await leases.release("rebuild", holder: holder)
            return .current
        case .restarted: return try await rebuild(epoch: epoch, since: surroundings.now() - Self.recent)
        case .foreign: return try await rebuild(epoch: epoch, since: nil)
        }
    }

    /// Reads all of staging into the index, whatever condition it is in; answers how many uploads came back. To be asked
    /// again where another process is at it.
    public func rebuildAll() async throws(IntakeError) -> Outcome {
        let epoch = try await staged { () throws(StagingError) in try await staging.epoch() }
        guard try await hold() else { return .waiting }
        return try await rebuild(epoch: epoch, since: nil)
    }

    private func hold() async throws(IntakeError) -> Bool {
        try await asking { () throws(StoreError) in
            try await leases.acquire("rebuild", holder: holder, for: Self.lease)
        }
    }

    /// Renews the lease while a pass runs: however slow staging is, whoever has begun comes to the end.
    private func rebuild(epoch: String, since: Timestamp?) async throws(IntakeError) -> Outcome {
        let outcome = await withTaskGroup(of: Result<Outcome, IntakeError>?.self) { group in
            group.addTask {
                while (try? await self.surroundings.sleep(Self.lease / 3)) != nil { _ = try? await self.hold() }
                return nil
            }
            group.addTask {
                do throws(IntakeError) { return .success(try await self.pass(epoch: epoch, since: since)) } catch {
                    return .failure(error)
                }
            }
            var outcome: Result<Outcome, IntakeError>?
            for await result in group {
                if let result { outcome = result }
                group.cancelAll()
            }
            return outcome
        }
        guard let outcome else { return .waiting }
        return try outcome.get()
    }

    private func pass(epoch: String, since: Timestamp?) async throws(IntakeError) -> Outcome {
        // Ends come first: what has ended keeps no other from its path.
        var count = try await restoreEnds()
        var last: UploadID?
        while true {
            let page = try await staged { () throws(StagingError) in
                try await staging.uploads(after: last, touchedSince: since, limit: 200)
            }
            for id in page { if try await restore(id) { count += 1 } }
            // Lost to another process that took this one for dead: it does the same work, and adopts in the end.
            guard try await hold() else { return .waiting }
            guard let newLast = page.last else { break }
            last = newLast
        }
        // And last: what was cleaned away while all others were read.
        count += try await restoreEnds()
        try await asking { () throws(StoreError) in try await store.adopt(epoch: epoch) }
        try? await leases.release("rebuild", holder: holder)
        return .rebuilt(uploads: count)
    }

    /// Ends what an index that lost its last second takes for unfinished, though it has ended and is discarded already;
    /// answers how many there were.
    private func restoreEnds() async throws(IntakeError) -> Int {
        var count = 0
        for id in try await staged({ () throws(StagingError) in try await staging.discarded() }) {
            let known = try await asking { () throws(StoreError) in try await store.upload(id) }
            if known?.state.isEnded == true { continue }
            if try await restore(id, isDiscarded: true) { count += 1 }
        }
        return count
    }

    private func restore(_ id: UploadID, isDiscarded: Bool = false) async throws(IntakeError) -> Bool {
        let staged: StagedUpload
        do {
            guard let found = try await isDiscarded ? staging.readDiscarded(id) : staging.read(id) else { return false }
            staged = found
        } catch .unreadable {
            // A newer program's record, or a damaged one: left alone for whoever can read it.
            return false
        } catch {
            throw IntakeError(error)
        }
        return try await asking { () throws(StoreError) in
            try await RestoreUpload(store: store, relay: relay).restore(staged)
        } != nil
    }
}
