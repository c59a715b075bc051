// What is needed to reach one account on one SSH server.

/// How to log in.
public enum SSHCredential: Sendable {
    /// A private key file in OpenSSH or PEM form (ed25519 or ECDSA). Read anew at each login.
    case keyFile(path: String, passphrase: String?)
    /// A private key in memory, in the same forms.
    case keyInMemory([UInt8], passphrase: String?)
    /// A password.
    case password(String)
    /// A file whose first line is the password. Read anew at each login.
    case passwordFile(path: String)

    /// A private key file.
    public static func key(file path: String, passphrase: String? = nil) -> Self {
        .keyFile(path: path, passphrase: passphrase)
    }

    /// A private key in memory.
    public static func key(pem bytes: [UInt8], passphrase: String? = nil) -> Self {
        .keyInMemory(bytes, passphrase: passphrase)
    }
}

/// A host on the way to a server that cannot be reached directly.
public struct SSHJump: Sendable {
    /// Name or address.
    public var host: String
    /// TCP port.
    public var port: Int
    /// Account to log in to.
    public var user: String
    /// How to log in: a key file without a passphrase.
    public var credentials: SSHCredential
    /// Accepted host keys, as in ``SSHConfiguration/hostKeys``.
    public var hostKeys: [String]

    /// A host on the way.
    public init(host: String, port: Int = 22, user: String, credentials: SSHCredential, hostKeys: [String]) {
        self.host = host
        self.port = port
        self.user = user
        self.credentials = credentials
        self.hostKeys = hostKeys
    }
}

/// One account on one SSH server, and how patient to be with it.
public struct SSHConfiguration: Sendable {
    /// Name or address of the server.
    public var host: String
    /// TCP port.
    public var port: Int
    /// Account to log in to.
    public var user: String
    /// How to log in.
    public var credentials: SSHCredential
    /// Accepted host keys as `SHA256:` and the unpadded base64 of the key's SHA-256, as `ssh-keygen -l` prints them.
    /// An empty list accepts no server.
    public var hostKeys: [String]
    /// Longest wait for the TCP connection, and again for handshake, login and start of the subsystem.
    public var connectTimeout: Duration = .seconds(10)
    /// Longest time in which neither bytes are taken nor a reply comes while requests wait.
    public var requestTimeout: Duration = .seconds(60)
    /// An idle session asks the server something after this long, so that a dead one is noticed; `nil` never asks.
    public var keepAlive: Duration? = .seconds(15)
    /// Which SSH implementation carries the bytes.
    public var transport = Transport.libssh2
    /// A certificate for the key of ``credentials``; `openSSH` only.
    public var certificateFile: String?
    /// Hosts on the way, the nearest first; `openSSH` only.
    public var jumps: [SSHJump] = []
    /// Ciphers in order of preference instead of the built-in list; for benchmarks.
    public var ciphers: [String]?
    /// MACs in order of preference instead of the built-in list; for benchmarks.
    public var macs: [String]?

    /// The SSH implementations.
    public enum Transport: String, Sendable, CaseIterable {
        /// The library, in this process.
        case libssh2
        /// The system's `ssh` as a child process: OpenSSH 8.5 or newer.
        case openSSH = "openssh"
    }

    /// A configuration with the default time limits.
    public init(host: String, port: Int = 22, user: String, credentials: SSHCredential, hostKeys: [String]) {
        self.host = host
        self.port = port
        self.user = user
        self.credentials = credentials
        self.hostKeys = hostKeys
    }
}
