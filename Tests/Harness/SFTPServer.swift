// What all private servers that speak SFTP have in common: an account, and a directory for its files.

import Foundation
import Glibc

/// A real SFTP server with one account, which one key opens.
public protocol SFTPServer: PrivateServer {
    /// The account to log in to.
    var user: String { get }
    /// The fingerprint of the first host key, as `SHA256:…`.
    var hostKeyFingerprint: String { get }
    /// The directory for the files of a target, as clients name it; empty at first.
    var root: String { get }
    /// The same directory on this machine's disk.
    var rootOnDisk: String { get }
}

extension SFTPServer {
    /// The client's private key, without a passphrase.
    public var keyFile: String { process.directory.path("client_ed25519") }
    /// The host keys as OpenSSH's clients want them.
    public var knownHostsFile: String { process.directory.path("known_hosts") }

    /// Where something below the root is on this machine's disk.
    public func path(_ name: String) -> String { rootOnDisk + "/" + name }

    /// How clients name something below the root.
    public func clientPath(_ name: String) -> String { root == "/" ? "/" + name : root + "/" + name }

    /// The processes of open connections, where the server has any; the listener is not among them.
    public var sessions: [Int32] {
        pid.map(ProcessTree.descendants(of:)) ?? []
    }

    /// Kills all open connections at once, as when the machine behind them dies; new ones are welcome. Only for servers
    /// with a process for each.
    public func killSessions() {
        for session in sessions { Glibc.kill(session, SIGKILL) }
    }

    // MARK: OpenSSH's clients

    /// Runs OpenSSH's sftp with these commands; it stops at the first that fails, unless that begins with a hyphen.
    public func sftp(
        _ commands: String...,
        options: [String] = [],
        within: Duration = .seconds(30)
    ) async throws -> ChildProcess.Report {
        let place = try TemporaryDirectory("batch")
        let batch = place.path("batch")
        try (commands.joined(separator: "\n") + "\n").write(toFile: batch, atomically: true, encoding: .utf8)
        let arguments = clientOptions + options + ["-P", String(port), "-b", batch, "\(user)@\(host)"]
        return try await ChildProcess.run("sftp", arguments, within: within)
    }

    /// Runs a command on the server with OpenSSH's ssh.
    public func ssh(
        _ command: String,
        options: [String] = [],
        within: Duration = .seconds(30)
    ) async throws -> ChildProcess.Report {
        let arguments = clientOptions + options + ["-p", String(port), "\(user)@\(host)", command]
        return try await ChildProcess.run("ssh", arguments, within: within)
    }

    /// What OpenSSH's clients need to log in.
    public var clientOptions: [String] {
        [
            "-F", "none", "-i", keyFile, "-o", "UserKnownHostsFile=\(knownHostsFile)", "-o", "IdentitiesOnly=yes", "-o",
            "BatchMode=yes",
        ]
    }
}

/// What the script of a server left in the server's directory for its clients.
struct SSHAccount: Sendable {
    /// The account to log in to: the one that runs the tests.
    let user: String
    /// The fingerprint of each host key by its type ("ed25519").
    let fingerprints: [String: String]

    init(of process: ServerProcess) throws {
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else {
            throw HarnessError("the user who runs the tests has no name")
        }
        user = String(cString: name)
        let lines = try String(contentsOfFile: process.directory.path("fingerprints"), encoding: .utf8)
        var found: [String: String] = [:]
        for line in lines.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { found[String(words[0])] = String(words[1]) }
        }
        fingerprints = found
    }

    /// The fingerprint of the host key of a type.
    func fingerprint(_ type: String) throws -> String {
        guard let found = fingerprints[type] else { throw HarnessError("no \(type) host key: \(fingerprints)") }
        return found
    }

    /// Whether a server on this port says that it speaks SSH.
    static func greets(port: Int) throws {
        // RFC 4253 §4.2: the server sends its identification at once.
        let answer = try LoopbackSocket.ask(port: port, request: [], count: 4, milliseconds: 2_000)
        guard answer.starts(with: Array("SSH-".utf8)) else { throw HarnessError("no SSH server greets: \(answer)") }
    }
}
