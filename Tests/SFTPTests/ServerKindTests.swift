// The client on servers of all kinds: what they refuse, and that it finds out those that break the protocol.

import Foundation
import Harness
import NIOCore
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct ServerKindTests {
        private static let bytes: [UInt8] = {
            var random = SeededGenerator(seed: 31)
            return random.bytes(300_000)
        }()

        private func with(
            _ kind: SFTPServerKind,
            _ body: (_ server: any SFTPServer, _ session: SFTPSession) async throws -> Void
        ) async throws {
            let server = try await SharedServers.sftp(kind)
            let session = try await server.connect()
            do { try await body(server, session) } catch {
                await session.close()
                throw error
            }
            await session.close()
        }

        /// A new file with these bytes.
        private func create(
            _ path: String,
            _ bytes: [UInt8] = ServerKindTests.bytes,
            on session: SFTPSession
        ) async throws -> SFTPFile {
            let file = try await session.open(path, [.write, .create, .exclusive])
            try await file.write(ByteBuffer(bytes: bytes), at: 0)
            return file
        }

        private func onDisk(_ server: any SFTPServer, _ path: String) throws -> [UInt8] {
            try contents(server.path(String(path.split(separator: "/").last ?? "")))
        }

        // MARK: Servers that are in order

        private static let ordinary = SFTPServerKind.available.filter {
            [.openSSH, .chrooted, .withoutExtensions, .fewCommands, .proFTPD, .slow].contains($0)
        }

        @Test(arguments: ordinary) func writesAtOffsetsAndRenamesToFreeNames(kind: SFTPServerKind) async throws {
            try await with(kind) { server, session async throws in
                let path = server.fresh()
                let file = try await session.open(path, [.write, .create, .exclusive], permissions: 0o600)
                try await file.write(ByteBuffer(bytes: Self.bytes[200_000...]), at: 200_000)
                try await file.write(ByteBuffer(bytes: Self.bytes[..<200_000]), at: 0)
                let time: UInt32 = 1_700_000_000
                try await file.setAttributes(FileAttributes(accessTime: time, modificationTime: time))
                #expect(try await file.fstat().modificationTime == time)
                try await file.close()
                #expect(try onDisk(server, path) == Self.bytes)
                let taken = server.fresh("taken")
                try await create(taken, [1], on: session).close()
                #expect(await failure { try await session.rename(path, to: taken) }?.isUnexplained == true)
                #expect(try onDisk(server, taken) == [1])
                try await session.rename(path, to: path + "-free")
                #expect(try onDisk(server, path + "-free") == Self.bytes)
            }
        }

        @Test(arguments: ordinary) func linksAreToldFromWhatTheyLeadTo(kind: SFTPServerKind) async throws {
            try await with(kind) { server, session async throws in
                let directory = server.fresh("links")
                let place = server.path(String(directory.split(separator: "/").last ?? ""))
                try await session.mkdir(directory)
                try await create(directory + "/file", [1, 2], on: session).close()
                for (name, leadsTo) in [("link", "file"), ("up", ".."), ("none", "missing"), ("loop", "loop")] {
                    try FileManager.default.createSymbolicLink(
                        atPath: place + "/" + name,
                        withDestinationPath: leadsTo
                    )
                    #expect(try await session.lstat(directory + "/" + name).isSymbolicLink, "\(name)")
                }
                let file = try await session.lstat(directory + "/file")
                #expect(file.isRegular && file.size == 2)
                #expect(try await session.lstat(directory).isDirectory)
                #expect(try await session.stat(directory + "/link").isRegular)
                let gone = await failure { _ = try await session.lstat(directory + "/missing") }
                #expect(statusCode(gone) == .noSuchFile)
            }
        }

        @Test func proFTPDTakesDigestsThoughItDoesNotSaySo() async throws {
            try await with(.proFTPD) { server, session async throws in
                let path = server.fresh()
                try await create(path, on: session).close()
                #expect(session.capabilities.transport.serverIdent.contains("mod_sftp"))
                #expect(!session.capabilities.isOpenSSH)
                #expect(session.capabilities.extensions.keys.allSatisfy { !$0.hasPrefix("check-file") })
                // draft-ietf-secsh-filexfer-extensions-00 §3: name, algorithms, offset, length, block size.
                func digest(at offset: UInt64, length: UInt64) async throws -> [UInt8] {
                    var payload = ByteBuffer()
                    payload.writeText(path)
                    payload.writeText("sha256")
                    payload.writeMultipleIntegers(offset, length, UInt32(0))
                    let answer = try await session.extended("check-file-name", payload, path: path, force: true)
                    return Array(answer.readableBytesView.suffix(32))
                }
                let whole = sha256(Self.bytes)
                equal(try await digest(at: 0, length: 0), whole)
                equal(try await digest(at: 0, length: 300_000), whole)
                equal(try await digest(at: 50_000, length: 250_000), sha256(Self.bytes[50_000...]))
                equal(try await digest(at: 0, length: 32_768), sha256(Self.bytes[..<32_768]))
                // What makes it useless for parts: it reads in steps of its own, and stops at none of them.
                #expect(try await digest(at: 50_000, length: 50_000) != sha256(Self.bytes[50_000..<100_000]))
            }
        }

        // MARK: Gateways

        @Test(arguments: [SFTPServerKind.gateway, .publishingGateway])
        func aGatewayTakesAFileOnceAndInOrder(kind: SFTPServerKind) async throws {
            try await with(kind) { server, session async throws in
                let path = server.fresh()
                let file = try await create(path, on: session)
                let refusals: [(String, () async throws -> Void)] = [
                    ("offset", { try await file.write(ByteBuffer(bytes: [1]), at: 1_000_000) }),
                    ("again", { try await file.write(ByteBuffer(bytes: [1]), at: 0) }),
                    ("read", { _ = try await file.read(at: 0, length: 10) }),
                    ("fsetstat", { try await file.setAttributes(FileAttributes(permissions: 0o600)) }),
                    ("fsync", { try await file.fsync() }),
                ]
                for (name, refused) in refusals { #expect(await failure(refused) != nil, "\(name)") }
                try await file.close()
                #expect(try onDisk(server, path) == Self.bytes)
                for flags: OpenFlags in [.write, [.write, .append], [.read, .write], [.write, .create, .exclusive]] {
                    #expect(await failure { _ = try await session.open(path, flags) } != nil, "\(flags)")
                }
                let attributes = FileAttributes(accessTime: 1, modificationTime: 1)
                #expect(await failure { try await session.setstat(path, attributes) } != nil)
                #expect(session.capabilities.extensions.isEmpty)
                // What is there can be read, replaced as a whole, and removed.
                let reader = try await session.open(path, .read)
                #expect(
                    try await reader.read(at: 100_000, length: 100) == ByteBuffer(bytes: Self.bytes[100_000..<100_100])
                )
                try await reader.close()
                try await session.open(path, [.write, .create, .truncate]).close()
                #expect(try onDisk(server, path).isEmpty)
                try await session.remove(path)
            }
        }

        @Test func aGatewayRenamesToFreeNamesOnly() async throws {
            try await with(.gateway) { server, session async throws in
                let (first, second) = (server.fresh(), server.fresh())
                try await create(first, [1], on: session).close()
                try await create(second, [2], on: session).close()
                #expect(await failure { try await session.rename(first, to: second) }?.isUnexplained == true)
                try await session.rename(first, to: first + "-free")
                #expect(try onDisk(server, first + "-free") == [1])
            }
        }

        @Test func aPublishingGatewayShowsClosedFilesOnly() async throws {
            try await with(.publishingGateway) { server, session async throws in
                let path = server.fresh()
                let file = try await create(path, on: session)
                #expect(statusCode(await failure { _ = try await session.stat(path) }) == .noSuchFile)
                #expect(try await file.fstat().size == 300_000)
                try await file.close()
                #expect(try await session.stat(path).size == 300_000)
                #expect(await failure { try await session.rename(path, to: path + "-free") } != nil)
                // What is not closed by the client is never seen.
                let lost = try await server.connect()
                let held = try await create(path + "-lost", on: lost)
                await lost.close()
                withExtendedLifetime(held) {}
                let arriving = server.directory + "/arriving"
                try await eventually("the server has given it up") {
                    try FileManager.default.contentsOfDirectory(atPath: arriving).isEmpty
                }
                #expect(statusCode(await failure { _ = try await session.stat(path + "-lost") }) == .noSuchFile)
            }
        }

        // MARK: Trouble

        @Test func aSlowServerIsWaitedFor() async throws {
            try await with(.slow) { server, session async throws in
                let begin = ContinuousClock.now
                for _ in 0..<5 { _ = try await session.stat(server.root) }
                #expect(begin.duration(to: .now) >= .seconds(5 * SFTPServerKind.slowSeconds))
            }
        }

        @Test func aLostConnectionKeepsWhatCameThrough() async throws {
            let kind = SFTPServerKind.losing(afterBytes: 200_000)
            let server = try await SharedServers.sftp(kind)
            let path = server.fresh()
            for round in 1...2 {
                let session = try await server.connect()
                let flags: OpenFlags = round == 1 ? [.write, .create, .exclusive] : .write
                let file = try await session.open(path, flags)
                let offset = (round - 1) * 150_000
                let rest = ByteBuffer(bytes: Self.bytes[offset...])
                let error = await failure { try await file.write(rest, at: UInt64(offset)) }
                guard round == 1 else {
                    // 150,000 bytes are fewer than are carried.
                    #expect(error == nil)
                    await session.close()
                    continue
                }
                #expect(error?.isConnectionLoss == true, "\(String(describing: error))")
                #expect(try onDisk(server, path) == Array(Self.bytes[..<200_000]))
                #expect(!session.isAlive)
            }
            #expect(try onDisk(server, path) == Self.bytes)
        }

        @Test func aShortWriteIsNotSeenButByReading() async throws {
            try await with(.shortWrites) { server, session async throws in
                let path = server.fresh()
                try await create(path, on: session).close()
                let file = try await session.open(path, .read)
                #expect(try await file.read(at: 0, length: 300_000) != ByteBuffer(bytes: Self.bytes))
                try await file.close()
            }
        }

        @Test(arguments: [
            (SFTPServerKind.wrongRequestIDs, "which is not waiting"), (.oversizedPackets, "packet of 536870912 bytes"),
        ])
        func aServerThatBreaksTheProtocolIsLeft(kind: SFTPServerKind, words: String) async throws {
            try await with(kind) { server, session async throws in
                let path = server.fresh()
                let file = try await session.open(path, [.read, .write, .create])
                let error = await failure { try await file.write(ByteBuffer(bytes: Self.bytes), at: 0) }
                guard case .protocolViolation(let what) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(what.contains(words), "\(what)")
                #expect(!session.isAlive)
            }
        }

        @Test(arguments: [SFTPServerKind.rsaHostKey, .encryptThenMAC])
        func whatIsMissingIsNamed(kind: SFTPServerKind) async throws {
            let server = try await SharedServers.sftp(kind)
            let error: SFTPError
            do {
                let session = try await server.connect()
                // From libssh2 1.11 on there is nothing missing.
                #expect(kind == .rsaHostKey || session.capabilities.transport.mac.contains("etm"))
                await session.close()
                return
            } catch let found as SFTPError { error = found }
            guard case .noCommonAlgorithm(let mismatches, let advice) = error else {
                Issue.record("\(error)")
                return
            }
            let found = try #require(mismatches.first)
            #expect(mismatches.count == 1 && advice.contains("transport: openssh"))
            switch kind {
            case .rsaHostKey:
                #expect(found.kind == .hostKey && found.offered.contains("rsa-sha2-512"))
                #expect(found.allowed.contains("ssh-ed25519") && !found.allowed.contains("rsa-sha2-512"))
            default:
                #expect(found.kind == .mac && found.offered.contains("hmac-sha2-256-etm@openssh.com"))
                #expect(found.allowed.contains("hmac-sha2-256"))
            }
            #expect(error.isRefusal)
        }
    }
}
