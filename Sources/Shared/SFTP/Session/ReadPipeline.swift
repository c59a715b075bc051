// Reads a range of a file in order, with several requests in flight.

internal import DequeModule
internal import NIOCore

/// A range being read. A short answer that is not the end of the file is completed before what follows is handed on.
struct ReadPipeline {
    private struct Ask {
        var reply: OneShot<Reply>
        var offset: UInt64
        var length: Int
    }

    private let file: SFTPFile
    private var position: UInt64
    private let end: UInt64
    private var asked: Deque<Ask> = []
    /// Bytes asked for at once: enough to keep the server's window busy.
    private static let inFlight = 2 * 1024 * 1024

    init(file: SFTPFile, offset: UInt64, length: UInt64) {
        self.file = file
        position = offset
        let (end, overflow) = offset.addingReportingOverflow(length)
        self.end = overflow ? .max : end
    }

    /// The next bytes, or `nil` at the end of range or file.
    mutating func next() async throws(SFTPError) -> ByteBuffer? {
        let length = file.session.capabilities.readLength
        while position < end, asked.count < max(2, Self.inFlight / length) {
            let count = Int(min(UInt64(length), end - position))
            asked.append(Ask(reply: try file.request(at: position, length: count), offset: position, length: count))
            position += UInt64(count)
        }
        guard let ask = asked.popFirst() else { return nil }
        let reply: Reply
        do throws(SFTPError) {
            reply = try await ask.reply.value()
        } catch .status(code: .endOfFile, message: _, operation: _, path: _) {
            return finish()
        } catch {
            _ = finish()
            throw error
        }
        guard case .data(let data) = reply else { throw .protocolViolation("no data in answer to read") }
        if data.readableBytes == 0 { return finish() }
        if data.readableBytes < ask.length {
            let missing = ask.offset + UInt64(data.readableBytes)
            let count = ask.length - data.readableBytes
            asked.prepend(Ask(reply: try file.request(at: missing, length: count), offset: missing, length: count))
        }
        return data
    }

    private mutating func finish() -> ByteBuffer? {
        for ask in asked { ask.reply.abandon() }
        asked.removeAll()
        position = end
        return nil
    }
}
