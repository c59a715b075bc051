// A request of the protocol and its encoding.

internal import NIOCore

/// A handle as the server named it; never interpreted.
typealias HandleBytes = [UInt8]

/// A request of draft-ietf-secsh-filexfer-02 §6, without its id.
enum Request: Sendable, Equatable {
    case open(path: String, flags: OpenFlags, attributes: FileAttributes)
    case close(HandleBytes)
    case read(HandleBytes, offset: UInt64, length: UInt32)
    case write(HandleBytes, offset: UInt64, data: ByteBuffer)
    case lstat(String)
    case fstat(HandleBytes)
    case setstat(String, FileAttributes)
    case fsetstat(HandleBytes, FileAttributes)
    case opendir(String)
    case readdir(HandleBytes)
    case remove(String)
    case mkdir(String, FileAttributes)
    case rmdir(String)
    case realpath(String)
    case stat(String)
    case rename(from: String, to: String)
    case readlink(String)
    case symlink(target: String, link: String)
    case extended(name: String, payload: ByteBuffer)

    /// Which replies, beside a failing status, answer this request.
    enum Expectation: Sendable, Equatable {
        case status
        case handle
        case data(atMost: Int)
        case names
        case attributes
        /// An extended reply or a plain success: which one is the extension's business.
        case extended
    }

    var expectation: Expectation {
        switch self {
        case .open, .opendir: .handle
        case .read(_, _, let length): .data(atMost: Int(length))
        case .readdir, .realpath, .readlink: .names
        case .stat, .lstat, .fstat: .attributes
        case .extended: .extended
        default: .status
        }
    }

    /// Bytes of file data the request carries; these count against the session's queue.
    var dataLength: Int {
        if case .write(_, _, let data) = self { data.readableBytes } else { 0 }
    }

    /// Whether the request may be left out when nobody waits for its answer any more.
    var mayBeSkipped: Bool {
        if case .close = self { false } else { true }
    }
}

extension Request {
    /// The packet that opens a session (draft-ietf-secsh-filexfer-02 §4).
    static func initialization(version: UInt32) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(5 as UInt32)
        buffer.writeInteger(PacketType.initialize)
        buffer.writeInteger(version)
        return buffer
    }

    /// The packet in two pieces: everything but file data, and file data (`nil` but for a write), which is not copied.
    func encoded(id: UInt32) -> (head: ByteBuffer, data: ByteBuffer?) {
        var head = ByteBuffer()
        head.reserveCapacity(96)
        head.writeInteger(0 as UInt32)
        var data: ByteBuffer?
        switch self {
        case .open(let path, let flags, let attributes):
            head.begin(PacketType.open, id)
            head.writeText(path)
            head.writeInteger(flags.rawValue)
            head.writeAttributes(attributes)
        case .close(let handle): head.begin(PacketType.close, id, handle)
        case .read(let handle, let offset, let length):
            head.begin(PacketType.read, id, handle)
            head.writeInteger(offset)
            head.writeInteger(length)
        case .write(let handle, let offset, let bytes):
            head.begin(PacketType.write, id, handle)
            head.writeInteger(offset)
            head.writeInteger(UInt32(bytes.readableBytes))
            data = bytes
        case .lstat(let path): head.begin(PacketType.lstat, id, path)
        case .fstat(let handle): head.begin(PacketType.fstat, id, handle)
        case .setstat(let path, let attributes):
            head.begin(PacketType.setstat, id, path)
            head.writeAttributes(attributes)
        case .fsetstat(let handle, let attributes):
            head.begin(PacketType.fsetstat, id, handle)
            head.writeAttributes(attributes)
        case .opendir(let path): head.begin(PacketType.opendir, id, path)
        case .readdir(let handle): head.begin(PacketType.readdir, id, handle)
        case .remove(let path): head.begin(PacketType.remove, id, path)
        case .mkdir(let path, let attributes):
            head.begin(PacketType.mkdir, id, path)
            head.writeAttributes(attributes)
        case .rmdir(let path): head.begin(PacketType.rmdir, id, path)
        case .realpath(let path): head.begin(PacketType.realpath, id, path)
        case .stat(let path): head.begin(PacketType.stat, id, path)
        case .rename(let from, let to):
            head.begin(PacketType.rename, id, from)
            head.writeText(to)
        case .readlink(let path): head.begin(PacketType.readlink, id, path)
        case .symlink(let target, let link):
            // OpenSSH takes the arguments in this order, against the draft (its PROTOCOL §4.1).
            head.begin(PacketType.symlink, id, target)
            head.writeText(link)
        case .extended(let name, var payload):
            head.begin(PacketType.extended, id, name)
            head.writeBuffer(&payload)
        }
        head.setInteger(UInt32(head.readableBytes - 4 + (data?.readableBytes ?? 0)), at: head.readerIndex)
        return (head, data)
    }
}

extension ByteBuffer {
    fileprivate mutating func begin(_ type: UInt8, _ id: UInt32) {
        writeInteger(type)
        writeInteger(id)
    }

    fileprivate mutating func begin(_ type: UInt8, _ id: UInt32, _ text: String) {
        begin(type, id)
        writeText(text)
    }

    fileprivate mutating func begin(_ type: UInt8, _ id: UInt32, _ handle: HandleBytes) {
        begin(type, id)
        writeHandle(handle)
    }

    /// A string of RFC 4251 §5.
    mutating func writeText(_ text: String) {
        writeInteger(UInt32(text.utf8.count))
        writeString(text)
    }

    /// A handle as a string of RFC 4251 §5.
    mutating func writeHandle(_ handle: HandleBytes) {
        writeInteger(UInt32(handle.count))
        writeBytes(handle)
    }

    /// An attribute block of draft-ietf-secsh-filexfer-02 §5.
    mutating func writeAttributes(_ attributes: FileAttributes) {
        var flags: UInt32 = 0
        let owner = attributes.uid.flatMap { uid in attributes.gid.map { (uid, $0) } }
        let times = attributes.accessTime.flatMap { access in attributes.modificationTime.map { (access, $0) } }
        if attributes.size != nil { flags |= AttributeFlag.size }
        if owner != nil { flags |= AttributeFlag.owner }
        if attributes.permissions != nil { flags |= AttributeFlag.permissions }
        if times != nil { flags |= AttributeFlag.times }
        writeInteger(flags)
        if let size = attributes.size { writeInteger(size) }
        if let (uid, gid) = owner { writeMultipleIntegers(uid, gid) }
        if let permissions = attributes.permissions { writeInteger(permissions) }
        if let (access, modification) = times { writeMultipleIntegers(access, modification) }
    }
}

/// Bits that say which attributes follow (draft-ietf-secsh-filexfer-02 §5).
enum AttributeFlag {
    static let size: UInt32 = 0x0000_0001
    static let owner: UInt32 = 0x0000_0002
    static let permissions: UInt32 = 0x0000_0004
    static let times: UInt32 = 0x0000_0008
    static let extended: UInt32 = 0x8000_0000
}
