// Targets on servers that are slow, lose connections, lie, or have no algorithm in common with the client.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Testing

extension OnTargets {
    @Suite struct TargetServerKindTests {
        private let bytes = Bytes.seeded(1, count: 100_000)

        private func withTarget(
            on kind: SFTPServerKind,
            verify: SFTPTargetOptions.Verify = .auto,
            _ body: (TargetUnderTest) async throws -> Void
        ) async throws {
            try await AdaptersTests.withTarget(.server(kind), verify: verify, body)
        }

        @Test(.enabled(if: SFTPServerKind.chrooted.isAvailable, "only root can start an sshd that changes its root"))
        func chrootedAccountsAreAmongTheTargets() {
            #expect(TargetKind.servers.contains(.server(.chrooted)))
        }

        @Test func aSlowTargetIsWaitedFor() async throws {
            try await withTarget(on: .slow) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: 100_000)
                #expect(try await test.session.ship(BytesReader(bytes), into: file) == .readback)
                let sealed = try await test.session.seal(file, size: 100_000, modified: 1_700_000_000)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                await sealed.close()
                #expect(test.content(file.path) == bytes)
            }
        }

        /// A stranger who makes a file at the final name at any moment of a rename keeps it, or finds ours there.
        @Test(arguments: [30, 80, 130, 180, 230, 280, 330])
        func aFileThatAppearsDuringARenameIsNotReplaced(milliseconds: Int) async throws {
            try await withTarget(on: .slow) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.ship(BytesReader(bytes), into: file)
                let session = test.session
                let renaming = Task { try await session.rename(file, overwrite: .never) }
                try await Task.sleep(for: .milliseconds(milliseconds))
                let theirs: [UInt8] = [1, 2, 3]
                let descriptor = open(test.path(file.path.description), O_WRONLY | O_CREAT | O_EXCL, 0o644)
                let isTheirs = descriptor >= 0
                if isTheirs {
                    #expect(write(descriptor, theirs, theirs.count) == theirs.count)
                    close(descriptor)
                }
                #expect(try await renaming.value == (isTheirs ? .taken : .renamed(atomic: true)))
                #expect(test.content(file.path) == (isTheirs ? Bytes(theirs) : bytes))
                #expect((test.content(file) != nil) == isTheirs)
            }
        }

        /// A gateway looks at the new name first, and makes no links.
        @Test(arguments: Overwrite.allCases)
        func aTakenNameSaysNothingAboutAPartFileThatIsGone(overwrite: Overwrite) async throws {
            try await withTarget(on: .gateway) { test async throws in
                let file = try PartFile.sample()
                try test.put(Bytes([9]), file.path)
                let error = await failure { _ = try await test.session.rename(file, overwrite: overwrite) }
                #expect(error?.kind == .interrupted, "\(String(describing: error))")
                #expect(test.content(file.path) == Bytes([9]))
            }
        }

        @Test func whatALostConnectionBrokeOffIsShippedAgain() async throws {
            try await withTarget(on: .losing(afterBytes: 1_000_000)) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                // Sent and read back a part is 600,000 bytes: each connection carries one whole, and breaks off the next.
                let parts = (0..<4).map {
                    BytesReader(Bytes.seeded(UInt64($0), count: 300_000), at: Int64($0) * 300_000)
                }
                var interruptions = 0
                for part in parts {
                    for attempt in 1...4 {
                        guard let error = await failure({ _ = try await test.session.ship(part, into: file) }) else {
                            break
                        }
                        #expect(error.kind == .interrupted, "\(error)")
                        #expect(attempt < 4, "\(error)")
                        interruptions += 1
                    }
                }
                #expect(interruptions > 0)
                #expect(test.content(file) == Bytes(parts.flatMap(\.bytes.array)))
            }
        }

        @Test(arguments: [
            (100, SFTPTargetOptions.Verify.auto), (100_000, .auto), (1 << 20, .auto), (3_000_000, .readback),
        ])
        func whatAServerLosesSilentlyIsFound(size: Int, verify: SFTPTargetOptions.Verify) async throws {
            try await withTarget(on: .shortWrites, verify: verify) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let reader = BytesReader(Bytes.seeded(1, count: size))
                let error = await failure { _ = try await test.session.ship(reader, into: file) }
                #expect(error?.kind == .partFileLost, "\(String(describing: error))")
            }
        }

        @Test(arguments: [SFTPServerKind.wrongRequestIDs, .oversizedPackets])
        func aServerThatBreaksTheProtocolIsSaidTo(kind: SFTPServerKind) async throws {
            try await withTarget(on: kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let error = await failure { _ = try await test.session.ship(BytesReader(bytes), into: file) }
                #expect(error?.kind == .protocolViolation, "\(String(describing: error))")
                // Another session is in order until it carries data, too.
                #expect(try await test.session.facts(of: file)?.kind == .file)
            }
        }

        @Test(arguments: [(SFTPServerKind.rsaHostKey, "host key algorithm"), (.encryptThenMAC, "MAC")])
        func aMissingAlgorithmIsNamed(kind: SFTPServerKind, what: String) async throws {
            try await withTarget(on: kind) { test async throws in
                let file = try PartFile.sample()
                // From libssh2 1.11 on there is nothing missing.
                guard let error = await failure({ try await test.session.prepare(file, size: nil) }) else { return }
                #expect(error.kind == .noCommonAlgorithm)
                #expect(error.detail.contains("no \(what) in common") && error.detail.contains("transport: openssh"))
                let again = await failure { _ = try await test.session.inspect() }
                #expect(again?.kind == .noCommonAlgorithm)
            }
        }
    }
}
