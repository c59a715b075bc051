// What `ssh` is told and what it says, without any `ssh`.

import Testing

@testable import SFTP

struct OpenSSHTextTests {
    private let pin = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"

    private func ssh(_ change: (inout SSHConfiguration) -> Void = { _ in }) -> SSHConfiguration {
        var ssh = SSHConfiguration(host: "h", user: "u", credentials: .key(file: "/k"), hostKeys: [pin])
        change(&ssh)
        return ssh
    }

    @Test func valuesAreQuotedAndPercentSignsDoubled() throws {
        #expect(try OpenSSHText.value("/keys of/100%", isExpanded: true) == "\"/keys of/100%%\"")
        #expect(try OpenSSHText.value("fe80::1%eth0", isExpanded: true) == "\"fe80::1%%eth0\"")
        #expect(try OpenSSHText.value("u#1", isExpanded: false) == "\"u#1\"")
    }

    @Test(arguments: ["", "a\"b", "a'b", "a\\b", "a\nProxyCommand x", "a\tb", "-oProxyCommand=x", "${HOME}", "a\u{7f}"])
    func whatSSHWouldReadOtherwiseIsRefused(_ text: String) {
        for isExpanded in [true, false] {
            #expect(throws: SFTPError.self) { try OpenSSHText.value(text, isExpanded: isExpanded) }
        }
    }

    @Test func aUserIsNotExpandedSoAPercentSignIsRefused() {
        #expect(throws: SFTPError.self) { try OpenSSHText.value("%h", isExpanded: false) }
    }

    @Test func onlyFingerprintsEnterTheScript() {
        let pins = [pin + "=", "\") touch /x ;; (\"", "SHA256:short"]
        let script = OpenSSHFiles.knownHostsScript([("ferry-target", pins)])
        #expect(script.contains("\"ferry-target \(pin)\")"))
        #expect(!script.contains("touch"))
        #expect(!script.contains("short"))
    }

    @Test func algorithmsAreNames() {
        let strange = ssh { $0.ciphers = ["aes128-ctr\nProxyCommand x"] }
        let target = OpenSSHHop(alias: "t", strange)
        #expect(throws: SFTPError.self) {
            try OpenSSHText.configuration(target: target, jumps: [], knownHosts: "/x", mayAsk: false, strange)
        }
    }

    // MARK: The log

    private let handshake = """
        debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1 Debian-2\r
        debug1: kex: algorithm: curve25519-sha256\r
        debug1: kex: host key algorithm: rsa-sha2-512\r
        debug1: kex: server->client cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none\r
        debug1: kex: client->server cipher: aes128-gcm@openssh.com MAC: <implicit> compression: none\r
        debug1: Server host key: ssh-rsa SHA256:abc\r
        Authenticated to 127.0.0.1 ([127.0.0.1]:22) using "publickey".\r

        """

    @Test func factsAreReadHoweverTheStreamIsCut() {
        let bytes = Array(handshake.utf8)
        for cut in 0...bytes.count {
            var log = OpenSSHLog()
            log.feed(bytes[..<cut])
            log.feed(bytes[cut...])
            #expect(log.isLoggedIn)
            #expect(log.facts.serverIdent == "SSH-2.0-OpenSSH_9.2p1 Debian-2")
            #expect(log.facts.keyExchange == "curve25519-sha256")
            #expect(log.facts.hostKeyAlgorithm == "rsa-sha2-512")
            #expect(log.facts.cipher == "aes128-gcm@openssh.com")
            #expect(log.facts.mac == "<implicit>")
            #expect(log.facts.hostKeyFingerprint == "SHA256:abc")
        }
    }

    @Test func anEndlessLineIsCutAndOnlyTheLastMessagesAreKept() {
        var log = OpenSSHLog()
        log.feed([UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20))
        for _ in 0..<1_000 { log.feed("line\n".utf8) }
        #expect(log.messages.count == 20)
        #expect(log.messages.allSatisfy { $0.utf8.count <= 1_024 })
    }

    @Test func failuresHaveTheirKinds() {
        func failure(_ text: String, _ ssh: SSHConfiguration) -> SFTPError {
            var log = OpenSSHLog()
            log.feed(text.utf8)
            return log.openingFailure(ssh)
        }
        let plain = ssh()
        #expect(
            failure("ferry: not pinned: ferry-target SHA256:x\nHost key verification failed.\n", plain)
                == .hostKeyMismatch(expected: [pin], found: "SHA256:x")
        )
        let jumping = ssh {
            $0.jumps = [SSHJump(host: "j", user: "u", credentials: .key(file: "/k"), hostKeys: ["SHA256:j"])]
        }
        #expect(
            failure("ferry: not pinned: ferry-jump-1 SHA256:x\r\nHost key verification failed.\n", jumping)
                == .hostKeyMismatch(expected: ["SHA256:j"], found: "SHA256:x")
        )
        let offer = "Unable to negotiate with 127.0.0.1 port 22: no matching MAC found. Their offer: hmac-md5"
        #expect(failure(offer + "\n", plain) == .noCommonAlgorithm([], reason: offer))
        #expect(
            failure("Load key \"/k\": error in libcrypto\nu@h: Permission denied (publickey,password).\n", plain)
                == .authenticationFailed(
                    user: "u",
                    methods: ["publickey", "password"],
                    reason: "Load key \"/k\": error in libcrypto"
                )
        )
        let refused = "ssh: connect to host h port 22: Connection refused"
        #expect(failure(refused + "\n", plain) == .connectFailed(host: "h", port: 22, reason: refused))
        guard case .connectFailed = failure("", plain) else { Issue.record("silence is no kind of refusal"); return }
    }
}
