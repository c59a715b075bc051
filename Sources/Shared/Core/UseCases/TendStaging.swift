// What the janitor of staging does: what crashed processes left is removed, and what only staging knows is brought back.

/// Looks after staging.
public struct TendStaging: Sendable {
    private let ports: WorkPorts

    /// What is younger may still be in somebody's hands.
    public static let leftoverAge = Duration.seconds(86_400)
    /// The age from which an upload that the index does not know is nobody's.
    public static let strayAge = Duration.seconds(3_600)

    /// The janitor's work on staging.
    public init(_ ports: WorkPorts) { self.ports = ports }

    /// Removes unfinished parts and half-deleted uploads; answers how many.
    public func sweep() async throws(StagingError) -> Int {
        try await ports.staging.sweep(olderThan: Self.leftoverAge)
    }

    /// Goes through all uploads of staging and settles those that the index does not know: one with parts or endings
    /// is brought back, for somebody may have been told that they are safe; one with nothing was never answered. An
    /// index that is empty or being rebuilt knows nothing, and settles nothing.
    public func reconcile() async throws(IntakeError) -> (restored: Int, discarded: Int) {
        var counts = (restored: 0, discarded: 0)
        var last: UploadID?
        while !Task.isCancelled {
            let page = try await staged { () throws(StagingError) in
                try await ports.staging.uploads(after: last, touchedSince: nil, limit: TendTarget.page)
            }
            for id in page {
                guard try await !asking({ () throws(StoreError) in try await ports.store.knows(id) }),
                    let found = try await read(id),
                    ports.surroundings.now() - found.record.createdAt >= Self.strayAge
                else { continue }
                if found.parts.isEmpty, found.markers.isEmpty {
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
