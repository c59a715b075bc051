// Bytes in, replies out: hiredis' reader behind limits, with no channel and no clock near it.

internal import CHiredis
public import NIOCore

/// What a peer may make this side hold. What goes beyond is refused, and the connection with it.
public struct RESPLimits: Sendable, Equatable {
    /// Bytes of one bulk string; refused as soon as its length is announced.
    public var maximumBulkLength = 512 * 1024 * 1024
    /// Elements of one array; refused as soon as they are announced.
    public var maximumArrayLength = 1_048_576
    /// Arrays within one another; at most 7, which is what hiredis can hold.
    public var maximumNesting = 7
    /// Bytes of one line: a status, an error, a number, a length.
    public var maximumLineLength = 64 * 1024
    /// Bytes of one whole reply, all its elements together.
    public var maximumReplyLength = 1024 * 1024 * 1024

    /// The limits that suit a server one runs oneself.
    public init() {}
}

/// Bytes that are not RESP2 or go beyond the limits.
public struct RESPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was wrong.
    public let reason: String

    /// The reason.
    public var description: String { reason }
}

/// A decoder of RESP2 replies. After it has thrown once it is finished: it throws the same again.
public struct RESPDecoder: ~Copyable {
    private let reader: UnsafeMutablePointer<redisReader>
    private let builder: RESPBuilder
    private let limits: RESPLimits
    private var failure: RESPError?
    /// Bytes taken since the last whole reply.
    private var unfinished = 0

    /// A decoder at the start of a stream.
    ///
    /// - Throws: `RESPError` if there is no memory for it.
    public init(limits: RESPLimits = RESPLimits()) throws(RESPError) {
        guard let reader = redisReaderCreateWithFunctions(ReaderFunctions.table) else {
            throw RESPError(reason: "no memory for a reply reader")
        }
        self.reader = reader
        self.limits = limits
        builder = RESPBuilder(limits: limits)
        // hiredis hands this pointer back to the functions below; `builder` lives as long as `reader`.
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    }

    deinit {
        redisReaderFree(reader)
    }

    /// The replies in a complete stream of bytes.
    ///
    /// - Throws: `RESPError` at the first byte that is wrong, and if the bytes end within a reply.
    public static func decode(
        _ bytes: some Sequence<UInt8>,
        limits: RESPLimits = RESPLimits()
    ) throws(RESPError) -> [RESPValue] {
        var decoder = try RESPDecoder(limits: limits)
        var replies: [RESPValue] = []
        try decoder.decode(ByteBuffer(bytes: bytes), into: &replies)
        guard decoder.unfinished == 0 else { throw RESPError(reason: "the bytes end within a reply") }
        return replies
    }

    /// Takes the next bytes of the stream and appends the replies that they complete. Replies before a wrong byte are
    /// appended, too.
    ///
    /// - Throws: `RESPError` when the stream cannot go on.
    public mutating func decode(_ bytes: ByteBuffer, into replies: inout [RESPValue]) throws(RESPError) {
        var rest = bytes
        // hiredis moves what is left in its buffer after every kilobyte of replies, so small helpings are cheaper.
        while let helping = rest.readSlice(length: min(rest.readableBytes, 16 * 1024)), helping.readableBytes > 0 {
            try feed(helping)
            while let reply = try next() { replies.append(reply) }
        }
    }

    private mutating func feed(_ bytes: ByteBuffer) throws(RESPError) {
        if let failure { throw failure }
        unfinished += bytes.readableBytes
        let status = bytes.withUnsafeReadableBytes { raw in
            redisReaderFeed(reader, raw.baseAddress?.assumingMemoryBound(to: CChar.self), raw.count)
        }
        guard status == REDIS_OK else { throw fail("no memory for a reply") }
    }

    private mutating func next() throws(RESPError) -> RESPValue? {
        var marker: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &marker) == REDIS_OK else {
            throw fail(builder.refusal ?? readerError())
        }
        if let value = builder.takeFinished() {
            unfinished = reader.pointee.len - reader.pointee.pos
            return value
        }
        try checkUnfinished()
        return nil
    }

    /// hiredis waits for the whole of an item, however long it is said to be; this looks at what it waits for.
    private mutating func checkUnfinished() throws(RESPError) {
        guard unfinished > 0 else { return }
        if unfinished > limits.maximumReplyLength {
            throw fail("a reply of more than \(limits.maximumReplyLength) bytes")
        }
        let waiting = reader.pointee.len - reader.pointee.pos
        guard waiting > 0, let buffer = reader.pointee.buf else { return }
        let bytes = UnsafeRawBufferPointer(start: buffer + reader.pointee.pos, count: waiting)
        guard chiredis_unfinished_type(reader) == REDIS_REPLY_STRING else {
            if waiting > limits.maximumLineLength {
                throw fail("a line of more than \(limits.maximumLineLength) bytes")
            }
            return
        }
        var announced = 0
        // 19 digits are the most that a signed 64-bit number has; more is wrong whatever follows.
        for (index, byte) in bytes.enumerated() {
            if byte == 0x0D { break }
            guard index < 20, byte >= 0x30, byte <= 0x39 else {
                if index == 0, byte == 0x2D { continue }
                throw fail("a bulk string's length is not a number")
            }
            let (tenfold, overflow) = announced.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tenfold.addingReportingOverflow(Int(byte - 0x30))
            announced = overflow || carry ? .max : sum
            if announced > limits.maximumBulkLength {
                throw fail("a bulk string of more than \(limits.maximumBulkLength) bytes")
            }
        }
    }

    private mutating func fail(_ reason: String) -> RESPError {
        let error = RESPError(reason: reason)
        failure = error
        return error
    }

    private func readerError() -> String {
        withUnsafeBytes(of: reader.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
