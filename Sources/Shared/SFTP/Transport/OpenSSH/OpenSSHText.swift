// The text of an ssh_config(5), from values that come from outside. Pure.

/// One host on the way, the last of which is the target.
struct OpenSSHHop {
    var alias: String
    var host: String
    var port: Int
    var user: String
    var keyFile: String?
    var certificateFile: String?

    init(alias: String, _ target: SSHConfiguration) {
        self.alias = alias
        host = target.host
        port = target.port
        user = target.user
        certificateFile = target.certificateFile
    }

    init(alias: String, _ jump: SSHJump, keyFile: String) {
        self.alias = alias
        host = jump.host
        port = jump.port
        user = jump.user
        self.keyFile = keyFile
    }
}

enum OpenSSHText {
    /// The whole file. `-F` with it keeps the user's and the system's own configuration out.
    static func configuration(
        target: OpenSSHHop,
        jumps: [OpenSSHHop],
        knownHosts: String,
        mayAsk: Bool,
        _ ssh: SSHConfiguration
    ) throws(SFTPError) -> String {
        var lines: [String] = []
        for jump in jumps {
            // Quiet, so that what the log says of the handshake is said of the target.
            lines += try host(jump) + ["    LogLevel ERROR", "    BatchMode yes"]
        }
        lines += try host(target)
        lines.append("    LogLevel DEBUG1")
        lines.append("    BatchMode \(mayAsk ? "no" : "yes")")
        if !jumps.isEmpty { lines.append("    ProxyJump \(jumps.map(\.alias).joined(separator: ","))") }
        let (seconds, rest) = ssh.connectTimeout.components
        let ciphers = ssh.ciphers ?? AlgorithmList.cipher
        let macs = ssh.macs ?? AlgorithmList.mac
        lines += [
            "Host *",
            "    AddKeysToAgent no",
            "    CheckHostIP no",
            "    Ciphers \(try list(ciphers))",
            "    ClearAllForwardings yes",
            "    Compression no",
            "    ConnectTimeout \(max(1, seconds + (rest > 0 ? 1 : 0)))",
            "    ControlMaster no",
            "    ControlPath none",
            "    EscapeChar none",
            "    ForwardAgent no",
            "    ForwardX11 no",
            "    GlobalKnownHostsFile /dev/null",
            "    HostKeyAlgorithms \(try list(AlgorithmList.hostKey))",
            "    IdentitiesOnly yes",
            "    IdentityAgent none",
            "    KexAlgorithms \(try list(AlgorithmList.keyExchange))",
            "    KnownHostsCommand /bin/sh \(knownHosts) %f %t %K %H",
            "    MACs \(try list(macs))",
            "    NumberOfPasswordPrompts 1",
            "    PermitLocalCommand no",
            "    RequestTTY no",
            "    ServerAliveCountMax 3",
            "    ServerAliveInterval 15",
            "    StrictHostKeyChecking yes",
            "    TCPKeepAlive yes",
            "    UpdateHostKeys no",
            "    UserKnownHostsFile /dev/null",
            "    VerifyHostKeyDNS no",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private static func host(_ hop: OpenSSHHop) throws(SFTPError) -> [String] {
        guard (1...65_535).contains(hop.port) else { throw .invalidArgument("port \(hop.port)") }
        var lines = [
            "Host \(hop.alias)",
            "    HostKeyAlias \(hop.alias)",
            "    HostName \(try value(hop.host, isExpanded: true))",
            "    Port \(hop.port)",
            "    User \(try value(hop.user, isExpanded: false))",
        ]
        if let file = hop.keyFile {
            lines.append("    IdentityFile \(try value(file, isExpanded: true))")
            lines.append("    PreferredAuthentications publickey")
        } else {
            lines.append("    IdentityFile none")
            lines.append("    PreferredAuthentications password")
        }
        if let file = hop.certificateFile {
            lines.append("    CertificateFile \(try value(file, isExpanded: true))")
        }
        return lines
    }

    /// A value in quotes. What ssh would take for a quote, a line's end, an escape or a variable is refused; a percent
    /// sign is doubled where ssh expands it.
    static func value(_ text: String, isExpanded: Bool) throws(SFTPError) -> String {
        let isRefused: (Unicode.Scalar) -> Bool = {
            $0.value < 0x20 || $0.value == 0x7f || "\"'\\".unicodeScalars.contains($0)
        }
        guard !text.isEmpty, !text.unicodeScalars.contains(where: isRefused), !text.hasPrefix("-"),
            !text.contains("${"), isExpanded || !text.contains("%")
        else {
            throw .invalidArgument("the openssh transport cannot take \(printable(text)) as a value")
        }
        let pieces = text.split(separator: "%", omittingEmptySubsequences: false)
        return "\"\(pieces.joined(separator: "%%"))\""
    }

    private static func list(_ names: [String]) throws(SFTPError) -> String {
        let isName: (UInt8) -> Bool = { isLetterOrDigit($0) || "@.-_".utf8.contains($0) }
        guard !names.isEmpty, names.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isName) }) else {
            throw .invalidArgument("names of algorithms \(names)")
        }
        return names.joined(separator: ",")
    }

    /// Whether a pin is what a fingerprint looks like; only such ones enter the script.
    static func isFingerprint(_ pin: String) -> Bool {
        pin.hasPrefix("SHA256:") && pin.utf8.count == 50
            && pin.utf8.dropFirst(7).allSatisfy { isLetterOrDigit($0) || "+/".utf8.contains($0) }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
