// What the janitor of staging does: what crashed processes left is removed, and what only staging knows is brought back.

/// Looks after staging.
public struct TendStaging: Sendable {
    private let ports: WorkPorts
    private let configured: Set<TargetID>?

    /// What is younger may still be in somebody's hands.
    public static let leftoverAge = Duration.seconds(86_400)
    /// The age from which an upload that the index does not know is nobody's, and one that has no record yet. Whoever was
    /// to create it may only be slow, and is kept from it.
    public static let strayAge = Duration.seconds(30)
    /// How far back the young ones are looked for.
    public static let youth = Duration.seconds(1_800)

    /// How long the end of a discarded upload is kept: longer than what an index may lose of its past when it dies.
    public static let endAge = Duration.seconds(60)

    /// The janitor's work on staging.
    ///
    /// - Parameter configured: the targets that there are; nil where that is not known.
    public init(_ ports: WorkPorts, configured: Set<TargetID>? = nil) {
        self.ports = ports
        self.configured = configured
    }

    /// Removes unfinished parts and half-deleted uploads; answers how many.
    public func sweep() async throws(StagingError) -> Int {
        try await ports.staging.sweep(olderThan: Self.leftoverAge)
    }

    /// Removes uploads whose creation did not come as far as a record; answers how many.
    public func sweepUnborn() async throws(StagingError) -> Int {
        try await ports.staging.sweepUnborn(olderThan: Self.strayAge)
    }

    /// Deletes what is kept of uploads that were discarded a while ago; answers of how many.
    ///
    /// Only what an index knows that was staging's at the time: one that died since may have forgotten it.
    public func forget() async throws(IntakeError) -> Int {
        let time = ports.surroundings.now() - Self.endAge
        let epoch = try await staged { () throws(StagingError) in try await ports.staging.epoch() }
        guard try await asking({ () throws(StoreError) in try await ports.store.condition(epoch: epoch) }) == .current
        else { return 0 }
        return try await staged { () throws(StagingError) in try await ports.staging.forget(discardedBefore: time) }
    }

    /// Goes through all uploads of staging and settles those that the index does not know: one with parts or endings
    /// is brought back, for somebody may have been told that they are safe; one with nothing was never answered. An
    /// index that is empty or being rebuilt knows nothing, and settles nothing. An upload that has ended and whose
    /// target is not configured any more is cleaned up here, for nobody takes jobs of that target.
    ///
    /// - Parameter onlyYoung: looks only at those that were touched lately, which costs little.
    public func reconcile(onlyYoung: Bool = false) async throws(IntakeError) -> (restored: Int, discarded: Int) {
        var counts = (restored: 0, discarded: 0)
        var last: UploadID?
        let since = onlyYoung ? ports.surroundings.now() - Self.youth : nil
        while !Task.isCancelled {
            let page = try await staged { () throws(StagingError) in
                try await ports.staging.uploads(after: last, touchedSince: since, limit: TendTarget.page)
            }
            for id in page {
                if try await asking({ () throws(StoreError) in try await ports.store.knows(id) }) {
                    try await cleanIfNobodyElse(id)
                    continue
                }
                guard let found = try await read(id),
                    ports.surroundings.now() - found.record.createdAt >= Self.strayAge
                else { continue }
                if found.parts.isEmpty, found.markers.isEmpty {
                    guard try await asking({ () throws(StoreError) in try await ports.store.forbid(id) }) else {
                        continue
                    }
                    try await staged { () throws(StagingError) in try await ports.staging.discard(id) }
                    counts.discarded += 1
                } else if try await restore(found) {
                    counts.restored += 1
                }
            }
            last = page.last
            guard last != nil, (try? await ports.surroundings.sleep(TendTarget.pause)) != nil else { break }
        }
        return counts
    }

    private func cleanIfNobodyElse(_ id: UploadID) async throws(IntakeError) {
        guard let configured,
            let upload = try await asking({ () throws(StoreError) in try await ports.store.upload(id) }),
            upload.state.isEnded, !configured.contains(upload.record.target)
        else { return }
        _ = await CleanUpload(ports).perform(id)
    }

    private func restore(_ found: StagedUpload) async throws(IntakeError) -> Bool {
        try await asking { () throws(StoreError) in
            try await RestoreUpload(store: ports.store, relay: ports.relay).restore(found)
        } != nil
    }

    /// A record that cannot be read is a newer program's, or damaged: left alone.
    private func read(_ id: UploadID) async throws(IntakeError) -> StagedUpload? {
        do { return try await ports.staging.read(id) } catch {
            if case .unreadable = error { return nil }
            throw IntakeError(error)
        }
    }
}
