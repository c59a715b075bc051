// What is asked of a small file at once, over a real sshd.

import Harness
import NIOCore
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct SmallFileTests {
        @Test func openingSeesWhatIsAround() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let directory = server.fresh("around")
            try await session.mkdir(directory, permissions: 0o755)
            try put([1, 2, 3], "\(directory)/there")
            try await session.symlink("\(directory)/link", target: "there")
            func open(_ name: String, lookingAt other: String) async throws(SFTPError) -> OpenedFile {
                try await session.open(
                    "\(directory)/\(name)",
                    [.read, .write, .create, .exclusive],
                    permissions: 0o600,
                    resolving: "\(directory)/.",
                    lookingAt: "\(directory)/\(other)"
                )
            }
            let first = try await open("a", lookingAt: "there")
            let home = try await session.realpath(directory)
            #expect(try first.directory.get() == home)
            #expect(try first.neighbour.get()?.size == 3)
            let second = try await open("b", lookingAt: "none")
            #expect(try second.neighbour.get() == nil)
            let third = try await open("c", lookingAt: "link")
            #expect(try third.neighbour.get()?.isSymbolicLink == true)
            // What fails beside it is told with it; what opens nothing throws.
            let astray = try await open("d", lookingAt: String(repeating: "x", count: 300))
            #expect(throws: SFTPError.self) { try astray.neighbour.get() }
            #expect(statusCode(await failure { _ = try await open("a", lookingAt: "there") }) == .failure)
            #expect(session.isAlive)
            await session.close()
        }

        @Test func aFileIsWrittenMarkedSettledAndClosed() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let path = server.fresh("settled")
            var file = try await session.open(path, [.read, .write, .create], permissions: 0o600)
            var pieces = [ByteBuffer(repeating: 7, count: 300_000), ByteBuffer(repeating: 8, count: 10)][...]
            let mark = FileAttributes(accessTime: 3_600, modificationTime: 7_200)
            #expect(try await file.write(at: 0, thenSetting: mark) { pieces.popFirst() } == 300_010)
            let wanted = FileAttributes(permissions: 0o640, accessTime: 1, modificationTime: 2)
            let settled = try await file.settle(wanted, flushes: true)
            #expect(settled.refusal == nil && settled.before.size == 300_010)
            // The mark came behind the last piece.
            #expect(settled.before.modificationTime == 7_200 && settled.after.modificationTime == 2)
            #expect(settled.after.permissions.map { $0 & 0o777 } == 0o640)
            try await file.close(flushing: true)
            #expect(await failure { try await file.close(flushing: true) } == .invalidArgument("\(path) is closed"))
            #expect(try contents(path).count == 300_010)
            // The same behind the last piece.
            file = try await session.open(path, .write)
            pieces = [ByteBuffer(bytes: [1, 2, 3])][...]
            #expect(
                try await file.writeAndClose(at: 300_010, thenSetting: mark, flushing: true) { pieces.popFirst() } == 3
            )
            let facts = try await session.stat(path)
            #expect(facts.size == 300_013 && facts.modificationTime == 7_200)
            #expect(await failure { _ = try await file.fstat() } == .invalidArgument("\(path) is closed"))
            // A write that fails is told, whether the file was closed by then or not.
            file = try await session.open(path, .read)
            pieces = [ByteBuffer(bytes: [1])][...]
            await #expect(throws: SFTPError.self) { try await file.writeAndClose(at: 0) { pieces.popFirst() } }
            #expect(try contents(path).first == 7)
            // A full disk is told, and takes nothing from the length of later writes.
            file = try await session.open("/dev/full", .write)
            pieces = [ByteBuffer(repeating: 1, count: 100_000)][...]
            let length = session.writeLength
            await #expect(throws: SFTPError.self) { try await file.writeAndClose(at: 0) { pieces.popFirst() } }
            #expect(session.writeLength == length)
            // What the server refuses is told, and the rest done.
            file = try await session.open("/dev/null", [.read])
            let refused = try await file.settle(FileAttributes(size: 5), flushes: false)
            #expect(statusCode(refused.refusal) != nil && refused.after.size == refused.before.size)
            // A flush that fails is told, and the file closed.
            #expect(statusCode(await failure { try await file.close(flushing: true) }) != nil)
            #expect(await failure { _ = try await file.fstat() } == .invalidArgument("/dev/null is closed"))
            await session.close()
        }

        @Test(arguments: [false, true]) func aNameAndAFlushInOne(isReplacing: Bool) async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let (from, to) = (server.fresh("from"), server.fresh("to"))
            func open() async throws(SFTPError) -> SFTPFile {
                try await session.open(from, [.read, .write, .create], permissions: 0o600)
            }
            var file = try await open()
            try await file.write(ByteBuffer(bytes: [1, 2, 3]), at: 0)
            #expect(try await file.renameAndClose(to: to, isReplacing: isReplacing) == nil)
            #expect(try contents(to) == [1, 2, 3])
            #expect(await failure { _ = try await file.fstat() } == .invalidArgument("\(from) is closed"))
            // Once more, onto a name that is taken.
            file = try await open()
            try await file.write(ByteBuffer(bytes: [4]), at: 0)
            let taken = await failure { _ = try await file.renameAndClose(to: to, isReplacing: isReplacing) }
            #expect(isReplacing ? taken == nil : statusCode(taken) == .failure)
            #expect(try contents(to) == (isReplacing ? [4] : [1, 2, 3]))
            // And from one that nothing has.
            file = try await open()
            try await session.remove(from)
            let gone = await failure { _ = try await file.renameAndClose(to: to, isReplacing: isReplacing) }
            #expect(statusCode(gone) == .noSuchFile)
            await session.close()
        }
    }
}
