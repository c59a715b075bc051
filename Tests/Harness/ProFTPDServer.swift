// A private ProFTPD, the most widespread SFTP server beside OpenSSH.

/// A real ProFTPD with mod_sftp on loopback: it runs no commands, and takes digests for clients (`check-file`) without
/// saying that it can.
public final class ProFTPDServer: SFTPServer {
    /// The process and how it is started again.
    public let process: ServerProcess
    /// The account to log in to.
    public let user: String
    /// The fingerprint of the host key, as `SHA256:…`.
    public let hostKeyFingerprint: String
    /// The directory for the files of a target, as clients name it; empty at first.
    public let root: String
    /// The same directory on this machine's disk.
    public var rootOnDisk: String { root }

    private init(process: ServerProcess) throws {
        self.process = process
        let account = try SSHAccount(of: process)
        user = account.user
        hostKeyFingerprint = try account.fingerprint("ed25519")
        root = try process.directory.makeDirectory("root")
    }

    /// Starts one and waits for its banner.
    ///
    /// - Parameters:
    ///   - configuration: lines of proftpd.conf, which win over the defaults.
    ///   - port: a free one by default.
    public static func start(configuration: [String] = [], port: Int? = nil) async throws -> ProFTPDServer {
        try ProFTPDServer(
            process: await ServerProcess.start(
                "proftpd",
                port: port,
                arguments: configuration,
                ready: SSHAccount.greets(port:)
            )
        )
    }
}
