// The openssh transport against real servers: what the library cannot do, and what both must do alike.

import Foundation
import Glibc
import Harness
import NIOCore
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct OpenSSHTransportTests {
        private func connect(
            _ server: SSHServer,
            _ change: (inout SSHConfiguration) -> Void = { _ in }
        ) async throws -> SFTPSession {
            try await server.connect {
                $0.transport = .openSSH
                change(&$0)
            }
        }

        private func roundTrip(_ session: SFTPSession, _ path: String, count: Int = 3_000_001) async throws {
            var random = SeededGenerator(seed: 7)
            let bytes = random.bytes(count)
            let file = try await session.open(path, [.write, .create, .exclusive], permissions: 0o600)
            try await file.write(ByteBuffer(bytes: bytes), at: 0)
            try await file.close()
            #expect(try contents(path) == bytes)
            let reading = try await session.open(path, .read, permissions: nil)
            var found = ByteBuffer()
            while found.readableBytes < count {
                var piece = try await reading.read(at: UInt64(found.readableBytes), length: count)
                guard piece.readableBytes > 0 else { break }
                found.writeBuffer(&piece)
            }
            #expect(Array(found.readableBytesView) == bytes)
            try await reading.close()
        }

        @Test func aSessionCarriesFilesBothWays() async throws {
            let server = try await SharedServers.ssh()
            let session = try await connect(server)
            let told = session.capabilities.transport
            #expect(told.serverIdent.hasPrefix("SSH-2.0-OpenSSH"))
            #expect(told.hostKeyFingerprint == server.hostKeyFingerprint)
            #expect(told.cipher == "aes128-gcm@openssh.com")
            #expect(told.keyExchange == "curve25519-sha256")
            #expect(session.capabilities.writeLength == 261_120)
            try await roundTrip(session, server.fresh(), count: 20_000_003)
            await session.close()
            #expect(!session.isAlive)
        }

        @Test func anRSAHostKeyNeedsIt() async throws {
            let server = try await SSHServer.start(hostKeyTypes: ["rsa"])
            let error = await failure { _ = try await server.connect() }
            guard case .noCommonAlgorithm = error else { Issue.record("\(String(describing: error))"); return }
            let session = try await connect(server)
            #expect(session.capabilities.transport.hostKeyAlgorithm.hasPrefix("rsa-sha2-"))
            try await roundTrip(session, server.fresh())
            await session.close()
        }

        @Test(arguments: [
            ["Ciphers aes128-gcm@openssh.com"], ["Ciphers aes128-ctr", "MACs hmac-sha2-256-etm@openssh.com"],
        ])
        func gcmAndEncryptThenMAC(_ lines: [String]) async throws {
            let server = try await SSHServer.start(configuration: lines)
            let session = try await connect(server)
            try await roundTrip(session, server.fresh())
            await session.close()
        }

        @Test(arguments: ["rsa", "ed25519"], [nil, "secret \"word' $HOME"] as [String?])
        func keysFromFileAndMemory(_ type: String, _ passphrase: String?) async throws {
            let server = try await SSHServer.start()
            defer { withExtendedLifetime(server) {} }
            let directory = try TemporaryDirectory("key")
            let path = directory.path("key of 100%")
            for credential in try await server.onlyKey(type, passphrase: passphrase, at: path) {
                let session = try await connect(server) { $0.credentials = credential }
                #expect(try await session.realpath("/") == "/")
                await session.close()
            }
            if passphrase != nil {
                let error = await failure { _ = try await connect(server) { $0.credentials = .key(file: path) } }
                guard case .authenticationFailed = error else { Issue.record("\(String(describing: error))"); return }
            }
        }

        @Test func aCertificateLogsIn() async throws {
            let directory = try TemporaryDirectory("certificate")
            let (authority, key) = (directory.path("ca"), directory.path("key"))
            for path in [authority, key] {
                let made = try await ChildProcess.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path])
                #expect(made.isSuccess)
            }
            let server = try await SSHServer.start(configuration: ["TrustedUserCAKeys \(authority).pub"])
            let signed = try await ChildProcess.run(
                "ssh-keygen",
                ["-q", "-s", authority, "-I", "ferry", "-n", server.user, "\(key).pub"]
            )
            #expect(signed.isSuccess)
            let alone = await failure { _ = try await connect(server) { $0.credentials = .key(file: key) } }
            // ssh finds `key-cert.pub` beside the key by itself; so the lone key has another name.
            #expect(alone == nil)
            let moved = directory.path("certificate.pub")
            #expect(rename("\(key)-cert.pub", moved) == 0)
            let refused = await failure { _ = try await connect(server) { $0.credentials = .key(file: key) } }
            guard case .authenticationFailed(server.user, ["publickey"], _) = refused else {
                Issue.record("\(String(describing: refused))")
                return
            }
            let session = try await connect(server) {
                $0.credentials = .key(file: key)
                $0.certificateFile = moved
            }
            try await roundTrip(session, server.fresh())
            await session.close()
        }

        @Test func aJumpHostIsPassedWithPinsOfItsOwn() async throws {
            let server = try await SSHServer.start()
            let gate = try await SSHServer.start(configuration: ["AllowTcpForwarding yes"])
            let jump = SSHJump(
                host: "127.0.0.1",
                port: gate.port,
                user: gate.user,
                credentials: .key(file: gate.keyFile),
                hostKeys: [gate.hostKeyFingerprint]
            )
            let session = try await connect(server) { $0.jumps = [jump] }
            #expect(session.capabilities.transport.hostKeyFingerprint == server.hostKeyFingerprint)
            #expect(gate.log.contains("Accepted publickey"))
            try await roundTrip(session, server.fresh())
            await session.close()
            var stranger = jump
            stranger.hostKeys = [server.hostKeyFingerprint]
            let error = await failure { _ = try await connect(server) { $0.jumps = [stranger] } }
            #expect(
                error == .hostKeyMismatch(expected: [server.hostKeyFingerprint], found: gate.hostKeyFingerprint)
            )
            await server.stop()
            let away = await failure { _ = try await connect(server) { $0.jumps = [jump] } }
            guard case .connectFailed = away else { Issue.record("\(String(describing: away))"); return }
        }

        @Test func anUnpinnedHostKeyEndsItBeforeLogin() async throws {
            let server = try await SSHServer.start()
            let wrong = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
            for pins in [[wrong], []] {
                let error = await failure {
                    _ = try await connect(server) {
                        $0.hostKeys = pins
                        $0.user = "nobody-should-see-this-name"
                    }
                }
                #expect(error == .hostKeyMismatch(expected: pins, found: server.hostKeyFingerprint))
            }
            #expect(!server.log.contains("nobody-should-see-this-name"))
            let session = try await connect(server) { $0.hostKeys = [wrong, server.hostKeyFingerprint + "="] }
            await session.close()
        }

        @Test func refusalsAndSilenceHaveTheirNames() async throws {
            let server = try await SSHServer.start()
            try put([], server.authorizedKeysFile)
            let refused = await failure { _ = try await connect(server) }
            guard case .authenticationFailed(server.user, ["publickey"], _) = refused else {
                Issue.record("\(String(describing: refused))")
                return
            }
            let port = server.port
            await server.stop()
            let away = await failure { _ = try await connect(server) }
            guard case .connectFailed("127.0.0.1", port, let reason) = away else {
                Issue.record("\(String(describing: away))")
                return
            }
            #expect(reason.contains("Connection refused"))
            let missing = await failure { _ = try await connect(server) { $0.credentials = .key(file: "/no/key") } }
            guard case .authenticationFailed(_, _, let words) = missing else {
                Issue.record("\(String(describing: missing))")
                return
            }
            #expect(words.contains("/no/key"))
        }

        @Test func nothingIsLeftOfASession() async throws {
            let server = try await SharedServers.ssh()
            let children = { Set(ProcessTree.descendants(of: getpid())) }
            let before = (children: children(), descriptors: try descriptorCount())
            for _ in 0..<3 {
                let session = try await connect(server)
                #expect(children().count > before.children.count)
                await session.close()
            }
            let wrong = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
            #expect(await failure { _ = try await connect(server) { $0.hostKeys = [wrong] } } != nil)
            try await eventually("all children are gone") { children().isSubset(of: before.children) }
            try await eventually("all descriptors are closed") { try descriptorCount() <= before.descriptors }
        }

        @Test func aKilledChildEndsTheSession() async throws {
            let server = try await SSHServer.start()
            let session = try await connect(server)
            server.killSessions()
            let error = await failure { for _ in 0..<100 { _ = try await session.stat("/") } }
            guard case .disconnected = error else { Issue.record("\(String(describing: error))"); return }
            #expect(!session.isAlive)
        }

        @Test func commandsTalkInLines() async throws {
            let server = try await SharedServers.ssh()
            var configuration = server.configuration
            configuration.transport = .openSSH
            let command = try await SSHCommand.start(
                "echo ready; while read -r line; do echo \"<$line>\"; done",
                greeting: "ready",
                configuration,
                logger: quiet
            )
            try command.write("one")
            #expect(try await command.readLine(within: .seconds(10)) == "<one>")
            await command.close()
        }

        @Test func aForcedCommandIsARefusal() async throws {
            let server = try await SSHServer.start(configuration: ["ForceCommand internal-sftp"])
            var configuration = server.configuration
            configuration.transport = .openSSH
            let error = await failure {
                _ = try await SSHCommand.start("echo ready; cat", greeting: "ready", configuration, logger: quiet)
            }
            guard case .execRefused = error else { Issue.record("\(String(describing: error))"); return }
        }

        @Test func theOtherTransportSaysWhatItLacks() async throws {
            let server = try await SharedServers.ssh()
            let error = await failure { _ = try await server.connect { $0.certificateFile = "/c" } }
            guard case .invalidArgument(let words) = error else { Issue.record("\(String(describing: error))"); return }
            #expect(words.contains("openssh"))
        }
    }
}
