// A private OpenSSH server.

import Foundation
import Glibc

/// A real sshd on loopback that lets the user who runs the tests in with one key.
public final class SSHServer: PrivateServer {
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
    /// The user to log in as.
    public let user: String
    /// The fingerprint of the first host key, as `SHA256:…`.
    public let hostKeyFingerprint: String
    /// The fingerprint of each host key by its type ("ed25519").
    public let hostKeyFingerprints: [String: String]
    /// An empty directory for the files of a target.
    public let root: String

    /// The client's private key, without a passphrase.
    public var keyFile: String { process.directory.path("client_ed25519") }
    /// The public keys that may log in; may be changed while the server runs.
    public var authorizedKeysFile: String { process.directory.path("authorized_keys") }
    /// The host keys as OpenSSH's clients want them.
    public var knownHostsFile: String { process.directory.path("known_hosts") }

    private init(process: ServerProcess, types: [String]) throws {
        self.process = process
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else {
            throw HarnessError("the user who runs the tests has no name")
        }
        user = String(cString: name)
        root = try process.directory.makeDirectory("root")
        let lines = try String(contentsOfFile: process.directory.path("fingerprints"), encoding: .utf8)
        var found: [String: String] = [:]
        for line in lines.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { found[String(words[0])] = String(words[1]) }
        }
        guard let first = types.first.flatMap({ found[$0] }) else {
            throw HarnessError("sshd has no host key fingerprint: \(lines)")
        }
        hostKeyFingerprints = found
        hostKeyFingerprint = first
    }

    /// Starts one and waits for its banner.
    ///
    /// - Parameters:
    ///   - sftp: the sftp subsystem.
    ///   - hostKeyTypes: ed25519, ecdsa, rsa.
    ///   - configuration: lines of sshd_config, which win over the defaults.
    ///   - port: a free one by default.
    public static func start(
        sftp: SFTP = .internal(flags: ""),
        hostKeyTypes: [String] = ["ed25519"],
        configuration: [String] = [],
        port: Int? = nil
    ) async throws -> SSHServer {
        let subsystem =
            switch sftp {
            case .internal(let flags): flags.isEmpty ? "internal-sftp" : "internal-sftp \(flags)"
            case .external: "external"
            case .command(let command): command
            }
        let process = try await ServerProcess.start(
            "sshd",
            port: port,
            arguments: hostKeyTypes.flatMap { ["--host-key", $0] } + ["--sftp", subsystem] + configuration
        ) { port in
            // RFC 4253 §4.2: the server sends its identification at once.
            let answer = try LoopbackSocket.ask(port: port, request: [], count: 4, milliseconds: 2_000)
            guard answer.starts(with: Array("SSH-".utf8)) else { throw HarnessError("sshd does not greet: \(answer)") }
        }
        return try SSHServer(process: process, types: hostKeyTypes)
    }

    /// The processes of open connections; the listener is not among them.
    public var sessions: [Int32] {
        pid.map(ProcessTree.descendants(of:)) ?? []
    }

    /// Kills all open connections at once, as when the machine behind them dies; new ones are welcome.
    public func killSessions() {
        for session in sessions { Glibc.kill(session, SIGKILL) }
    }
}
