// A small file in one round trip: everything that is to be done with it is asked for at once.

public import NIOCore

/// What a server said to everything that was asked of a small file at once.
public struct SmallFileResult: Sendable {
    /// What the file has after it: as the server tells it last.
    public let attributes: FileAttributes
    /// The bytes that it gives back; nil where they were not asked for.
    public let bytes: ByteBuffer?
    /// Why the attributes were not set; nil where they were.
    public let refusal: SFTPError?
}

extension SFTPFile {
    /// The most bytes for ``writeSmall(_:setting:flushes:readsBack:)``.
    public static let smallSize = 262_144

    /// Writes all of a small file from its start, sets its attributes, flushes it, reads it back and asks what it is, all at
    /// once: a server works through the requests of a session in the order in which they came, and one that did not would
    /// be told by what it gives back.
    ///
    /// - Parameter flushes: the server must support `fsync@openssh.com`.
    ///
    /// Throws what the server said to writing, flushing or reading; a write that was refused may not have been tried in
    /// small requests, as ``write(_:at:)`` does.
    public func writeSmall(
        _ bytes: ByteBuffer,
        setting attributes: FileAttributes,
        flushes: Bool,
        readsBack: Bool
    ) async throws(SFTPError) -> SmallFileResult {
        guard bytes.readableBytes <= Self.smallSize else {
            throw .invalidArgument("\(bytes.readableBytes) bytes for a small file")
        }
        let handle = try openHandle()
        try await session.mailbox.reserve(bytes.readableBytes)
        var writes: [OneShot<Reply>] = []
        var rest = bytes
        while rest.readableBytes > 0 {
            let offset = UInt64(bytes.readableBytes - rest.readableBytes)
            guard let piece = rest.readSlice(length: min(rest.readableBytes, session.writeLength)) else { break }
            writes.append(session.ask(.write(handle, offset: offset, data: piece), "write", path))
        }
        let setting = session.ask(.fsetstat(handle, attributes), "fsetstat", path)
        let fsync = Request.extended(name: SFTPExtension.fsync, payload: Self.fsyncPayload(handle))
        let flush = flushes ? session.ask(fsync, SFTPExtension.fsync, path) : nil
        var reads: [(reply: OneShot<Reply>, length: Int)] = []
        var position = 0
        while readsBack, position < bytes.readableBytes {
            let length = min(session.capabilities.readLength, bytes.readableBytes - position)
            reads.append((try request(at: UInt64(position), length: length), length))
            position += length
        }
        let facts = session.ask(.fstat(handle), "fstat", path)

        for write in writes { _ = try await write.value() }
        var refusal: SFTPError?
        do throws(SFTPError) { _ = try await setting.value() } catch {
            guard case .status = error, !error.isConnectionLoss else { throw error }
            refusal = error
        }
        _ = try await flush?.value()
        var found = ByteBuffer()
        // Fewer than asked for, down to nothing: what is missing is not where it belongs, and comparing tells.
        for read in reads {
            do throws(SFTPError) {
                guard case .data(var data) = try await read.reply.value() else {
                    throw .protocolViolation("no data in answer to read")
                }
                found.writeBuffer(&data)
            } catch {
                guard case .status(.endOfFile, _, _, _) = error else { throw error }
            }
        }
        guard case .attributes(let now) = try await facts.value() else {
            throw .protocolViolation("no attributes in answer to fstat")
        }
        return SmallFileResult(attributes: now, bytes: readsBack ? found : nil, refusal: refusal)
    }
}
