// A staged part, open for reading.

internal import Core
internal import Glibc
internal import NIOCore
internal import Synchronization

/// Reads a published part by position; the file stays readable even while its upload is discarded.
final class DiskPartReader: PartReader {
    let part: Part
    private let file: Mutex<Descriptor?>
    private let path: String
    private let pool: BlockingPool

    init(_ part: Part, file: Descriptor, path: String, pool: BlockingPool) {
        self.part = part
        self.file = Mutex(file)
        self.path = path
        self.pool = pool
    }

    func read(at position: Int64, count: Int) async throws(StagingError) -> any ByteChunk {
        guard position >= 0, position <= part.size, count >= 0 else {
            throw .failed("read \(path): \(count) bytes at \(position) are outside the part")
        }
        let wanted = Int(min(Int64(count), part.size - position))
        let file = try opened()
        return try await pool.run { [path] () throws(StagingError) in
            var buffer = ByteBufferAllocator().buffer(capacity: wanted)
            try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { memory throws(StagingError) in
                try file.read(into: UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted]), at: position, path)
            }
            return buffer
        }
    }

    func isIntact() async throws(StagingError) -> Bool {
        let hash = try PartHash(largest: part.size)
        do {
            try await feed(hash)
        } catch .wrongLength(_, _) {
            return false
        } catch {
            throw error
        }
        return try await pool.run { [part] () throws(StagingError) in try hash.finish() == part.digest }
    }

    /// Gives all of the part to a hash.
    func feed(_ hash: PartHash) async throws(StagingError) {
        let file = try opened()
        var position: Int64 = 0
        repeat {
            guard !Task.isCancelled else { throw .failed("read \(path): cancelled") }
            let start = position
            position = try await pool.run { [part, path] () throws(StagingError) in
                try hash.take(part, from: start, file, path)
            }
        } while position < part.size
    }

    func close() async { file.withLock { $0 = nil } }

    private func opened() throws(StagingError) -> Descriptor {
        guard let file = file.withLock({ $0 }) else { throw .failed("read \(path) after it was closed") }
        return file
    }
}

/// The hash of staged parts, in steps.
///
/// Unchecked: it is made for one caller, who takes one step after the other.
final class PartHash: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer
    private let hasher: SHA256Hasher

    init(largest size: Int64) throws(StagingError) {
        do {
            hasher = try SHA256Hasher()
        } catch {
            throw .failed("hash a part: \(error)")
        }
        memory = .allocate(byteCount: Int(min(1 << 20, max(size, 1))), alignment: 4_096)
    }

    deinit { memory.deallocate() }

    /// Takes bytes of a part from a position on, about 8 MiB so that a large part leaves the thread to others in
    /// between; answers where to go on. A file that is not as long as its part throws `wrongLength`.
    func take(_ part: Part, from start: Int64, _ file: Descriptor, _ path: String) throws(StagingError) -> Int64 {
        let size = try file.facts(path).size
        guard size == part.size else { throw .wrongLength(expected: part.size, received: size) }
        let end = min(part.size, start + 8 << 20)
        var position = start
        while position < end {
            let wanted = Int(min(Int64(memory.count), end - position))
            let count = try file.read(into: .init(rebasing: memory[..<wanted]), at: position, path)
            guard count == wanted else {
                throw .wrongLength(expected: part.size, received: position + Int64(count))
            }
            do {
                try hasher.update(UnsafeRawBufferPointer(rebasing: memory[..<count]))
            } catch {
                throw .failed("hash \(path): \(error)")
            }
            position += Int64(count)
        }
        return position
    }

    /// The digest of all that was taken.
    func finish() throws(StagingError) -> SHA256Digest {
        do {
            return try hasher.finish()
        } catch {
            throw .failed("hash a part: \(error)")
        }
    }

    /// Whether a part's bytes have its digest.
    func isIntact(_ part: Part, _ file: Descriptor, _ path: String) throws(StagingError) -> Bool {
        do {
            var position: Int64 = 0
            repeat { position = try take(part, from: position, file, path) } while position < part.size
            return try finish() == part.digest
        } catch .wrongLength(_, _) {
            return false
        } catch {
            throw error
        }
    }
}
