// Files over a real sshd: writing, reading, renaming, extensions, concurrency, loss and cancellation.

import Foundation
import Glibc
import Harness
import NIOCore
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct FileTests {
        @Test func whatIsWrittenIsRead() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let path = server.fresh()
            var random = SeededGenerator(seed: 20)
            let bytes = random.bytes(1_000_003)
            let file = try await session.open(path, [.read, .write, .create, .exclusive], permissions: 0o600)
            var rest = ByteBuffer(bytes: bytes)
            let count = try await file.write(at: 0) { rest.readSlice(length: min(rest.readableBytes, 99_991)).nonEmpty }
            #expect(count == 1_000_003)
            try await file.fsync()
            #expect(try contents(path) == bytes)
            #expect(try await file.fstat().size == 1_000_003)
            #expect(Array(try await file.read(at: 5, length: 600_000).readableBytesView) == Array(bytes[5..<600_005]))
            #expect(try await file.read(at: 1_000_000, length: 100).readableBytes == 3)
            #expect(try await file.read(at: 2_000_000, length: 100).readableBytes == 0)
            var read: [UInt8] = []
            let all = try await file.read(at: 0, length: .max) { read += $0.readableBytesView }
            #expect(all == 1_000_003)
            #expect(read == bytes)
            try await file.setAttributes(.init(permissions: 0o640, accessTime: 1_000, modificationTime: 2_000))
            let attributes = try await session.stat(path)
            #expect(attributes.isRegular && attributes.permissions.map { $0 & 0o777 } == 0o640)
            #expect(attributes.modificationTime == 2_000)
            try await session.setstat(path, .init(size: 10))
            #expect(try await session.lstat(path).size == 10)
            try await file.close()
            try await file.close()
            #expect(await failure { _ = try await file.fstat() } == .invalidArgument("\(path) is closed"))
            #expect(session.transferredBytes > 2_000_000)
            await session.close()
        }

        @Test func namesAndDirectories() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let directory = server.fresh("directory")
            try await session.mkdir(directory, permissions: 0o755)
            #expect(statusCode(await failure { try await session.mkdir(directory) }) == .failure)
            #expect(try await session.stat(directory).isDirectory)
            for name in ["a", "b", "ü ☃"] { try put([1], "\(directory)/\(name)") }
            #expect(try await session.list(directory).map(\.name).sorted() == ["a", "b", "ü ☃"])
            #expect(
                await failure { _ = try await session.list(directory, limit: 2) }
                    == .limitExceeded("more than 2 entries in \(directory)")
            )
            // Plain rename never replaces; posix-rename does.
            let taken = await failure { try await session.rename("\(directory)/a", to: "\(directory)/b") }
            #expect(statusCode(taken) == .failure)
            try await session.rename("\(directory)/a", to: "\(directory)/c")
            try put([7], "\(directory)/c")
            try await session.posixRename("\(directory)/c", to: "\(directory)/b")
            #expect(try contents("\(directory)/b") == [7])
            try await session.hardlink("\(directory)/b", to: "\(directory)/d")
            try await session.symlink("\(directory)/l", target: "b")
            #expect(try await session.readlink("\(directory)/l") == "b")
            #expect(try await session.lstat("\(directory)/l").isSymbolicLink)
            #expect(try await session.realpath("\(directory)/./l").hasSuffix("/b"))
            let gone = await failure { _ = try await session.stat("\(directory)/none") }
            #expect(
                gone
                    == .status(
                        code: .noSuchFile,
                        message: "No such file",
                        operation: "stat",
                        path: "\(directory)/none"
                    )
            )
            #expect(statusCode(await failure { try await session.rmdir(directory) }) == .failure)
            for name in ["b", "d", "l", "ü ☃"] { try await session.remove("\(directory)/\(name)") }
            try await session.rmdir(directory)
            #expect(await failure { _ = try await session.stat("a\0b") } == .invalidArgument("a path with a NUL byte"))
            #expect(session.isAlive)
            await session.close()
        }

        @Test func exclusiveMeansExclusive() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let path = server.fresh()
            let file = try await session.open(path, [.write, .create, .exclusive], permissions: 0o600)
            let second = await failure { _ = try await session.open(path, [.write, .create, .exclusive]) }
            #expect(statusCode(second) == .failure)
            let absent = await failure { _ = try await session.open(path + "x", [.write]) }
            #expect(statusCode(absent) == .noSuchFile)
            try await file.close()
            await session.close()
        }

        @Test func extensionsOfOpenSSH() async throws {
            let server = try await SSHServer.start(sftp: .external)
            let session = try await server.connect()
            let space = try await session.statvfs(server.root)
            #expect(space.totalBytes >= space.freeBytes && space.freeBytes >= space.availableBytes)
            #expect(space.availableBytes > 0 && space.maximumNameLength > 0)
            let (from, to) = (server.fresh("from"), server.fresh("to"))
            var random = SeededGenerator(seed: 21)
            let bytes = random.bytes(500_000)
            try put(bytes, from)
            let source = try await session.open(from, .read)
            let target = try await session.open(to, [.write, .create])
            try await target.copyData(from: source, sourceOffset: 100, length: 400_000, at: 50)
            try await target.copyData(from: source, sourceOffset: 0, length: 50, at: 0)
            #expect(try contents(to) == Array(bytes[0..<50]) + Array(bytes[100..<400_100]))
            #expect(
                await failure { _ = try await session.extended("no@such", ByteBuffer(), path: "") }
                    == .unsupported(extension: "no@such")
            )
            #expect(
                await failure { _ = try await session.extended("no@such", ByteBuffer(), path: "", force: true) }
                    == .unsupported(extension: "no@such")
            )
            await session.close()
        }

        /// Sixty-four MiB through one session, one file, random offsets, from many tasks.
        @Test func manyWritersOfOneFile() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let path = server.fresh()
            var random = SeededGenerator(seed: 22)
            let whole = ByteBuffer(bytes: random.bytes(64 * 1024 * 1024))
            var ranges: [Range<Int>] = []
            var start = 0
            while start < whole.readableBytes {
                let end = min(whole.readableBytes, start + Int.random(in: 1...900_000, using: &random))
                ranges.append(start..<end)
                start = end
            }
            ranges.shuffle(using: &random)
            let file = try await session.open(path, [.write, .create])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for range in ranges {
                    group.addTask {
                        let bytes = try #require(whole.getSlice(at: range.lowerBound, length: range.count))
                        try await file.write(bytes, at: UInt64(range.lowerBound))
                    }
                }
                try await group.waitForAll()
            }
            try await file.fsync()
            let expected = sha256(whole.readableBytesView)
            #expect(try sha256(contents(path)) == expected)
            let reader = try await session.open(path, .read)
            var read: [UInt8] = []
            read.reserveCapacity(whole.readableBytes)
            try await reader.read(at: 0, length: .max) { read += $0.readableBytesView }
            #expect(sha256(read) == expected)
            #expect(session.load == 0)
            try await session.remove(path)
            await session.close()
        }

        @Test func manyFilesAtOnce() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let directory = server.fresh("many")
            try await session.mkdir(directory)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<300 {
                    group.addTask {
                        let file = try await session.open("\(directory)/\(index)", [.write, .create, .exclusive])
                        try await file.write(ByteBuffer(repeating: UInt8(index & 255), count: 10_240), at: 0)
                        try await file.close()
                        try await session.rename("\(directory)/\(index)", to: "\(directory)/\(index).done")
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await session.list(directory).count == 300)
            for index in [0, 77, 299] {
                #expect(
                    try contents("\(directory)/\(index).done") == .init(repeating: UInt8(index & 255), count: 10_240)
                )
            }
            await session.close()
        }

        @Test func keysAreExchangedAnewInTheMiddle() async throws {
            let server = try await SSHServer.start(configuration: ["RekeyLimit 4M"])
            let session = try await server.connect()
            let path = server.fresh()
            var random = SeededGenerator(seed: 23)
            let whole = ByteBuffer(bytes: random.bytes(24 * 1024 * 1024))
            let file = try await session.open(path, [.read, .write, .create])
            try await file.write(whole, at: 0)
            #expect(try sha256(contents(path)) == sha256(whole.readableBytesView))
            var read: [UInt8] = []
            try await file.read(at: 0, length: .max) { read += $0.readableBytesView }
            #expect(read.count == whole.readableBytes && sha256(read) == sha256(whole.readableBytesView))
            await session.close()
        }

        @Test func aFullDiskIsAStatusAndTheSessionLives() async throws {
            // /dev/full says "no space" to every write.
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let file = try await session.open("/dev/full", .write)
            let error = await failure { try await file.write(ByteBuffer(repeating: 1, count: 600_000), at: 0) }
            #expect(statusCode(error) == .failure)
            #expect("\(try #require(error))".hasPrefix("write /dev/full: failure"))
            #expect(session.writeLength == 261_120)
            #expect(try await session.realpath("/") == "/")
            await session.close()
        }

        @Test func aSourceThatFailsEndsTheTransfer() async throws {
            struct Broken: Error {}
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let file = try await session.open(server.fresh(), [.write, .create])
            var pieces = 0
            await #expect(throws: Broken.self) {
                try await file.write(at: 0) {
                    pieces += 1
                    if pieces == 5 { throw Broken() }
                    return ByteBuffer(repeating: 1, count: 1000)
                }
            }
            try await file.close()
            await session.close()
        }

        @Test func aKilledServerReleasesEveryCaller() async throws {
            let server = try await SSHServer.start()
            let session = try await server.connect()
            let file = try await session.open(server.fresh(), [.write, .create])
            let path = server.root
            let tasks =
                (0..<4).map { index in
                    Task { () -> SFTPError? in
                        await failure {
                            var count = 0
                            try await file.write(at: UInt64(index) << 30) {
                                count += 1
                                return count < 100_000 ? ByteBuffer(repeating: 1, count: 261_120) : nil
                            }
                        }
                    }
                }
                + (0..<4).map { _ in
                    Task { await failure { while true { _ = try await session.stat(path) } } }
                }
            try await eventually("bytes flow") { session.transferredBytes > 20_000_000 }
            server.killSessions()
            for task in tasks {
                let error = await task.value
                guard case .disconnected = error else { Issue.record("\(String(describing: error))"); continue }
                #expect(error?.isConnectionLoss == true)
            }
            #expect(!session.isAlive)
            guard case .disconnected(_, "open") = await failure({ _ = try await session.open("x", .read) }) else {
                Issue.record("a dead session opened a file")
                return
            }
        }

        @Test func aServerThatFallsSilentIsGivenUp() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let session = try await server.connect {
                $0.port = proxy.port
                $0.requestTimeout = .milliseconds(700)
            }
            try proxy.pause()
            let begin = ContinuousClock.now
            #expect(await failure { _ = try await session.stat("/") } == .timedOut(operation: "stat"))
            #expect(begin.duration(to: .now) < .seconds(4))
            #expect(!session.isAlive)
        }

        @Test func anIdleSessionNoticesThatItsServerIsGone() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let session = try await server.connect {
                $0.port = proxy.port
                $0.requestTimeout = .milliseconds(500)
                $0.keepAlive = .milliseconds(300)
            }
            let before = proxy.bytes(.toServer)
            try await eventually("a keep-alive is sent") { proxy.bytes(.toServer) > before }
            #expect(session.isAlive)
            try await eventually("the keep-alive is answered") { session.load == 0 }
            try proxy.pause()
            try await eventually("the session ends") { !session.isAlive }
        }

        @Test func aCancelledCallerIsReleasedAtOnceAndItsHandleGivenBack() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let session = try await server.connect { $0.port = proxy.port }
            let path = server.fresh()
            try put([1], path)
            try proxy.pause([.toClient])
            let before = proxy.bytes(.toServer)
            let opening = Task { try await session.open(path, .read) }
            try await eventually("the request is sent") { proxy.bytes(.toServer) > before }
            let begin = ContinuousClock.now
            opening.cancel()
            #expect(await failure { _ = try await opening.value } == .cancelled)
            #expect(begin.duration(to: .now) < .seconds(1))
            #expect(session.load == 1)
            let atCancel = proxy.bytes(.toServer)
            try proxy.resume()
            try await eventually("a close follows the late reply") { proxy.bytes(.toServer) > atCancel }
            try await eventually("nothing is under way") { session.load == 0 }
            #expect(try await session.stat(path).size == 1)
            await session.close()
        }

        @Test func aCancelledWriterLeavesTheSessionUsable() async throws {
            let server = try await SharedServers.ssh()
            let session = try await server.connect()
            let file = try await session.open(server.fresh(), [.write, .create, .truncate])
            let writing = Task {
                try await file.write(at: 0) { ByteBuffer(repeating: 1, count: 261_120) }
            }
            try await eventually("bytes flow") { session.transferredBytes > 30_000_000 }
            writing.cancel()
            #expect(await failure { _ = try await writing.value } == .cancelled)
            try await eventually("nothing is under way") { session.load == 0 }
            try await file.setAttributes(.init(size: 0))
            try await file.write(ByteBuffer(repeating: 2, count: 5 * 1024 * 1024), at: 0)
            #expect(try await file.fstat().size == 5 * 1024 * 1024)
            try await file.close()
            await session.close()
        }

        @Test func writersWaitWhileTheQueueIsFull() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let session = try await server.connect { $0.port = proxy.port }
            let file = try await session.open(server.fresh(), [.write, .create])
            try proxy.pause()
            let asked = Counter()
            let writing = Task {
                try await file.write(at: 0) { asked.next() <= 200 ? ByteBuffer(repeating: 1, count: 261_120) : nil }
            }
            let limit = SFTPSession.queueLimit / 261_120 + 1
            try await eventually("the queue is full") { asked.value == limit }
            try await Task.sleep(for: .milliseconds(200))
            #expect(asked.value == limit)
            try proxy.resume()
            #expect(try await writing.value == 200 * 261_120)
            await session.close()
        }
    }
}

extension Optional<ByteBuffer> {
    fileprivate var nonEmpty: ByteBuffer? { flatMap { $0.readableBytes > 0 ? $0 : nil } }
}
