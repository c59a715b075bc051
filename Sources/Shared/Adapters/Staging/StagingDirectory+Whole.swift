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
    ) throws(StagingError) -> FillResult {
        let file = try beginPart(of: id, offset: 0, size: Int64(bytes.count))
        let part: Part
        do throws(StagingError) {
            try file.write(bytes)
            part = try file.seal()
            if let declared, declared != part.digest {
                file.discard()
                return .differs(part)
            }
            if case .conflict(let first) = try file.publish() { return .conflict(first) }
        } catch {
            file.discard()
            throw error
        }
        _ = try mark(.complete(size: part.size, digest: declared, at: time), on: id)
        return .stored(part)
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
