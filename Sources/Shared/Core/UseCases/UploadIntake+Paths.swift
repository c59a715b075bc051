// Uploads found by their path instead of their identifier: for clients that know no identifiers.

/// Who holds a path, as one owner is told.
public enum PathHolder: Hashable, Sendable {
    /// An upload of the owner's own: unfinished, or ended and not cleaned away yet.
    case own(Upload)
    /// Somebody else; who is not told.
    case somebody
    /// Nobody.
    case nobody
}

extension UploadIntake {
    /// How long a path that nobody holds is looked at again before that is believed: an upload may just be taking the
    /// place of another.
    static let holderPatience = Duration.milliseconds(500)

    /// Who holds a path. `nobody` is only answered from an index that is staging's, and not while an upload is being
    /// created anew with another part size.
    public func holder(
        of path: TargetPath,
        on target: TargetID,
        for principal: Principal
    ) async throws(IntakeError) -> PathHolder {
        let deadline = surroundings.now() + Self.holderPatience
        var isIndexSure = false
        while true {
            let found = try await asking { () throws(StoreError) in try await store.holder(of: path, on: target) }
            if let found { return found.record.owner == principal.owner ? .own(found) : .somebody }
            if isIndexSure, surroundings.now() >= deadline { return .nobody }
            // Throws where the index is empty or being read anew; then nobody knows who holds it.
            _ = try await asking { () throws(StoreError) in try await store.knows(surroundings.newUploadID()) }
            isIndexSure = true
            do { try await surroundings.sleep(.milliseconds(50)) } catch {
                throw .unavailable("the request was cancelled", retryAfter: .seconds(1))
            }
        }
    }

    /// Creates an upload of which nothing was received anew, with another part size; its identifier changes. Nil where
    /// something was received meanwhile, or somebody else was faster: then look again.
    ///
    /// - Parameter metadata: the client's notes from then on.
    public func resized(
        _ upload: Upload,
        partSize: Int64,
        metadata: [String: String],
        for principal: Principal
    ) async throws(IntakeError) -> Upload? {
        guard PartLayout.partSizes.contains(partSize) else {
            throw .wrongPartSize(expected: PartLayout.partSizes, received: partSize)
        }
        guard upload.record.owner == principal.owner else { throw .notFound }
        guard try await takeBack(upload, for: principal) else { return nil }
        let record = upload.record
        let creation = try await create(
            CreateRequest(
                target: record.target.description,
                path: record.path.description,
                size: record.size,
                partSize: partSize,
                digest: record.digest,
                overwrite: record.overwrite,
                fingerprint: record.fingerprint,
                metadata: metadata,
                attributes: record.attributes,
                idempotencyKey: record.idempotencyKey,
                probes: false,
                isHashed: true
            ),
            for: principal
        )
        return creation.upload
    }
}
