// A private OpenSSH server.

/// A real sshd on loopback that lets the user who runs the tests in with one key.
public final class SSHServer: SFTPServer {
    /// The sftp subsystem of the server.
    public enum SFTP: Sendable {
        /// Inside sshd, with these flags, for example `-P fsync` to refuse a request.
        case `internal`(flags: String)
        /// OpenSSH's sftp-server program.
        case external
        /// Any other command.
        case command(String)
    }

    /// The process and how it is started again.
    public let process: ServerProcess
    /// The account to log in to.
    public let user: String
    /// The fingerprint of the first host key, as `SHA256:…`.
    public let hostKeyFingerprint: String
    /// The fingerprint of each host key by its type ("ed25519").
    public let hostKeyFingerprints: [String: String]
    /// The directory for the files of a target, as clients name it; empty at first.
    public let root: String
    /// The same directory on this machine's disk.
    public let rootOnDisk: String

    /// The public keys that may log in; may be changed while the server runs.
    public var authorizedKeysFile: String { process.directory.path("authorized_keys") }

    private init(process: ServerProcess, types: [String], chroot: TemporaryDirectory?) throws {
        self.process = process
        let account = try SSHAccount(of: process)
        user = account.user
        hostKeyFingerprints = account.fingerprints
        hostKeyFingerprint = try account.fingerprint(types.first ?? "ed25519")
        if let chroot {
            root = "/incoming"
            rootOnDisk = try chroot.makeDirectory("incoming")
        } else {
            rootOnDisk = try process.directory.makeDirectory("root")
            root = rootOnDisk
        }
    }

    /// Starts one and waits for its banner.
    ///
    /// - Parameters:
    ///   - sftp: the sftp subsystem.
    ///   - hostKeyTypes: ed25519, ecdsa, rsa.
    ///   - commands: the only ones on the account's PATH; all by default. `name=other` is another program under a name.
    ///   - isChrooted: whether the account sees nothing outside a directory of its own, and runs no commands. Only root
    ///     can start such a server.
    ///   - configuration: lines of sshd_config, which win over the defaults.
    ///   - port: a free one by default.
    public static func start(
        sftp: SFTP = .internal(flags: ""),
        hostKeyTypes: [String] = ["ed25519"],
        commands: [String] = [],
        isChrooted: Bool = false,
        configuration: [String] = [],
        port: Int? = nil
    ) async throws -> SSHServer {
        let subsystem =
            switch sftp {
            case .internal(let flags): flags.isEmpty ? "internal-sftp" : "internal-sftp \(flags)"
            case .external: "external"
            case .command(let command): command
            }
        var arguments = hostKeyTypes.flatMap { ["--host-key", $0] } + ["--sftp", subsystem]
        if !commands.isEmpty { arguments += ["--commands", commands.joined(separator: " ")] }
        // sshd refuses a root below a directory that others may write to, as the checkout may be.
        let chroot = isChrooted ? try TemporaryDirectory("chroot", in: .system) : nil
        if let chroot { arguments += ["ChrootDirectory \"\(chroot.path)\"", "ForceCommand \(subsystem)"] }
        let process = try await ServerProcess.start(
            "sshd",
            port: port,
            arguments: arguments + configuration,
            ready: SSHAccount.greets(port:)
        )
        if let chroot { process.own(chroot) }
        return try SSHServer(process: process, types: hostKeyTypes, chroot: chroot)
    }
}
