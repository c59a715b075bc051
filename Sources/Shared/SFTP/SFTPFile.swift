// An open file on the server.

public import NIOCore
internal import Synchronization

/// An open file. Copies share one handle; it is closed by ``close()``, or when the last copy goes.
public struct SFTPFile: Sendable {
    let session: SFTPSession
    private let handle: OpenHandle
    /// The path it was opened by.
    public let path: String

    init(session: SFTPSession, handle: HandleBytes, path: String) {
        self.session = session
        self.handle = OpenHandle(handle, mailbox: session.mailbox, path: path)
        self.path = path
    }

    /// Whether requests can still be made.
    public var isAlive: Bool { session.isAlive }
    /// What its server said it is and can do.
    public var capabilities: ServerCapabilities { session.capabilities }

    // MARK: Writing

    /// Writes `bytes` at `offset`; returns when the server has confirmed all of it.
    ///
    /// Suspends while the session's queue is full. Longer data than one request takes is sent as several at once.
    public func write(_ bytes: ByteBuffer, at offset: UInt64) async throws(SFTPError) {
        let tally = WriteTally()
        do throws(SFTPError) {
            try await send(bytes, at: offset, turn: nil, tally)
            try await finish(tally)
        } catch {
            tally.abandon()
            throw error
        }
    }

    /// Writes the pieces that `next` yields, one after the other from `offset` on; `nil` ends.
    ///
    /// Pieces of up to ``SFTPSession/writeLength`` bytes travel without being copied. Many are in flight: when `next` is
    /// asked again, the piece before need not be written yet. Returns the number of bytes, once all are confirmed.
    ///
    /// Of several such calls over one session the one that began first goes first, ``slice`` by slice.
    ///
    /// - Parameter attributes: what the file gets behind the last piece, as far as the server lets it; in the same round trip
    ///   where the server is OpenSSH, which does what it is asked for in that order.
    ///
    /// Throws `SFTPError`, or what `next` throws. What was written by then is not undone.
    @discardableResult
    public func write(
        at offset: UInt64,
        thenSetting attributes: FileAttributes? = nil,
        from next: () async throws -> ByteBuffer?
    ) async throws -> UInt64 {
        let tally = WriteTally()
        do {
            let length = try await pour(at: offset, tally, from: next)
            var setting: OneShot<Reply>?
            if let attributes, session.capabilities.isOpenSSH {
                setting = session.ask(.fsetstat(try handle.open(), attributes), "fsetstat", path)
            }
            let wasRefused = try await finish(tally)
            _ = await setting?.result()
            if let attributes, setting == nil || wasRefused { try? await setAttributes(attributes) }
            return length
        } catch {
            tally.abandon()
            throw error
        }
    }

    /// Writes as ``write(at:thenSetting:from:)`` does, and closes the file behind the last piece, all in one round trip; for
    /// servers that do what they are asked for in that order. What was refused is not sent again in smaller requests, as
    /// ``write(at:thenSetting:from:)`` would: it throws what the server said, and the file may be open still.
    ///
    /// - Parameter flushes: has the server flush the file before; it must support `fsync@openssh.com`.
    @discardableResult
    public func writeAndClose(
        at offset: UInt64,
        thenSetting attributes: FileAttributes? = nil,
        flushing flushes: Bool = false,
        from next: () async throws -> ByteBuffer?
    ) async throws -> UInt64 {
        let tally = WriteTally()
        do {
            let length = try await pour(at: offset, tally, from: next)
            let handle = try handle.open()
            var breath = Breath()
            let setting = attributes.map { breath.ask(.fsetstat(handle, $0), "fsetstat", path) }
            let flush = flushes ? breath.ask(Self.flush(handle), SFTPExtension.fsync, path) : nil
            let closing = self.handle.close(in: &breath)
            session.send(breath)
            // The last answer first: all others are there by then.
            let closed = await closing?.result()
            try await tally.drained()
            if let refusal = tally.refusal { throw refusal }
            _ = await setting?.result()
            _ = try await flush?.value()
            _ = try closed?.get()
            return length
        } catch {
            tally.abandon()
            throw error
        }
    }

    /// After how many bytes a stream lets others go first.
    public static let slice = 64 << 20

    private func pour(
        at offset: UInt64,
        _ tally: WriteTally,
        from next: () async throws -> ByteBuffer?
    ) async throws -> UInt64 {
        var turn = session.mailbox.beginStream()
        defer { session.mailbox.endStream(turn) }
        var position = offset
        var left = Self.slice
        while let piece = try await next() {
            try await send(piece, at: position, turn: turn, tally)
            position += UInt64(piece.readableBytes)
            left -= piece.readableBytes
            guard left <= 0 else { continue }
            session.mailbox.endStream(turn)
            turn = session.mailbox.beginStream()
            left = Self.slice
        }
        return position - offset
    }

    private func send(
        _ bytes: ByteBuffer,
        at offset: UInt64,
        turn: Int?,
        _ tally: WriteTally
    ) async throws(SFTPError) {
        var rest = bytes
        var position = offset
        while rest.readableBytes > 0 {
            let length = min(rest.readableBytes, session.writeLength)
            guard let piece = rest.readSlice(length: length) else { return }
            try await session.mailbox.reserve(length, turn: turn)
            submit(piece, at: position, try handle.open(), tally)
            position += UInt64(length)
            if let failure = tally.failure { throw failure }
            if tally.hasRefused { try await repeatRefused(tally) }
        }
    }

    private func submit(_ piece: ByteBuffer, at offset: UInt64, _ handle: HandleBytes, _ tally: WriteTally) {
        let tag = tally.begin(piece, at: offset)
        session.mailbox.submit(
            Submission(
                request: .write(handle, offset: offset, data: piece),
                operation: "write",
                path: path,
                receiver: tally,
                tag: tag
            )
        )
    }

    /// Waits for all answers; whether some pieces had to be sent again.
    @discardableResult
    private func finish(_ tally: WriteTally) async throws(SFTPError) -> Bool {
        try await tally.drained()
        guard tally.hasRefused else { return false }
        try await repeatRefused(tally)
        return true
    }

    /// Some servers announce more than they take: what failed in large requests is sent again in small ones.
    private func repeatRefused(_ tally: WriteTally) async throws(SFTPError) {
        for refused in tally.takeRefused() {
            var rest = refused.bytes
            var position = refused.offset
            while let piece = rest.readSlice(length: min(rest.readableBytes, ServerCapabilities.safeLength)),
                piece.readableBytes > 0
            {
                try await session.mailbox.reserve(piece.readableBytes)
                let request = Request.write(try handle.open(), offset: position, data: piece)
                try await session.expectStatus(request, "write", path)
                // The small one went through where the large one did not: stay small.
                session.mailbox.writeLength.store(ServerCapabilities.safeLength, ordering: .relaxed)
                position += UInt64(piece.readableBytes)
            }
        }
        try await tally.drained()
        if tally.hasRefused { try await repeatRefused(tally) }
    }

    // MARK: Reading

    /// Up to `length` bytes from `offset` on; fewer only at the end of the file.
    public func read(at offset: UInt64, length: Int) async throws(SFTPError) -> ByteBuffer {
        guard length >= 0 else { throw .invalidArgument("a length of \(length)") }
        var all = ByteBuffer()
        var pipeline = ReadPipeline(file: self, offset: offset, length: UInt64(length))
        while var piece = try await pipeline.next() {
            if all.readableBytes == 0 { all = piece } else { all.writeBuffer(&piece) }
        }
        return all
    }

    /// Hands the bytes from `offset` on to `consume`, in order, with several requests in flight.
    ///
    /// Stops at the end of the file; returns the number of bytes read. Throws `SFTPError`, or what `consume` throws.
    @discardableResult
    public func read(
        at offset: UInt64,
        length: UInt64,
        into consume: (ByteBuffer) async throws -> Void
    ) async throws -> UInt64 {
        var pipeline = ReadPipeline(file: self, offset: offset, length: length)
        var count: UInt64 = 0
        while let piece = try await pipeline.next() {
            count += UInt64(piece.readableBytes)
            try await consume(piece)
        }
        return count
    }

    /// Asks for one range, at most one request long.
    func request(at offset: UInt64, length: Int) throws(SFTPError) -> OneShot<Reply> {
        let reply = OneShot<Reply>()
        let request = Request.read(try handle.open(), offset: offset, length: UInt32(length))
        session.mailbox.submit(Submission(request: request, operation: "read", path: path, receiver: reply))
        return reply
    }

    // MARK: The file itself

    /// Has the server flush the file to its disk (`fsync@openssh.com`).
    public func fsync() async throws(SFTPError) {
        _ = try await session.extended(SFTPExtension.fsync, Self.fsyncPayload(try handle.open()), path: path)
    }

    /// The request that flushes.
    static func flush(_ handle: HandleBytes) -> Request {
        .extended(name: SFTPExtension.fsync, payload: fsyncPayload(handle))
    }

    private static func fsyncPayload(_ handle: HandleBytes) -> ByteBuffer {
        var payload = ByteBuffer()
        payload.writeHandle(handle)
        return payload
    }

    /// The handle's bytes, while it is open.
    func openHandle() throws(SFTPError) -> HandleBytes { try handle.open() }

    /// Attributes of the open file.
    public func fstat() async throws(SFTPError) -> FileAttributes {
        try await session.expectAttributes(.fstat(handle.open()), "fstat", path)
    }

    /// Changes the attributes that are not `nil`; a size truncates or extends.
    public func setAttributes(_ attributes: FileAttributes) async throws(SFTPError) {
        try await session.expectStatus(.fsetstat(handle.open(), attributes), "fsetstat", path)
    }

    /// Has the server copy from another open file of the same session (`copy-data`); `length` 0 means to its end.
    public func copyData(
        from source: SFTPFile,
        sourceOffset: UInt64,
        length: UInt64,
        at offset: UInt64
    ) async throws(SFTPError) {
        guard source.session === session else { throw .invalidArgument("copy between two sessions") }
        var payload = ByteBuffer()
        payload.writeHandle(try source.handle.open())
        payload.writeMultipleIntegers(sourceOffset, length)
        payload.writeHandle(try handle.open())
        payload.writeInteger(offset)
        _ = try await session.extended(SFTPExtension.copyData, payload, path: "\(source.path) → \(path)")
    }

    /// Gives the handle back without waiting for the server's word; a second call does nothing.
    public func release() { handle.release() }

    /// The same with other requests.
    func release(in breath: inout Breath) { handle.release(in: &breath) }

    /// Gives the handle back; a second call does nothing.
    ///
    /// - Parameter flushes: has the server flush the file first, in the same round trip where it is OpenSSH; it must support
    ///   `fsync@openssh.com`.
    public func close(flushing flushes: Bool = false) async throws(SFTPError) {
        guard flushes, session.capabilities.isOpenSSH else {
            if flushes { try await fsync() }
            return try await handle.close()
        }
        var breath = Breath()
        let flush = breath.ask(Self.flush(try handle.open()), SFTPExtension.fsync, path)
        let closing = handle.close(in: &breath)
        session.send(breath)
        let closed = await closing?.result()
        _ = try await flush.value()
        _ = try closed?.get()
    }
}
