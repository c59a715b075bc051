// Trouble with a server: what is said about it, and that the next call works.

import Adapters
import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import SFTP
import Synchronization
import Testing

extension OnTargets {
    @Suite struct SFTPTargetFailureTests {
        // MARK: No session

        @Test func aServerThatIsGoneIsUnreachableUntilItIsBack() async throws {
            let server = try await SSHServer.start()
            await server.stop()
            try await server.withTarget { test async throws in
                let file = try PartFile.sample()
                let reader = BytesReader(Bytes.seeded(1, count: 100_000))
                #expect(await failure { try await test.session.prepare(file, size: nil) }?.kind == .unreachable)
                #expect(await failure { _ = try await test.session.inspect() }?.kind == .unreachable)
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .unreachable)
                try await server.restart()
                try await eventually("the server is used again", within: .seconds(30)) {
                    try await test.session.facts(of: file) == nil
                }
                try await test.session.prepare(file, size: nil)
                #expect(try await test.session.ship(reader, into: file) == .digest)
                // And with sessions that were open.
                await server.stop()
                let lost = await failure { _ = try await test.session.facts(of: file) }?.kind
                #expect(lost == .unreachable || lost == .interrupted)
            }
        }

        @Test func anotherHostKeyIsTold() async throws {
            let server = try await SSHServer.start()
            let pinned = "SHA256:" + String(repeating: "A", count: 43)
            try await server.withTarget(change: { $0.hostKeys = [pinned] }) { test async throws in
                for _ in 0..<2 {
                    let error = await failure { _ = try await test.session.inspect() }
                    #expect(error?.kind == .hostKeyMismatch)
                    #expect(error?.detail.contains(pinned) == true)
                    #expect(error?.detail.contains(server.hostKeyFingerprint) == true)
                }
            }
        }

        @Test func aRefusedLoginIsToldAndNotRepeatedAtOnce() async throws {
            let server = try await SSHServer.start()
            try "".write(toFile: server.authorizedKeysFile, atomically: true, encoding: .utf8)
            try await server.withTarget { test async throws in
                let file = try PartFile.sample()
                #expect(await failure { _ = try await test.session.inspect() }?.kind == .loginRefused)
                let told = ContinuousClock.now
                #expect(await failure { try await test.session.prepare(file, size: nil) }?.kind == .loginRefused)
                #expect(ContinuousClock.now - told > .seconds(4))
                // The harness looked whether it answers, and then there were two logins.
                #expect(server.log.components(separatedBy: "Connection from").count - 1 <= 3)
            }
        }

        @Test func afterShutdownCallsFailAtOnce() async throws {
            let server = try await SSHServer.start()
            let options = SFTPTargetOptions(root: server.root)
            let target = SFTPTarget(server.account, options: options, sessions: 1, logger: silent)
            let file = try PartFile.sample()
            #expect(try await target.facts(of: file) == nil)
            await target.shutdown()
            #expect(await failure { _ = try await target.facts(of: file) }?.kind == .interrupted)
            #expect(await failure { _ = try await target.inspect() }?.kind == .interrupted)
        }

        // MARK: Rights and room

        @Test func whatTheAccountMayNotDoIsTold() async throws {
            // Root is bound by no mode, so that there the server's own program drops its rights.
            let dropped = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/openssh/sftp-server"
            let isRoot = geteuid() == 0
            let server = try await SSHServer.start(sftp: isRoot ? .command(dropped) : .external)
            try await server.withTarget { test async throws in
                try test.write(Bytes([1]), "in/theirs")
                for directory in ["in", ""] {
                    try FileManager.default.setAttributes(
                        [.posixPermissions: isRoot ? 0o755 : 0o555],
                        ofItemAtPath: test.path(directory)
                    )
                }
                for path in ["film.mov", "in/film.mov", "new/film.mov"] {
                    let file = try PartFile.sample(path)
                    let error = await failure { try await test.session.prepare(file, size: nil) }
                    #expect(error?.kind == .permissionDenied, "\(path): \(String(describing: error))")
                }
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: test.path("in"))
            }
        }

        @Test func aFullDiskIsTold() async throws {
            let server = try await SSHServer.start()
            let root = server.path("full")
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            let mount = try await ChildProcess.run("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", root])
            // Only where file systems may be mounted; elsewhere there is no small one to fill.
            guard mount.isSuccess else { return }
            do {
                try await server.withTarget(root: "full") { test async throws in
                    let file = try PartFile.sample()
                    try await test.session.prepare(file, size: 3 << 20 - 65_536)
                    let first = BytesReader(Bytes.seeded(1, count: 2 << 20))
                    #expect(try await test.session.ship(first, into: file) == .digest)
                    let second = BytesReader(Bytes.seeded(2, count: 2 << 20), at: 2 << 20)
                    #expect(await failure { _ = try await test.session.ship(second, into: file) }?.kind == .diskFull)
                    let other = try PartFile.sample("other.mov")
                    #expect(await failure { try await test.session.prepare(other, size: 2 << 20) }?.kind == .diskFull)
                    // What was there is untouched, and the session is well.
                    #expect(try await test.session.ship(first, into: file) == .digest)
                    try await test.session.remove(file)
                    try await test.session.prepare(other, size: 2 << 20)
                    #expect(try await test.session.ship(first, into: other) == .digest)
                }
            } catch {
                _ = try await ChildProcess.run("umount", ["-l", root])
                throw error
            }
            #expect(try await ChildProcess.run("umount", ["-l", root]).isSuccess)
        }

        @Test(arguments: [
            ("Disk quota exceeded", TargetError.Kind.quotaExceeded, "Disk quota exceeded"),
            ("no", .failed, "bytes are left: is it a quota, or a limit of the server?"),
        ])
        func aLimitOfTheAccountIsTold(words: String, kind: TargetError.Kind, told: String) async throws {
            let server = try await AsyncSSHServer.start(.limited(bytes: 100_000, words: words))
            try await server.withTarget { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: 180_000)
                let first = BytesReader(Bytes.seeded(1, count: 90_000))
                _ = try await test.session.ship(first, into: file)
                let second = BytesReader(Bytes.seeded(2, count: 90_000), at: 90_000)
                let error = await failure { _ = try await test.session.ship(second, into: file) }
                #expect(error?.kind == kind)
                #expect(error?.detail.contains(told) == true, "\(error?.detail ?? "")")
                // What was there is untouched, and the session is well.
                #expect(test.content(file) == first.bytes)
                _ = try await test.session.ship(first, into: file)
            }
        }

        @Test(.enabled(if: geteuid() == 0, "only root can show an account another directory"))
        func commandsThatSeeOtherFilesAreNotBelieved() async throws {
            let (hidden, shown) = (try TemporaryDirectory("hidden"), try TemporaryDirectory("shown"))
            let programs = try TemporaryDirectory("programs")
            let program = programs.path("sftp")
            let bind = "#!/bin/sh\nmount --bind \(hidden.path) \(shown.path) && exec /usr/lib/openssh/sftp-server\n"
            try Data(bind.utf8).write(to: URL(fileURLWithPath: program))
            let server = try await SSHServer.start(sftp: .command("unshare -m sh \(program)"))
            let target = SFTPTarget(
                server.account,
                options: SFTPTargetOptions(root: shown.path),
                sessions: 1,
                logger: silent
            )
            let file = try PartFile.sample("film.mov")
            let reader = BytesReader(Bytes.seeded(1, count: 100_000))
            try await target.prepare(file, size: 100_000)
            #expect(FileManager.default.fileExists(atPath: hidden.path(file.name)))
            // They are asked once, and what they say is no reason to build the file anew.
            #expect(await failure { _ = try await target.ship(reader, into: file) }?.kind == .interrupted)
            #expect(try await target.ship(reader, into: file) == .readback)
            #expect(try await target.inspect()["exec"] == "elsewhere")
            await target.shutdown()
        }

        // MARK: Lost on the way

        @Test func sessionsKilledInTheMiddleOfAPart() async throws {
            let server = try await SSHServer.start()
            try await server.withTarget { test async throws in
                let file = try PartFile.sample()
                let bytes = Bytes.seeded(1, count: 6_000_000)
                try await test.session.prepare(file, size: nil)
                // A first part, so that the digest helper has a session to lose too.
                #expect(try await test.session.ship(BytesReader(Bytes.seeded(2, count: 70_000)), into: file) == .digest)
                let hasKilled = Mutex(false)
                let reader = BytesReader(bytes) { position in
                    guard position > 2_000_000, !hasKilled.withLock({ exchange(&$0, true) }) else { return }
                    server.killSessions()
                }
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .interrupted)
                #expect(hasKilled.withLock { $0 })
                #expect(try await test.session.ship(reader, into: file) == .digest)
                #expect(test.content(file) == bytes)
            }
        }

        @Test func aCancelledShipEndsAtOnceAndHarmsNobody() async throws {
            try await withTarget(.openSSH) { test async throws in
                let file = try PartFile.sample()
                let bytes = Bytes.seeded(1, count: 1_000_000)
                try await test.session.prepare(file, size: nil)
                let (reading, continuation) = AsyncStream.makeStream(of: Void.self)
                let stuck = BytesReader(bytes) { position in
                    guard position > 0 else { return }
                    continuation.yield()
                    // Ends with its task only.
                    try? await Task.sleep(for: .seconds(3_600))
                }
                let task = Task { try await test.session.ship(stuck, into: file) }
                for await _ in reading { break }
                task.cancel()
                #expect(await failure { _ = try await task.value }?.kind == .cancelled)
                #expect(try await test.session.ship(BytesReader(bytes), into: file) == .digest)
                #expect(test.content(file) == bytes)
            }
        }

        @Test func aPartFileRemovedWhileItIsWrittenIsMissed() async throws {
            try await withTarget(.openSSH) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let path = test.path(file)
                let reader = BytesReader(Bytes.seeded(1, count: 1_000_000)) { position in
                    if position > 0 { try? FileManager.default.removeItem(atPath: path) }
                }
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .partFileLost)
                #expect(test.content(file) == nil)
            }
        }

        @Test func theConfiguredProofIsTheOneThatIsGiven() async throws {
            try await withTarget(.openSSH, verify: .digest) { test async throws in
                let file = try PartFile.sample()
                let bytes = Bytes.seeded(1, count: 5_000)
                try await test.session.prepare(file, size: nil)
                #expect(try await test.session.ship(BytesReader(bytes), into: file) == .digest)
            }
            try await withTarget(.openSSH, verify: .size) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let bytes = Bytes.seeded(1, count: 5_000)
                #expect(try await test.session.ship(BytesReader(bytes), into: file) == .size)
            }
            try await withTarget(.openSSH, verify: .readback) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let bytes = Bytes.seeded(1, count: 3_000_000)
                #expect(try await test.session.ship(BytesReader(bytes), into: file) == .readback)
            }
            try await withTarget(.withoutExtensions, verify: .digest) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let reader = BytesReader(Bytes.seeded(1, count: 5_000))
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .unsupported)
            }
        }
    }
}

private func exchange(_ value: inout Bool, _ new: Bool) -> Bool {
    defer { value = new }
    return value
}
