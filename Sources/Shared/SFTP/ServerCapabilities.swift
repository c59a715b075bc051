// What a server said it is and can do.

/// Sizes from `limits@openssh.com` (OpenSSH PROTOCOL §4.8), in bytes; 0 means the server named none.
public struct ServerLimits: Sendable, Equatable {
    /// Largest packet the server takes.
    public var maxPacket: UInt64
    /// Largest answer to one read.
    public var maxRead: UInt64
    /// Largest data of one write.
    public var maxWrite: UInt64
    /// Handles that may be open at once.
    public var maxHandles: UInt64

    /// Limits as given.
    public init(maxPacket: UInt64, maxRead: UInt64, maxWrite: UInt64, maxHandles: UInt64) {
        self.maxPacket = maxPacket
        self.maxRead = maxRead
        self.maxWrite = maxWrite
        self.maxHandles = maxHandles
    }
}

/// What was agreed in the SSH handshake.
public struct TransportFacts: Sendable, Equatable {
    /// The server's identification string.
    public var serverIdent = ""
    /// Whether that is OpenSSH's.
    public var isOpenSSH: Bool { serverIdent.hasPrefix("SSH-2.0-OpenSSH") }
    /// Key exchange method.
    public var keyExchange = ""
    /// Host key algorithm.
    public var hostKeyAlgorithm = ""
    /// Fingerprint of the server's key.
    public var hostKeyFingerprint = ""
    /// Cipher, client to server.
    public var cipher = ""
    /// MAC, client to server.
    public var mac = ""
}

/// What a session's server said it is and can do.
public struct ServerCapabilities: Sendable, Equatable {
    /// Protocol version the server announced.
    public var version: UInt32
    /// Extensions the server announced, by name, with their version strings.
    public var extensions: [String: String]
    /// Limits, where the server told them.
    public var limits: ServerLimits?
    /// What was agreed in the SSH handshake.
    public var transport: TransportFacts

    /// Data of one write request, at most: the server's limit, no more than 261,120; 32,768 where it is unknown.
    public var writeLength: Int { Self.requestLength(limits?.maxWrite) }
    /// Data of one read request, at most.
    public var readLength: Int { Self.requestLength(limits?.maxRead) }

    /// Request data length every server takes (draft-ietf-secsh-filexfer-02 §3).
    static let safeLength = 32_768
    /// What OpenSSH takes: its packet limit of 256 KiB less room for the header.
    static let largestLength = 261_120

    private static func requestLength(_ limit: UInt64?) -> Int {
        guard let limit, limit > 0 else { return safeLength }
        return Int(min(limit, UInt64(largestLength)))
    }

    /// Whether the server says that it is OpenSSH, whose answers to lstat are about a symbolic link itself, and whose
    /// rename never replaces a file that appears meanwhile. Of other servers neither is known; ProFTPD does neither.
    public var isOpenSSH: Bool { transport.isOpenSSH }

    /// Whether the server announced `name`.
    public func supports(_ name: String) -> Bool { extensions[name] != nil }
}

/// Names of the extensions this client knows (OpenSSH PROTOCOL §4, draft-ietf-secsh-filexfer-extensions-00 §7).
public enum SFTPExtension {
    /// Sizes of packets, reads and writes.
    public static let limits = "limits@openssh.com"
    /// Rename that replaces.
    public static let posixRename = "posix-rename@openssh.com"
    /// Flush a handle to disk.
    public static let fsync = "fsync@openssh.com"
    /// Space of a file system.
    public static let statvfs = "statvfs@openssh.com"
    /// Hard link.
    public static let hardlink = "hardlink@openssh.com"
    /// Copy between handles on the server.
    public static let copyData = "copy-data"
}
