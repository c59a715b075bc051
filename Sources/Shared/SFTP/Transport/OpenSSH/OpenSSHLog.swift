// What `ssh` says on its error stream: the handshake's facts, and why there is no connection. Pure.

/// Reads the log of one `ssh -o LogLevel=DEBUG1`, as OpenSSH 8.5 and newer write it.
struct OpenSSHLog {
    /// How the script of known hosts begins its line about a key that is not pinned.
    static let unknownKey = "ferry: not pinned:"

    /// What was agreed so far.
    private(set) var facts = TransportFacts()
    /// Whether the login was accepted.
    private(set) var isLoggedIn = false
    /// The last lines that are not about debugging: of `ssh`, and of the error stream of what runs on the server.
    private(set) var messages: [String] = []
    /// The status that a command ended with; nil while it has not.
    private(set) var exitStatus: String?
    private static let keptMessages = 20
    private var splitter = BoundedLines()

    /// Takes in what came on the stream.
    mutating func feed(_ bytes: some Sequence<UInt8>) {
        for line in splitter.feed(bytes) { take(line) }
    }

    private mutating func take(_ line: String) {
        guard let rest = line.dropping("debug1: ") else {
            // Said of the target at its own level only, and the answer to what everybody waits for.
            if line.hasPrefix("Authenticated to ") {
                isLoggedIn = true
            } else if !line.isEmpty, !Self.farewells.contains(where: line.hasPrefix) {
                messages.append(printable(line))
                if messages.count > Self.keptMessages { messages.removeFirst() }
            }
            return
        }
        if let text = rest.dropping("Remote protocol version 2.0, remote software version "), facts.serverIdent.isEmpty
        {
            facts.serverIdent = "SSH-2.0-" + printable(text)
        } else if let text = rest.dropping("kex: algorithm: ") {
            facts.keyExchange = printable(text)
        } else if let text = rest.dropping("kex: host key algorithm: ") {
            facts.hostKeyAlgorithm = printable(text)
        } else if let text = rest.dropping("kex: client->server cipher: ") {
            let words = text.split(separator: " ")
            if let cipher = words.first { facts.cipher = printable(String(cipher)) }
            // An AEAD cipher has a MAC of its own, which ssh shows as "<implicit>".
            if words.count >= 3, words[1] == "MAC:" { facts.mac = printable(String(words[2])) }
        } else if let text = rest.dropping("Server host key: "), facts.hostKeyFingerprint.isEmpty {
            facts.hostKeyFingerprint = printable(String(text.split(separator: " ").last ?? ""))
        } else if let text = rest.dropping("Exit status ") {
            exitStatus = printable(text)
        }
    }

    private static let farewells = ["Transferred: sent ", "Bytes per second: sent "]

    /// Why the connection was not made, or ended before the login.
    func openingFailure(_ ssh: SSHConfiguration) -> SFTPError {
        for line in messages {
            if let text = line.dropping(Self.unknownKey + " ") {
                let words = text.split(separator: " ").map(String.init)
                let jumps = ssh.jumps.enumerated().first { OpenSSHFiles.alias(ofJump: $0.offset) == words.first }
                return .hostKeyMismatch(expected: jumps?.element.hostKeys ?? ssh.hostKeys, found: words.last ?? "")
            }
        }
        if let line = messages.first(where: { $0.hasPrefix("Unable to negotiate with ") }) {
            return .noCommonAlgorithm([], reason: line)
        }
        if let line = messages.last(where: { $0.contains("Permission denied (") }) {
            let methods = line.split(separator: "(").last.map { $0.prefix { $0 != ")" } } ?? ""
            return .authenticationFailed(
                user: ssh.user,
                methods: methods.split(separator: ",").map(String.init),
                reason: reason(besides: line) ?? "permission denied"
            )
        }
        return .connectFailed(host: ssh.host, port: ssh.port, reason: messages.last ?? "ssh ended without a word")
    }

    /// Why a command or subsystem did not start, once logged in.
    func startFailure(_ program: RemoteProgram) -> SFTPError? {
        guard messages.contains(where: { $0.contains("request failed on channel") }) else { return nil }
        switch program {
        case .subsystem(let name): return .unsupported(extension: "subsystem \(name)")
        case .command: return .execRefused(reason: "request failed")
        }
    }

    /// Why an open channel ended.
    var ending: String {
        let status = exitStatus.map { $0 == "0" ? "" : ", status \($0)" } ?? ""
        return "the server ended the channel" + status + (messages.last.map { ": \($0)" } ?? "")
    }

    private func reason(besides line: String) -> String? {
        let others = messages.filter { $0 != line && !$0.hasPrefix("Warning: ") }
        return others.isEmpty ? nil : others.suffix(3).joined(separator: "; ")
    }
}

/// Cuts bytes into lines, and what is too long for one into pieces.
private struct BoundedLines {
    private static let limit = 1_024
    private var rest: [UInt8] = []

    mutating func feed(_ bytes: some Sequence<UInt8>) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") || rest.count >= Self.limit {
                if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
                lines.append(String(decoding: rest, as: UTF8.self))
                rest.removeAll(keepingCapacity: true)
            }
            if byte != UInt8(ascii: "\n") { rest.append(byte) }
        }
        return lines
    }
}

extension String {
    /// What follows a prefix; nil without it.
    fileprivate func dropping(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
