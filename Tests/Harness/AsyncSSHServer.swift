// A private SFTP server in Python that is unlike OpenSSH's: a gateway, a slow one, one that lies.

/// A server on asyncssh with one of the characters of `scripts/servers/asyncssh_server.py`. It runs no commands, and
/// clients see nothing but the root.
public final class AsyncSSHServer: SFTPServer {
    /// How it treats its clients.
    public enum Character: Hashable, Sendable {
        /// An object store: a file is written from its beginning on, in order, and then stays as it is but for one rename
        /// to a free name. No attributes, no flushing, no extensions.
        case gateway
        /// The same, but a file is seen only when its handle is closed, and is never renamed.
        case publishingGateway
        /// The same, but what is written when its connection is lost is seen too.
        case carelessGateway
        /// A file is only written on at its end; no extensions.
        case appending
        /// Each answer takes so long, one after the other; and a rename so long between the look at the new name and what
        /// it does then.
        case slow(seconds: Double)
        /// Each connection is cut when it has carried so many bytes of file data.
        case losing(afterBytes: Int)
        /// What a file would have behind so many bytes is refused, in these words.
        case limited(bytes: Int, words: String)
        /// Half of what is written is dropped, and success reported.
        case shortWrites
        /// Answers to reads and writes name requests that were not made.
        case wrongRequestIDs
        /// Answers to reads and writes claim to be 512 MiB long.
        case oversizedPackets

        fileprivate var arguments: [String] {
            switch self {
            case .gateway: ["gateway"]
            case .publishingGateway: ["publishing-gateway"]
            case .carelessGateway: ["careless-gateway"]
            case .appending: ["appending"]
            case .slow(let seconds): ["slow", String(seconds)]
            case .losing(let count): ["losing", String(count)]
            case .limited(let count, let words): ["limited", String(count), words]
            case .shortWrites: ["short-writes"]
            case .wrongRequestIDs: ["wrong-ids"]
            case .oversizedPackets: ["oversized-packets"]
            }
        }
    }

    /// The process and how it is started again.
    public let process: ServerProcess
    /// The account to log in to.
    public let user: String
    /// The fingerprint of the host key, as `SHA256:…`.
    public let hostKeyFingerprint: String
    /// `/`, the directory for the files of a target, as clients name it; empty at first.
    public let root = "/"
    /// The same directory on this machine's disk.
    public let rootOnDisk: String

    private init(process: ServerProcess) throws {
        self.process = process
        let account = try SSHAccount(of: process)
        user = account.user
        hostKeyFingerprint = try account.fingerprint("ed25519")
        rootOnDisk = process.directory.path("root")
    }

    /// Starts one and waits for its banner; on a free port by default.
    public static func start(_ character: Character, port: Int? = nil) async throws -> AsyncSSHServer {
        try AsyncSSHServer(
            process: await ServerProcess.start(
                "asyncssh",
                port: port,
                arguments: character.arguments,
                ready: SSHAccount.greets(port:)
            )
        )
    }
}
