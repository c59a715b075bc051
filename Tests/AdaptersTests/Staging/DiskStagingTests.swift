// What only a staging on disk must do: survive restarts and crashes, and trust nothing that lies there.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import NIOCore
import Testing

@Suite struct DiskStagingTests {
    let id = Sample.id(0xcd00_0000_0000_0001)

    private func open(_ directory: TemporaryDirectory, _ change: (inout DiskStaging.Options) -> Void = { _ in })
        async throws -> DiskStaging
    {
        var options = DiskStaging.Options()
        options.threads = 3
        change(&options)
        return try await DiskStaging.open(directory.path, options: options)
    }

    @Test func theLayoutIsTheDesigns() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 5_000)
        _ = try await staging.put(bytes, at: 0x1234, of: id)
        _ = try await staging.mark(.complete(size: 5_000, digest: nil, at: .init(microseconds: 5)), on: id)
        _ = try await staging.epoch()
        let home = "cd/\(id)"
        #expect(
            DiskLayout.tree(directory) == [
                "cd", home, home + "/complete", home + "/parts", home + "/parts/0000000000001234",
                home + "/parts/0000000000001234/5000-\(part(bytes, at: 0).digest)", home + "/tmp",
                home + "/upload.json", "epoch", "trash",
            ]
        )
        let marker = try String(contentsOfFile: directory.path(home + "/complete"), encoding: .utf8)
        #expect(marker == #"{"at":5,"kind":"complete","size":5000,"v":1}"# + "\n")
        let record = try String(contentsOfFile: directory.path(home + "/upload.json"), encoding: .utf8)
        #expect(
            record == #"{"createdAt":1763900000123456,"expiresAt":1764900000123456,"id":"\#(id)","metadata":{},"#
                + #""overwrite":"never","owner":"alice","partSize":4096,"path":"films/été.mov","protocol":"native","#
                + #""size":1000000,"target":"web-eu-1","v":1}"# + "\n"
        )
    }

    @Test(arguments: [true, false]) func aNewProcessSeesEverything(fsync: Bool) async throws {
        let directory = try TemporaryDirectory("staging")
        let bytes = Bytes.seeded(1, count: 300_000)
        let epoch: String
        do {
            let staging = try await open(directory) { $0.fsync = fsync }
            epoch = try await staging.epoch()
            try await staging.create(try Sample.record(id))
            _ = try await staging.put(bytes, at: 0, of: id)
            await staging.close()
            await #expect(throws: StagingError.failed("staging is closed")) { _ = try await staging.epoch() }
        }
        let staging = try await open(directory)
        #expect(try await staging.epoch() == epoch)
        #expect(try await staging.read(id)?.parts == [part(bytes, at: 0)])
        #expect(try await staging.content(part(bytes, at: 0), of: id) == bytes)
        #expect(try await staging.space().used == 300_000)
    }

    @Test func whatAnotherProcessWritesIsCountedInTime() async throws {
        let directory = try TemporaryDirectory("staging")
        let first = try await open(directory) { $0.recount = .zero }
        let second = try await open(directory)
        try await second.create(try Sample.record(id))
        _ = try await second.put(Bytes.seeded(1, count: 1_000), at: 0, of: id)
        try await eventually("the other's part is counted") {
            await (try first.beginPart(of: id, offset: 5_000, size: 1)).discard()
            return try await first.space().used == 1_000
        }
    }

    @Test func whatAnotherProcessFreesIsSeenByWhoeverOnlyAsks() async throws {
        let directory = try TemporaryDirectory("staging")
        let second = try await open(directory)
        try await second.create(try Sample.record(id))
        _ = try await second.put(Bytes.seeded(1, count: 1_000), at: 0, of: id)
        let first = try await open(directory) {
            $0.recount = .zero
            $0.maximumBytes = 1_500
        }
        #expect(try await first.space().room == 500)
        try await second.discard(id)
        try await eventually("there is room again") { try await first.space().room == 1_500 }
        #expect(try await first.space().whole == 1_500)
    }

    @Test func theFileSystemIsABoundToo() async throws {
        let staging = try await open(try TemporaryDirectory("staging"))
        let space = try await staging.space()
        #expect(space.limit == .max && space.whole == space.capacity && space.room == space.free)
        #expect(space.capacity > 0 && space.capacity < .max)
    }

    @Test func freeSpaceIsKept() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory) { $0.reserve = .max / 2 }
        try await staging.create(try Sample.record(id))
        await #expect(throws: StagingError.full) { _ = try await staging.beginPart(of: id, offset: 0, size: 1) }
    }

    @Test func whatCrashesLeaveIsSwept() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10)
        _ = try await staging.put(bytes, at: 0, of: id)
        let before = DiskLayout.tree(directory)
        let files = [
            "trash/\(Sample.id(9))/parts/0000000000000000/1-x", "cd/.\(Sample.id(5)).0123456789abcdef/upload.json",
            "cd/\(id)/tmp/0123456789abcdef/unfinished", "cd/\(id)/tmp/fedcba9876543210", ".epoch.0123456789abcdef",
        ]
        for file in files {
            let path = URL(fileURLWithPath: directory.path(file))
            try FileManager.default.createDirectory(
                at: path.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data("left".utf8).write(to: path)
        }
        #expect(try await staging.sweep(olderThan: .seconds(3_600)) == 0)
        #expect(try await staging.sweepUnborn(olderThan: .seconds(3_600)) == 0)
        #expect(DiskLayout.tree(directory).count > before.count)
        #expect(try await staging.sweepUnborn(olderThan: .zero) == 1)
        #expect(!DiskLayout.tree(directory).contains { $0.contains("/.") })
        #expect(try await staging.sweep(olderThan: .zero) == 4)
        #expect(DiskLayout.tree(directory) == before)
        #expect(try await staging.sweep(olderThan: .zero) == 0)
        #expect(try await staging.isIntact(part(bytes, at: 0), of: id))
    }

    @Test func aSweptWriterPublishesNothing() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let writer = try await staging.beginPart(of: id, offset: 0, size: 10)
        try await writer.write(Bytes.seeded(1, count: 10))
        _ = try await writer.seal()
        #expect(try await staging.sweep(olderThan: .zero) == 1)
        await #expect(throws: StagingError.self) { _ = try await writer.publish() }
        await writer.discard()
        #expect(try await staging.read(id)?.parts == [])
    }

    @Test func aForgottenWriterIsRemoved() async throws {
        let test = try await StagingUnderTest(.disk)
        try await test.staging.create(try Sample.record(id))
        do {
            let writer = try await test.staging.beginPart(of: id, offset: 0, size: 1_000_000)
            try await writer.write(Bytes.seeded(1, count: 500_000))
        }
        try await eventually("the unfinished part is gone") { test.leftovers() == 0 }
    }

    @Test func aCancelledTaskStillRemovesItsPart() async throws {
        let test = try await StagingUnderTest(.disk)
        try await test.staging.create(try Sample.record(id))
        let task = Task { [id] in
            let writer = try await test.staging.beginPart(of: id, offset: 0, size: 1_000_000)
            try await writer.write(Bytes.seeded(1, count: 500_000))
            try? await Task.sleep(for: .seconds(60))
            await writer.discard()
        }
        try await eventually("the part has begun") { test.leftovers() > 0 }
        task.cancel()
        try await task.value
        #expect(test.leftovers() == 0)
    }

    @Test func aSwappedUploadDirectoryIsRefused() async throws {
        let directory = try TemporaryDirectory("staging")
        let outside = try TemporaryDirectory("outside")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10)
        _ = try await staging.put(bytes, at: 0, of: id)
        let home = directory.path(DiskLayout.upload(id))
        try FileManager.default.moveItem(atPath: home, toPath: outside.path("stolen"))
        try FileManager.default.createSymbolicLink(atPath: home, withDestinationPath: outside.path("stolen"))
        let before = DiskLayout.tree(outside)
        let operations: [@Sendable () async throws -> Void] = [
            { [id] in _ = try await staging.beginPart(of: id, offset: 4_096, size: 1) },
            { [id] in _ = try await staging.openPart(part(bytes, at: 0), of: id) },
            { [id] in _ = try await staging.mark(.expired(at: .init(microseconds: 1)), on: id) },
            { [id] in _ = try await staging.read(id) },
            { [id] in try await staging.unmark(.complete, on: id) },
            { [id] in try await staging.strike(part(bytes, at: 0), of: id) },
        ]
        for operation in operations {
            await #expect {
                try await operation()
            } throws: { error in
                guard case .failed(let text) = error as? StagingError else { return false }
                // Clients may see it: names relative to the staging directory only.
                return text.contains("\(id)") && !text.contains(directory.path)
            }
        }
        _ = try await staging.sweep(olderThan: .zero)
        try await staging.discard(id)
        #expect(DiskLayout.tree(outside) == before)
        #expect(!DiskLayout.tree(directory).contains { $0.contains("\(id)") })
    }

    @Test func swappedDirectoriesWithinAnUploadAreRefused() async throws {
        let directory = try TemporaryDirectory("staging")
        let outside = try TemporaryDirectory("outside")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        try Data("precious".utf8).write(to: URL(fileURLWithPath: outside.path("file")))
        for name in ["parts", "tmp"] {
            let path = directory.path(DiskLayout.upload(id) + "/" + name)
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: outside.path)
        }
        await #expect(throws: StagingError.self) {
            _ = try await staging.put(Bytes.seeded(1, count: 10), at: 0, of: id)
        }
        _ = try await staging.sweep(olderThan: .zero)
        try await staging.discard(id)
        #expect(DiskLayout.tree(outside) == ["file"])
    }

    @Test(arguments: [
        "", "{}", "[]", #"{"v":1}"#, #"{"v":0}"#, #"{"v":"1"}"#, "\u{0}", #"{"v":1,"kind":"done","at":1}"#,
    ])
    func damagedFilesAreUnreadable(content: String) async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        for (number, name) in [(1, "upload.json"), (2, "complete"), (3, "done")] as [(UInt64, String)] {
            let id = Sample.id(number)
            try await staging.create(try Sample.record(id))
            let path = directory.path(DiskLayout.upload(id) + "/" + name)
            try Data(content.utf8).write(to: URL(fileURLWithPath: path))
            await #expect {
                _ = try await staging.read(id)
            } throws: { error in
                if case .unreadable(let text) = error as? StagingError { text.contains(name) } else { false }
            }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == content)
        }
        try Data(content.utf8).write(to: URL(fileURLWithPath: directory.path("epoch")))
        await #expect(throws: StagingError.self) { _ = try await staging.epoch() }
    }

    @Test func aRecordOfAnotherUploadIsUnreadable() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        for number in [1, 2] as [UInt64] { try await staging.create(try Sample.record(Sample.id(number))) }
        let paths = [1, 2].map { directory.path(DiskLayout.upload(Sample.id($0)) + "/upload.json") }
        try FileManager.default.removeItem(atPath: paths[0])
        try FileManager.default.copyItem(atPath: paths[1], toPath: paths[0])
        await #expect(throws: StagingError.self) { _ = try await staging.read(Sample.id(1)) }
    }

    @Test func aTruncatedPartIsNotIntact() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10_000)
        _ = try await staging.put(bytes, at: 0, of: id)
        for count in [9_999, 0, 10_001] {
            let path = URL(fileURLWithPath: directory.path(DiskLayout.part(part(bytes, at: 0), of: id)))
            try Data((bytes.array + [0]).prefix(count)).write(to: path)
            #expect(try await !staging.isIntact(part(bytes, at: 0), of: id))
        }
    }

    @Test func onlyRecentlyTouchedUploadsAreListed() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        let old = Sample.id(1)
        let revived = Sample.id(2)
        for id in [old, revived, id] { try await staging.create(try Sample.record(id)) }
        for id in [old, revived] {
            for path in [DiskLayout.upload(id) + "/parts", DiskLayout.upload(id)] {
                try FileManager.default.setAttributes(
                    [.modificationDate: Date(timeIntervalSinceNow: -3_600)],
                    ofItemAtPath: directory.path(path)
                )
            }
        }
        _ = try await staging.put(Bytes.seeded(1, count: 10), at: 0, of: revived)
        let since = Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) + .seconds(-600)
        #expect(try await staging.uploads(after: nil, touchedSince: since, limit: 10) == [revived, id])
    }

    @Test func byteBuffersAreTakenAndGiven() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        var buffer = ByteBuffer(bytes: [9, 9] + Bytes.seeded(1, count: 500_000).array)
        buffer.moveReaderIndex(forwardBy: 2)
        let writer = try await staging.beginPart(of: id, offset: 0, size: 500_000)
        try await writer.write(buffer)
        let part = try await writer.seal()
        #expect(part.digest == digest(Bytes.seeded(1, count: 500_000)))
        #expect(try await writer.publish() == .stored(part))
        let reader = try await staging.openPart(part, of: id)
        #expect(try await reader.read(at: 0, count: 500_000) as? ByteBuffer == buffer)
        await reader.close()
        await #expect(throws: StagingError.self) { _ = try await reader.read(at: 0, count: 1) }
        // The thread that read last lets go of the file after it has answered.
        try await eventually("the part is closed") { DiskLayout.openDescriptors(below: directory).count <= 1 }
    }

    /// Each piece is written while the next one is received.
    @Test(arguments: [1, 2]) func aPieceThatDoesNotReachTheDiskIsToldByWhatComesNext(pieces: Int64) async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory)
        try await staging.create(try Sample.record(id))
        let writer = try await staging.beginPart(of: id, offset: 0, size: 300_000 * pieces)
        try DiskLayout.fillDisk(under: "unfinished", below: directory)
        try await writer.write(Bytes.seeded(1, count: 300_000))
        if pieces == 1 {
            _ = try await writer.seal()
            await #expect(throws: StagingError.full) { _ = try await writer.publish() }
        } else {
            await #expect(throws: StagingError.full) { try await writer.write(Bytes.seeded(2, count: 300_000)) }
        }
        await writer.discard()
        #expect(try await staging.read(id)?.parts == [])
        #expect(try await staging.space().used == 0)
        #expect(DiskLayout.openDescriptors(below: directory).count <= 1)
    }

    @Test func aDiscardedUploadWithManyPartsIsGoneForGood() async throws {
        let directory = try TemporaryDirectory("staging")
        let staging = try await open(directory) { $0.fsync = false }
        try await staging.create(try Sample.record(id))
        for number in 0..<2_500 as Range<Int64> {
            _ = try await staging.put(Bytes([UInt8(truncatingIfNeeded: number)]), at: number * 4_096, of: id)
        }
        #expect(try await staging.read(id)?.parts.count == 2_500)
        try await staging.discard(id)
        #expect(DiskLayout.tree(directory) == ["cd", "trash"])
        #expect(try await staging.space().used == 0)
    }
}
