// Small files that come and go whole, in memory.

public import Core
internal import Synchronization

extension InMemoryStaging {
    /// Publishes an upload's only part, and its ending.
    public func fill(
        _ id: UploadID,
        with bytes: some ByteChunk,
        declared: SHA256Digest?,
        at time: Timestamp
    ) async throws(StagingError) -> FillResult {
        try await faults.perform(.fill) { () throws(StagingError) in
            let content = bytes.withUnsafeBytes { Array($0) }
            let part = Part(offset: 0, size: Int64(content.count), digest: digest(of: content))
            if let declared, declared != part.digest { return .differs(part) }
            guard part.size <= state.withLock({ limit - $0.used - $0.reserved }) else { throw .full }
            if case .conflict(let first) = try publish(StoredPart(part: part, bytes: content), of: id) {
                return .conflict(first)
            }
            let marker = Marker.complete(size: part.size, digest: declared, at: time)
            state.withLock { state in
                if state.uploads[id]?.markers[.complete] == nil { state.uploads[id]?.markers[.complete] = marker }
            }
            return .stored(part)
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
