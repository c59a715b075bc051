// Values about files: attributes, open flags, space, directory entries.

/// File attributes of draft-ietf-secsh-filexfer-02 §5; a field that is `nil` is not sent, or was not told.
public struct FileAttributes: Sendable, Equatable {
    /// Size in bytes.
    public var size: UInt64?
    /// Numeric owner; sent only together with `gid`.
    public var uid: UInt32?
    /// Numeric group; sent only together with `uid`.
    public var gid: UInt32?
    /// POSIX mode bits, file type included where the server tells it.
    public var permissions: UInt32?
    /// Seconds since 1970; sent only together with `modificationTime`.
    public var accessTime: UInt32?
    /// Seconds since 1970; sent only together with `accessTime`.
    public var modificationTime: UInt32?

    /// Attributes as given.
    public init(
        size: UInt64? = nil,
        uid: UInt32? = nil,
        gid: UInt32? = nil,
        permissions: UInt32? = nil,
        accessTime: UInt32? = nil,
        modificationTime: UInt32? = nil
    ) {
        self.size = size
        self.uid = uid
        self.gid = gid
        self.permissions = permissions
        self.accessTime = accessTime
        self.modificationTime = modificationTime
    }

    /// Whether the type bits say directory.
    public var isDirectory: Bool { fileType == 0o040000 }
    /// Whether the type bits say symbolic link.
    public var isSymbolicLink: Bool { fileType == 0o120000 }
    /// Whether the type bits say regular file.
    public var isRegular: Bool { fileType == 0o100000 }

    private var fileType: UInt32? { permissions.map { $0 & 0o170000 } }
}

/// How to open a file (draft-ietf-secsh-filexfer-02 §6.3).
public struct OpenFlags: OptionSet, Sendable {
    /// The bits on the wire.
    public let rawValue: UInt32
    /// Flags from bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// SSH_FXF_READ
    public static let read = Self(rawValue: 0x01)
    /// SSH_FXF_WRITE
    public static let write = Self(rawValue: 0x02)
    /// SSH_FXF_APPEND
    public static let append = Self(rawValue: 0x04)
    /// SSH_FXF_CREAT
    public static let create = Self(rawValue: 0x08)
    /// SSH_FXF_TRUNC
    public static let truncate = Self(rawValue: 0x10)
    /// SSH_FXF_EXCL
    public static let exclusive = Self(rawValue: 0x20)
}

/// Space of a file system, from `statvfs@openssh.com`.
public struct FileSystemSpace: Sendable, Equatable {
    /// Bytes in all.
    public var totalBytes: UInt64
    /// Bytes free, those kept for the superuser included.
    public var freeBytes: UInt64
    /// Bytes an ordinary user may still write.
    public var availableBytes: UInt64
    /// Files that may still be created.
    public var availableFiles: UInt64
    /// Whether the file system is mounted read-only.
    public var isReadOnly: Bool
    /// Longest file name in bytes.
    public var maximumNameLength: UInt64
}

/// One name in a directory.
public struct DirectoryEntry: Sendable, Equatable {
    /// The name; bytes that are not UTF-8 are replaced, see ``rawName``.
    public var name: String
    /// The name as the server sent it.
    public var rawName: [UInt8]
    /// Attributes, as far as the server told them.
    public var attributes: FileAttributes
}
