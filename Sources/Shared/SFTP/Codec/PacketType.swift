// Numbers of SFTP packet types and the bounds every packet is held to.

/// Packet types of draft-ietf-secsh-filexfer-02 §3.
enum PacketType {
    static let initialize: UInt8 = 1
    static let version: UInt8 = 2
    static let open: UInt8 = 3
    static let close: UInt8 = 4
    static let read: UInt8 = 5
    static let write: UInt8 = 6
    static let lstat: UInt8 = 7
    static let fstat: UInt8 = 8
    static let setstat: UInt8 = 9
    static let fsetstat: UInt8 = 10
    static let opendir: UInt8 = 11
    static let readdir: UInt8 = 12
    static let remove: UInt8 = 13
    static let mkdir: UInt8 = 14
    static let rmdir: UInt8 = 15
    static let realpath: UInt8 = 16
    static let stat: UInt8 = 17
    static let rename: UInt8 = 18
    static let readlink: UInt8 = 19
    static let symlink: UInt8 = 20
    static let status: UInt8 = 101
    static let handle: UInt8 = 102
    static let data: UInt8 = 103
    static let name: UInt8 = 104
    static let attributes: UInt8 = 105
    static let extended: UInt8 = 200
    static let extendedReply: UInt8 = 201
}

/// Bounds on what a server may send.
enum PacketBounds {
    /// 256 KiB of data and room for the header; OpenSSH sends no more than 256 KiB in all.
    static let packet = 256 * 1024 + 1024
    /// draft-ietf-secsh-filexfer-02 §6.3
    static let handle = 256
    /// A path or file name.
    static let path = 32 * 1024
    /// Names in one reply.
    static let names = 4096
    /// Extension pairs in the version packet.
    static let extensions = 256
    /// Extended attributes in one attribute block.
    static let extendedAttributes = 64
    /// Characters kept of a server's message.
    static let message = 256
}
