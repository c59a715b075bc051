// The file that is uploaded: read in ranges, hashed in order, and known by a fingerprint.

internal import Core
internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// An open file. Its descriptor lives as long as the last user.
final class LocalFile: Sendable {
    let path: String
    let name: String
    let size: Int64
    private let descriptor: Int32
    private let modified: Int64

    /// How much is read at once, in bytes.
    private static let piece = 512 * 1_024

    init(_ path: String) throws(CommandFailure) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure(.usage, "\(path): \(String(cString: strerror(errno)))") }
        let status: stat
        do { status = try Self.status(of: descriptor, path) } catch {
            close(descriptor)
            throw error
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CommandFailure(.usage, "\(path) is not a regular file")
        }
        self.path = path
        name = path.split(separator: "/").last.map(String.init) ?? path
        size = Int64(status.st_size)
        modified = Self.nanoseconds(status)
    }

    deinit { close(descriptor) }

    /// When it was last changed; nil where a target cannot be told such a time.
    var modifiedAt: Timestamp? {
        let time = Timestamp(microseconds: modified / 1_000)
        return FinalAttributes.times.contains(time) ? time : nil
    }

    /// Name, size and time: the mark by which an interrupted upload is found again.
    var fingerprint: String { String("\(size):\(modified):\(name)".prefix(400)) }

    /// Whether the file still is what it was when it was opened.
    var isUnchanged: Bool {
        guard let status = try? Self.status(of: descriptor, path) else { return false }
        return Int64(status.st_size) == size && Self.nanoseconds(status) == modified
    }

    private static func status(of descriptor: Int32, _ path: String) throws(CommandFailure) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CommandFailure(.failed, "\(path): \(String(cString: strerror(errno)))")
        }
        return status
    }

    private static func nanoseconds(_ status: stat) -> Int64 {
        Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    /// Up to `count` bytes at an offset, read on a thread that may block.
    private func read(at offset: Int64, count: Int) async throws -> ByteBuffer {
        try await NIOThreadPool.singleton.runIfActive { [self] in
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            let taken = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
                while true {
                    let taken = pread(descriptor, room.baseAddress, count, off_t(offset))
                    if taken >= 0 { return taken }
                    guard errno == EINTR else {
                        throw CommandFailure(.failed, "\(path): \(String(cString: strerror(errno)))")
                    }
                }
            }
            guard taken > 0 else { throw CommandFailure(.failed, "\(path) became shorter while it was read") }
            return buffer
        }
    }

    /// A range of the file as a stream of pieces.
    func pieces(at offset: Int64, count: Int64) -> Pieces { Pieces(file: self, offset: offset, count: count) }

    /// See `pieces`.
    struct Pieces: AsyncSequence, Sendable {
        let file: LocalFile
        let offset: Int64
        let count: Int64
        /// All of it, where it was read before.
        fileprivate(set) var held: [ByteBuffer] = []

        func makeAsyncIterator() -> Iterator {
            Iterator(file: file, held: held[...], position: offset, end: offset + count)
        }

        struct Iterator: AsyncIteratorProtocol {
            let file: LocalFile
            var held: ArraySlice<ByteBuffer>
            var position: Int64
            let end: Int64

            mutating func next() async throws -> ByteBuffer? {
                guard position < end else { return nil }
                if let piece = held.popFirst() {
                    position += Int64(piece.readableBytes)
                    return piece
                }
                let buffer = try await file.read(
                    at: position,
                    count: Int(Swift.min(Int64(LocalFile.piece), end - position))
                )
                position += Int64(buffer.readableBytes)
                return buffer
            }
        }
    }

    /// The SHA-256 of the whole file, read in order.
    func sha256() async throws -> SHA256Digest {
        let digest = try FileDigest()
        for try await piece in pieces(at: 0, count: size) {
            try Task.checkCancellation()
            try digest.take(piece)
        }
        return try digest.finish()
    }

    /// A range with its SHA-256: held since then, or read a second time when it is sent.
    func part(at offset: Int64, count: Int64, isHeld: Bool) async throws -> (digest: SHA256Digest, pieces: Pieces) {
        let digest = try FileDigest()
        var pieces = pieces(at: offset, count: count)
        var held: [ByteBuffer] = []
        for try await piece in pieces {
            try Task.checkCancellation()
            try digest.take(piece)
            if isHeld { held.append(piece) }
        }
        pieces.held = held
        return (try digest.finish(), pieces)
    }
}
