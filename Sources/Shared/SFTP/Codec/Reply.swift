// A reply of the protocol and its decoding; every length comes from a server that is not trusted.

internal import NIOCore

/// A reply of draft-ietf-secsh-filexfer-02 §7.
enum Reply: Sendable, Equatable {
    case status(SFTPStatus, message: String)
    case handle(HandleBytes)
    case data(ByteBuffer)
    case names([DirectoryEntry])
    case attributes(FileAttributes)
    case extended(ByteBuffer)
}

/// A packet from the server.
enum InboundPacket: Sendable, Equatable {
    case version(UInt32, extensions: [String: String])
    case reply(id: UInt32, Reply)

    /// Decodes one packet without its length field.
    ///
    /// Throws `SFTPError.protocolViolation` for anything a server must not send.
    init(decoding packet: ByteBuffer) throws(SFTPError) {
        var reader = PacketReader(packet)
        let type = try reader.integer(UInt8.self, "type")
        if type == PacketType.version {
            let version = try reader.integer(UInt32.self, "version")
            self = .version(version, extensions: try reader.extensions())
            return
        }
        let id = try reader.integer(UInt32.self, "id")
        let reply: Reply
        switch type {
        case PacketType.status:
            let code = SFTPStatus(rawValue: try reader.integer(UInt32.self, "status code"))
            // Servers older than version 3 send neither message nor language.
            let message = reader.isAtEnd ? "" : try reader.message()
            if !reader.isAtEnd { _ = try reader.string("language tag", atMost: PacketBounds.path) }
            reader.skipRepetition(of: packet)
            reply = .status(code, message: message)
        case PacketType.handle:
            reply = .handle(Array(try reader.string("handle", atMost: PacketBounds.handle).readableBytesView))
        case PacketType.data:
            reply = .data(try reader.string("data", atMost: PacketBounds.packet))
        case PacketType.name:
            reply = .names(try reader.names())
        case PacketType.attributes:
            reply = .attributes(try reader.attributes())
        case PacketType.extendedReply:
            reply = .extended(reader.rest())
        default:
            throw .protocolViolation("packet type \(type)")
        }
        try reader.finish()
        self = .reply(id: id, reply)
    }
}

/// Reads fields off a packet, checking each length against what is there and against a bound.
struct PacketReader {
    private var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    var isAtEnd: Bool { buffer.readableBytes == 0 }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type, _ field: String) throws(SFTPError) -> T {
        guard let value = buffer.readInteger(as: type) else {
            throw .protocolViolation("packet ends before its \(field)")
        }
        return value
    }

    mutating func string(_ field: String, atMost bound: Int) throws(SFTPError) -> ByteBuffer {
        let length = try integer(UInt32.self, "length of \(field)")
        guard Int(length) <= bound else { throw .protocolViolation("\(field) of \(length) bytes") }
        guard let slice = buffer.readSlice(length: Int(length)) else {
            throw .protocolViolation("\(field) of \(length) bytes where \(buffer.readableBytes) are left")
        }
        return slice
    }

    mutating func rest() -> ByteBuffer {
        defer { buffer.moveReaderIndex(forwardBy: buffer.readableBytes) }
        return buffer.slice()
    }

    /// Skips what was read, if it comes once more. ProFTPD 1.3.8 answers a refused `fsetstat` twice in one packet.
    mutating func skipRepetition(of packet: ByteBuffer) {
        let length = packet.readableBytes - buffer.readableBytes
        guard buffer == packet.getSlice(at: packet.readerIndex, length: length) else { return }
        buffer.moveReaderIndex(forwardBy: length)
    }

    func finish() throws(SFTPError) {
        guard isAtEnd else { throw .protocolViolation("\(buffer.readableBytes) bytes after the end of a reply") }
    }

    /// A message for people, cut and freed of control characters, since it ends up in logs.
    mutating func message() throws(SFTPError) -> String {
        let bytes = try string("status message", atMost: PacketBounds.packet)
        return printable(String(decoding: bytes.readableBytesView.prefix(PacketBounds.message), as: UTF8.self))
    }

    mutating func extensions() throws(SFTPError) -> [String: String] {
        var extensions: [String: String] = [:]
        var count = 0
        while !isAtEnd {
            count += 1
            guard count <= PacketBounds.extensions else {
                throw .protocolViolation("more than \(PacketBounds.extensions) extensions")
            }
            let name = try string("extension name", atMost: 256)
            let value = try string("extension data", atMost: PacketBounds.path)
            extensions[printable(String(buffer: name))] = printable(String(buffer: value))
        }
        return extensions
    }

    mutating func names() throws(SFTPError) -> [DirectoryEntry] {
        let count = try integer(UInt32.self, "number of names")
        guard Int(count) <= PacketBounds.names else { throw .protocolViolation("\(count) names in one reply") }
        var entries: [DirectoryEntry] = []
        // The count is the server's word; what is reserved is bounded by the bytes that came.
        entries.reserveCapacity(min(Int(count), buffer.readableBytes / 12))
        for _ in 0..<count {
            let name = try string("file name", atMost: PacketBounds.path)
            _ = try string("long name", atMost: PacketBounds.packet)
            let attributes = try attributes()
            entries.append(
                DirectoryEntry(
                    name: String(buffer: name),
                    rawName: Array(name.readableBytesView),
                    attributes: attributes
                )
            )
        }
        return entries
    }

    mutating func attributes() throws(SFTPError) -> FileAttributes {
        let flags = try integer(UInt32.self, "attribute flags")
        let known =
            AttributeFlag.size | AttributeFlag.owner | AttributeFlag.permissions | AttributeFlag.times
            | AttributeFlag.extended
        // An unknown bit means fields of unknown length: nothing after it can be read.
        guard flags & ~known == 0 else { throw .protocolViolation("attribute flags \(flags)") }
        var attributes = FileAttributes()
        if flags & AttributeFlag.size != 0 { attributes.size = try integer(UInt64.self, "size") }
        if flags & AttributeFlag.owner != 0 {
            attributes.uid = try integer(UInt32.self, "uid")
            attributes.gid = try integer(UInt32.self, "gid")
        }
        if flags & AttributeFlag.permissions != 0 {
            attributes.permissions = try integer(UInt32.self, "permissions")
        }
        if flags & AttributeFlag.times != 0 {
            attributes.accessTime = try integer(UInt32.self, "access time")
            attributes.modificationTime = try integer(UInt32.self, "modification time")
        }
        if flags & AttributeFlag.extended != 0 {
            let count = try integer(UInt32.self, "number of extended attributes")
            guard Int(count) <= PacketBounds.extendedAttributes else {
                throw .protocolViolation("\(count) extended attributes")
            }
            for _ in 0..<count {
                _ = try string("extended attribute type", atMost: PacketBounds.path)
                _ = try string("extended attribute data", atMost: PacketBounds.path)
            }
        }
        return attributes
    }
}

/// `text` with every control character replaced, so that a server cannot write lines into our logs.
func printable(_ text: String) -> String {
    let isControl: (Unicode.Scalar) -> Bool = {
        $0.value < 0x20 || (0x7f...0x9f).contains($0.value) || $0.value == 0x2028 || $0.value == 0x2029
    }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var clean = String.UnicodeScalarView()
    clean.append(contentsOf: text.unicodeScalars.map { isControl($0) ? "?" : $0 })
    return String(clean)
}
