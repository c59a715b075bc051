// Small files that come and go whole: their only part is written, and read, in one step.

internal import Core
internal import Glibc
internal import NIOCore

extension StagingDirectory {
    func fill(
        _ id: UploadID,
        with bytes: UnsafeRawBufferPointer,
        declared: SHA256Digest?,
        at time: Timestamp
    ) throws(StagingError) -> StoreResult {
        let result = try store(bytes, at: 0, of: id, declared: declared)
        switch result {
        case .published(.stored), .published(.alreadyStored):
            _ = try mark(.complete(size: Int64(bytes.count), digest: declared, at: time), on: id)
        case .published(.conflict), .differs: break
        }
        return result
    }

    func store(
        _ bytes: UnsafeRawBufferPointer,
        at offset: Int64,
        of id: UploadID,
        declared: SHA256Digest?
    ) throws(StagingError) -> StoreResult {
        let file = try beginPart(of: id, offset: offset, size: Int64(bytes.count))
        do throws(StagingError) {
            try file.hash(bytes)
            try file.write(bytes)
            let part = try file.seal()
            if let declared, declared != part.digest {
                file.discard()
                return .differs(part)
            }
            return .published(try file.publish())
        } catch {
            file.discard()
            throw error
        }
    }

    /// All bytes of a part, read once; nil where they do not have its digest.
    func bytes(of part: Part, of id: UploadID) throws(StagingError) -> ByteBuffer? {
        let (file, path) = try openPart(part, of: id)
        let count = Int(part.size)
        guard try file.facts(path).size == part.size else { return nil }
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { memory throws(StagingError) in
            try file.read(into: UnsafeMutableRawBufferPointer(rebasing: memory[..<count]), at: 0, path)
        }
        guard buffer.readableBytes == count else { return nil }
        do {
            return try SHA256Hasher.digest(of: buffer) == part.digest ? buffer : nil
        } catch {
            throw .failed("hash \(path): \(error)")
        }
    }
}
