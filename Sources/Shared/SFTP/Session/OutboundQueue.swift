// Encoded packets on their way to the transport, handed out in pieces as long as it likes them.

internal import DequeModule
internal import NIOCore

/// A queue of buffers seen as one stream of bytes.
///
/// File data is passed on from where it lies; only the seams between buffers are copied, once, into a piece that
/// fills a whole SSH packet. What was offered and not taken is offered again first, byte for byte: after "would
/// block" libssh2 insists on the same bytes.
struct OutboundQueue {
    /// Largest piece libssh2 puts in one SSH packet.
    static let packetLength = 32_700

    private let pieceLength: Int
    private var segments: Deque<ByteBuffer> = []
    private var seam = ByteBuffer()

    /// - Parameter pieceLength: how much of file data is offered at once.
    init(pieceLength: Int = packetLength) { self.pieceLength = pieceLength }

    var isEmpty: Bool { seam.readableBytes == 0 && segments.isEmpty }

    mutating func append(_ buffer: ByteBuffer) {
        if buffer.readableBytes > 0 { segments.append(buffer) }
    }

    /// Offers the next bytes to `body`, which returns how many it took. Returns the same; 0 also when empty.
    mutating func offer(_ body: (UnsafeRawBufferPointer) throws(SFTPError) -> Int) throws(SFTPError) -> Int {
        if seam.readableBytes == 0 { prepareSeam() }
        if seam.readableBytes > 0 {
            let taken = try offer(seam, body)
            seam.moveReaderIndex(forwardBy: taken)
            return taken
        }
        guard let first = segments.first else { return 0 }
        let taken = try offer(first, body)
        if taken == first.readableBytes {
            segments.removeFirst()
        } else {
            segments[0].moveReaderIndex(forwardBy: taken)
        }
        return taken
    }

    /// Gathers the bytes around the next seam, unless the first buffer fills a piece, or is all there is.
    private mutating func prepareSeam() {
        guard segments.count > 1, segments[0].readableBytes < Self.packetLength else { return }
        seam.clear(minimumCapacity: Self.packetLength)
        while var first = segments.first, seam.readableBytes < Self.packetLength {
            let room = Self.packetLength - seam.readableBytes
            if first.readableBytes <= room {
                seam.writeBuffer(&first)
                segments.removeFirst()
            } else {
                if let part = first.readSlice(length: room) { seam.writeImmutableBuffer(part) }
                segments[0] = first
            }
        }
    }

    private func offer(
        _ buffer: ByteBuffer,
        _ body: (UnsafeRawBufferPointer) throws(SFTPError) -> Int
    ) throws(SFTPError) -> Int {
        let result: Result<Int, SFTPError> = buffer.withUnsafeReadableBytes { bytes in
            do throws(SFTPError) {
                return .success(try body(.init(rebasing: bytes.prefix(pieceLength))))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
