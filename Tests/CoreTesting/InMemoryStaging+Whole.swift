// Small files that come and go whole, in memory.

public import Core
internal import Synchronization

extension InMemoryStaging {
    /// Publishes a part.
    public func store(
        _ bytes: some ByteChunk,
        at offset: Int64,
        of id: UploadID,
        declared: SHA256Digest?
    ) async throws(StagingError) -> StoreResult {
        try await faults.perform(.store) { () throws(StagingError) in
            try store(bytes.withUnsafeBytes { Array($0) }, at: offset, of: id, declared: declared)
        }
    }

    private func store(
        _ content: [UInt8],
        at offset: Int64,
        of id: UploadID,
        declared: SHA256Digest?
    ) throws(StagingError) -> StoreResult {
        let part = Part(offset: offset, size: Int64(content.count), digest: digest(of: content))
        if let declared, declared != part.digest { return .differs(part) }
        guard part.size <= state.withLock({ limit - $0.used - $0.reserved }) else { throw .full }
        return .published(try publish(StoredPart(part: part, bytes: content), of: id))
    }

    /// Publishes an upload's only part, and its ending.
    public func fill(
        _ id: UploadID,
        with bytes: some ByteChunk,
        declared: SHA256Digest?,
        at time: Timestamp
    ) async throws(StagingError) -> StoreResult {
        try await faults.perform(.fill) { () throws(StagingError) in
            let content = bytes.withUnsafeBytes { Array($0) }
            let result = try store(content, at: 0, of: id, declared: declared)
            switch result {
            case .published(.stored), .published(.alreadyStored): break
            case .published(.conflict), .differs: return result
            }
            let marker = Marker.complete(size: Int64(content.count), digest: declared, at: time)
            state.withLock { state in
                if state.uploads[id]?.markers[.complete] == nil { state.uploads[id]?.markers[.complete] = marker }
            }
            return result
        }
    }

    /// All bytes of a part, where they are intact.
    public func bytes(of part: Part, of id: UploadID) async throws(StagingError) -> (any ByteChunk)? {
        try await faults.perform(.bytes) { () throws(StagingError) in
            let stored = state.withLock { $0.uploads[id]?.parts[part.offset] }
            guard let stored, stored.part == part, isIntact(stored) else { return nil }
            return Bytes(stored.bytes)
        }
    }
}
