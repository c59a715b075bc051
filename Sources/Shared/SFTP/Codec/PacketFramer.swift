// Cuts the byte stream from the server into packets.

internal import NIOCore

/// Collects bytes and yields whole packets without their length field.
///
/// A large packet is collected in a buffer of its own, so that its data can be handed on without a copy.
struct PacketFramer {
    private var buffer = ByteBuffer()
    private static let readAhead = 32 * 1024

    /// Room for bytes from the transport: at least one byte, and not past the end of a large packet.
    ///
    /// `body` fills it and returns how many bytes it wrote, and something for the caller.
    mutating func fill<Outcome>(
        _ body: (UnsafeMutableRawBufferPointer) throws(SFTPError) -> (count: Int, Outcome)
    ) throws(SFTPError) -> Outcome {
        let wanted = max(1, missingBytes ?? Self.readAhead)
        var result: Result<Outcome, SFTPError>?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { room in
            do throws(SFTPError) {
                let (count, outcome) = try body(.init(rebasing: room.prefix(wanted)))
                result = .success(outcome)
                return count
            } catch {
                result = .failure(error)
                return 0
            }
        }
        guard let result else { throw .protocolViolation("no room to read into") }
        return try result.get()
    }

    /// Bytes the packet at the front still lacks, when it is worth reading exactly these.
    private var missingBytes: Int? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        let whole = 4 + Int(length)
        guard whole >= Self.readAhead, whole <= 4 + PacketBounds.packet, whole > buffer.readableBytes else {
            return nil
        }
        return whole - buffer.readableBytes
    }

    /// Whether a large packet is complete, so that it is to be taken before more is read.
    var holdsPacket: Bool {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return false }
        return length >= Self.readAhead && buffer.readableBytes >= 4 + Int(length)
    }

    /// The next whole packet, or `nil` when more bytes are needed.
    mutating func next() throws(SFTPError) -> ByteBuffer? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        guard length >= 1, Int(length) <= PacketBounds.packet else {
            throw .protocolViolation("packet of \(length) bytes")
        }
        guard buffer.readableBytes >= 4 + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: 4)
        if buffer.readableBytes == Int(length), buffer.readableBytes >= Self.readAhead {
            // The buffer holds exactly this packet: hand it over and begin another.
            defer { buffer = ByteBuffer() }
            return buffer
        }
        guard let bytes = buffer.readBytes(length: Int(length)) else { return nil }
        if buffer.readableBytes == 0 { buffer.clear() } else { buffer.discardReadBytes() }
        return ByteBuffer(bytes: bytes)
    }
}
