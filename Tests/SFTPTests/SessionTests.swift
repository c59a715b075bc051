// A session against a real sshd: opening, refusing, all requests, cancellation, loss.

import Foundation
import Glibc
import Harness
import NIOCore
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct ConnectTests {
        @Test func capabilitiesAndAlgorithmsAreTold() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let told = session.capabilities
            #expect(told.version == 3)
            #expect(told.extensions[SFTPExtension.posixRename] == "1")
            #expect(told.supports(SFTPExtension.copyData))
            #expect(told.limits?.maxWrite == 261_120)
            #expect(told.writeLength == 261_120)
            #expect(told.readLength == 261_120)
            #expect(told.transport.serverIdent.hasPrefix("SSH-2.0-OpenSSH"))
            #expect(told.transport.hostKeyFingerprint == server.hostKeyFingerprint)
            #expect(AlgorithmList.cipher.contains(told.transport.cipher))
            #expect(AlgorithmList.mac.contains(told.transport.mac))
            #expect(AlgorithmList.keyExchange.contains(told.transport.keyExchange))
            #expect(session.isAlive)
            await session.close()
            #expect(!session.isAlive)
            #expect(await failure { _ = try await session.stat("/") } == .closed)
            await session.close()
        }

        @Test(arguments: ["ed25519", "ecdsa"], [nil, "secret word"] as [String?])
        func keysFromFileAndMemory(_ type: String, _ passphrase: String?) async throws {
            let server = try await SSHServer.start()
            defer { withExtendedLifetime(server) {} }
            let directory = try TemporaryDirectory("key")
            let path = directory.path("key")
            for credential in try await server.onlyKey(type, passphrase: passphrase, at: path) {
                let session = try await server.connect { $0.credentials = credential }
                #expect(try await session.realpath("/") == "/")
                await session.close()
            }
            if passphrase != nil {
                let error = await failure { _ = try await server.connect { $0.credentials = .key(file: path) } }
                guard case .authenticationFailed = error else { Issue.record("\(String(describing: error))"); return }
            }
        }

        @Test func anUnpinnedHostKeyEndsItBeforeLogin() async throws {
            let server = try await SSHServer.start(hostKeyTypes: ["ed25519"])
            let wrong = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
            let error = await failure {
                _ = try await server.connect {
                    $0.hostKeys = [wrong]
                    $0.user = "nobody-should-see-this-name"
                }
            }
            #expect(error == .hostKeyMismatch(expected: [wrong], found: server.hostKeyFingerprint))
            #expect(error?.isRefusal == true)
            let log = server.log
            #expect(!log.contains("nobody-should-see-this-name"))
            let none = await failure { _ = try await server.connect { $0.hostKeys = [] } }
            #expect(none == .hostKeyMismatch(expected: [], found: server.hostKeyFingerprint))
            // Two pins, for rotation.
            let session = try await server.connect { $0.hostKeys = [wrong, server.hostKeyFingerprint + "="] }
            await session.close()
        }

        @Test func anECDSAHostKey() async throws {
            let server = try await SSHServer.start(hostKeyTypes: ["ecdsa"])
            let session = try await server.connect()
            #expect(session.capabilities.transport.hostKeyAlgorithm == "ecdsa-sha2-nistp256")
            await session.close()
        }

        @Test func aLoginThatIsRefusedSaysWhatTheServerOffers() async throws {
            let server = try await SharedServers.ssh()
            let directory = try TemporaryDirectory("key")
            _ = try await ChildProcess.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", directory.path("k")])
            let refused = await failure {
                _ = try await server.connect { $0.credentials = .key(file: directory.path("k")) }
            }
            guard case .authenticationFailed(let user, let methods, _) = refused else {
                Issue.record("\(String(describing: refused))")
                return
            }
            #expect(user == server.user)
            #expect(methods.contains("publickey"))
            let missing = await failure {
                _ = try await server.connect { $0.credentials = .key(file: directory.path("none")) }
            }
            #expect("\(try #require(missing))".contains("none: No such file"))
            try put(Array("not a key".utf8), directory.path("bad"))
            let bad = await failure {
                _ = try await server.connect { $0.credentials = .key(file: directory.path("bad")) }
            }
            guard case .authenticationFailed = bad else { Issue.record("\(String(describing: bad))"); return }
            try put(Array("wrong\n".utf8), directory.path("password"))
            let password = await failure {
                _ = try await server.connect { $0.credentials = .passwordFile(path: directory.path("password")) }
            }
            guard case .authenticationFailed = password else { Issue.record("\(String(describing: password))"); return }
        }

        @Test func nobodyListens() async throws {
            let server = try await SharedServers.ssh()
            let port = try FreePort.next()
            let closed = await failure { _ = try await server.connect { $0.port = port } }
            #expect(closed == .connectFailed(host: "127.0.0.1", port: port, reason: "Connection refused"))
            #expect(closed?.isConnectionLoss == true)
            let unknown = await failure { _ = try await server.connect { $0.host = "no-such-host.invalid" } }
            guard case .connectFailed = unknown else { Issue.record("\(String(describing: unknown))"); return }
        }

        @Test func noAlgorithmInCommon() async throws {
            let server = try await SSHServer.start(configuration: ["Ciphers chacha20-poly1305@openssh.com"])
            let error = try #require(await failure { _ = try await server.connect() })
            guard case .noCommonAlgorithm(let mismatches, _) = error else { Issue.record("\(error)"); return }
            #expect(mismatches.map(\.kind) == [.cipher])
            #expect(mismatches.first?.offered == ["chacha20-poly1305@openssh.com"])
            #expect(mismatches.first?.allowed.contains("aes128-ctr") == true)
            #expect(error.isRefusal && !error.isConnectionLoss)
            #expect("\(error)".contains("transport: openssh"))
        }

        @Test func aServerThatSaysNothingIsGivenUp() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            try proxy.pause()
            let begin = ContinuousClock.now
            let error = await failure {
                _ = try await server.connect {
                    $0.port = proxy.port
                    $0.connectTimeout = .milliseconds(500)
                }
            }
            guard case .connectFailed = error else { Issue.record("\(String(describing: error))"); return }
            #expect(begin.duration(to: .now) < .seconds(3))
        }

        @Test func connectingEndsAtOnceWhenCancelled() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            try proxy.pause()
            let task = Task { try await server.connect { $0.port = proxy.port } }
            try await eventually("the connection stands") { proxy.openConnections == 1 }
            task.cancel()
            let begin = ContinuousClock.now
            #expect(await failure { _ = try await task.value } == .cancelled)
            #expect(begin.duration(to: .now) < .seconds(2))
            // A paused proxy does not see the end.
            try proxy.resume()
            try await eventually("the connection is closed") { proxy.openConnections == 0 }
        }

        @Test func serversWithoutExtensionsStillServe() async throws {
            let denied = [
                "limits", "posix-rename", "fsync", "statvfs", "copy-data", "hardlink",
            ].joined(separator: ",")
            let server = try await SSHServer.start(sftp: .internal(flags: "-P \(denied)"))
            let session = try await server.connect()
            #expect(session.capabilities.limits == nil)
            #expect(session.writeLength == 32_768)
            let path = server.fresh()
            let file = try await session.open(path, [.write, .create, .exclusive])
            var random = SeededGenerator(seed: 11)
            let bytes = random.bytes(300_000)
            try await file.write(ByteBuffer(bytes: bytes), at: 0)
            #expect(await failure { try await file.fsync() } == .unsupported(extension: SFTPExtension.fsync))
            #expect(
                await failure { try await session.posixRename(path, to: path + "2") }
                    == .unsupported(extension: SFTPExtension.posixRename)
            )
            #expect(
                await failure { _ = try await session.statvfs("/") } == .unsupported(extension: SFTPExtension.statvfs)
            )
            try await file.close()
            #expect(try contents(path) == bytes)
            await session.close()
        }

        @Test func twoHundredSessionsLeaveNoDescriptor() async throws {
            let server = try await SSHServer.start(configuration: ["MaxStartups 100"])
            try await server.connect().close()
            let before = try descriptorCount()
            for _ in 0..<50 {
                await withTaskGroup(of: Void.self) { group in
                    for index in 0..<4 {
                        group.addTask {
                            // Every fourth is refused, so that failures are counted too.
                            guard let session = try? await server.connect({ if index == 3 { $0.hostKeys = ["no"] } })
                            else { return }
                            await session.close()
                        }
                    }
                }
            }
            try await eventually("descriptors are back", within: .seconds(10)) { try descriptorCount() <= before + 8 }
        }
    }
}
