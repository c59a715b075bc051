// Bringing an upload back into the index from what staging says, with the jobs that it needs.

/// Reads uploads from staging into the index.
struct RestoreUpload: Sendable {
    let store: any UploadStore
    let relay: OutboxRelay

    /// Brings one upload back, or up to what staging says; nil where its path is another's by now.
    ///
    /// A merge job is recorded with it, which records the ship jobs where whoever restores dies before that is done.
    func restore(_ staged: StagedUpload) async throws(StoreError) -> Upload? {
        guard case .applied(let upload, let entries) = try await store.restore(staged.withoutLateParts) else {
            return nil
        }
        guard upload.state.isShippable else {
            relay.dispatch(entries)
            return upload
        }
        try await requeueShips(of: upload.id)
        if !entries.isEmpty { try await store.confirm(entries) }
        return upload
    }

    /// Records the ship jobs of all parts that are received and not on the target, page by page.
    func requeueShips(of id: UploadID) async throws(StoreError) {
        var offset: Int64? = 0
        while let from = offset {
            let page = try await store.requeueShips(of: id, from: from, limit: OutboxRelay.batch)
            relay.dispatch(page.entries)
            offset = page.next
        }
    }
}
