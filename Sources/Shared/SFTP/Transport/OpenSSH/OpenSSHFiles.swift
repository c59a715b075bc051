// What `ssh` is told: its configuration, the pinned host keys, and secrets, all as files in memory.

internal import Glibc

/// The files of one connection. They live as long as the child process may read them.
final class OpenSSHFiles {
    /// What the target is called in the configuration, whatever its address.
    static let targetAlias = "ferry-target"

    /// The configuration, for `ssh -F`.
    let configuration: MemoryFile
    /// The program that hands out secrets (`SSH_ASKPASS`); nil where none is asked for.
    let askPass: MemoryFile?
    private let kept: [MemoryFile]

    /// Writes down what a configuration asks for.
    init(_ ssh: SSHConfiguration) throws(SFTPError) {
        var kept: [MemoryFile] = []
        let knownHosts = try MemoryFile(Self.knownHostsScript(Self.pins(of: ssh)))
        kept.append(knownHosts)
        var hops: [OpenSSHHop] = []
        for (index, jump) in ssh.jumps.enumerated() {
            hops.append(OpenSSHHop(alias: Self.alias(ofJump: index), jump, keyFile: try Self.keyPath(jump.credentials)))
        }
        var target = OpenSSHHop(alias: Self.targetAlias, ssh)
        var secret: String?
        switch ssh.credentials {
        case .keyFile(let path, let passphrase):
            // Read here too, so that a missing file has the same words as with the other transport.
            _ = try LoadedCredential(ssh.credentials, user: ssh.user)
            target.keyFile = path
            secret = passphrase
        case .keyInMemory(let bytes, let passphrase):
            // A text file ends with a newline; OpenSSH takes no key from one that does not.
            let file = try MemoryFile(bytes.last == UInt8(ascii: "\n") ? bytes : bytes + [UInt8(ascii: "\n")])
            kept.append(file)
            target.keyFile = file.path
            secret = passphrase
        case .password, .passwordFile:
            guard case .password(let password) = try LoadedCredential(ssh.credentials, user: ssh.user) else { break }
            secret = password
        }
        if let secret {
            let file = try MemoryFile(secret + "\n")
            kept.append(file)
            askPass = try MemoryFile("#!/bin/sh\nexec cat \(file.path)\n", isProgram: true)
        } else {
            askPass = nil
        }
        configuration = try MemoryFile(
            try OpenSSHText.configuration(
                target: target,
                jumps: hops,
                knownHosts: knownHosts.path,
                mayAsk: secret != nil,
                ssh
            )
        )
        self.kept = kept
    }

    /// What a jump host is called in the configuration.
    static func alias(ofJump index: Int) -> String { "ferry-jump-\(index + 1)" }

    private static func pins(of ssh: SSHConfiguration) -> [(alias: String, fingerprints: [String])] {
        ssh.jumps.enumerated().map { (alias(ofJump: $0.offset), $0.element.hostKeys) }
            + [(targetAlias, ssh.hostKeys)]
    }

    /// A child of `ssh` itself logs in to a jump host, and asks nobody: a key file is all it can use.
    private static func keyPath(_ credential: SSHCredential) throws(SFTPError) -> String {
        guard case .keyFile(let path, nil) = credential else {
            throw .invalidArgument("a jump host's login is by a key file without a passphrase")
        }
        return path
    }

    /// The script that `ssh` asks whether a key is known (ssh_config(5), KnownHostsCommand): it says so of pinned ones,
    /// and tells of any other on the error stream.
    static func knownHostsScript(_ pins: [(alias: String, fingerprints: [String])]) -> String {
        var script = """
            # $1 fingerprint, $2 type and $3 bytes of the key that the host called $4 shows; NONE before it shows any
            case "$4 $1" in
            *" NONE") ;;

            """
        for (alias, fingerprints) in pins {
            for pin in fingerprints.map(Fingerprint.normalized) where OpenSSHText.isFingerprint(pin) {
                script += "\"\(alias) \(pin)\") printf '%s %s %s\\n' \"$4\" \"$2\" \"$3\" ;;\n"
            }
        }
        return script + "*) printf '\(OpenSSHLog.unknownKey) %s %s\\n' \"$4\" \"$1\" >&2 ;;\nesac\n"
    }
}
