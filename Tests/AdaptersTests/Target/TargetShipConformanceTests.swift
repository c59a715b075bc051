// What every target must do until all parts are there: facts, prepare, ship.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Testing

extension OnTargets {
    @Suite struct TargetShipConformanceTests {
        // MARK: Facts

        @Test(arguments: TargetKind.allCases) func factsTellWhatIsThere(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let path = try TargetPath("in/film.mov")
                #expect(try await test.session.facts(of: path) == nil)
                #expect(try await test.session.facts(of: TargetPath("in")) == nil)
                try test.put(Bytes.seeded(1, count: 1_234), path, modified: 1_234_567_890)
                let facts = try await test.session.facts(of: path)
                #expect(facts == FileFacts(kind: .file, size: 1_234, modified: 1_234_567_890))
                #expect(try await test.session.facts(of: TargetPath("in"))?.kind == .directory)
                #expect(try await test.session.facts(of: TargetPath("in/film.mov/below")) == nil)
                #expect(try await test.session.facts(of: PartFile.sample()) == nil)
            }
        }

        // MARK: Prepare

        @Test(arguments: TargetKind.allCases) func prepareMakesAnEmptyPartFile(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let older = try PartFile.sample("a/b/c/film.mov", generation: 6)
                let file = try PartFile.sample("a/b/c/film.mov")
                try await test.session.prepare(older, size: nil)
                _ = try await test.session.ship(BytesReader(Bytes.seeded(1, count: 10)), into: older)
                try await test.session.prepare(file, size: 1_000)
                #expect(test.content(file)?.count == 0)
                #expect(try await test.session.facts(of: file)?.size == 0)
                #expect(test.content(older) == Bytes.seeded(1, count: 10))
                #expect(try await test.session.facts(of: file.path) == nil)
            }
        }

        @Test(arguments: TargetKind.allCases) func prepareNeverTakesAPartFileThatIsThere(kind: TargetKind) async throws
        {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.ship(BytesReader(Bytes.seeded(1, count: 10)), into: file)
                let error = await failure { try await test.session.prepare(file, size: nil) }
                #expect(error?.kind == .failed)
                #expect(test.content(file) == Bytes.seeded(1, count: 10))
            }
        }

        @Test(arguments: TargetKind.allCases) func prepareRefusesAPlaceForNoFile(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                try test.put(Bytes.seeded(1, count: 10), TargetPath("in/directory/file"))
                for path in ["in/directory", "in/directory/file/film.mov", "in/directory/file/deep/film.mov"] {
                    let file = try PartFile.sample(path)
                    let error = await failure { try await test.session.prepare(file, size: nil) }
                    #expect(error?.kind == .pathRefused, "\(path): \(String(describing: error))")
                    #expect(try await test.session.facts(of: file) == nil)
                }
                // A file that is there already is for the commit to decide about.
                try await test.session.prepare(PartFile.sample("in/directory/file"), size: nil)
            }
        }

        @Test(arguments: TargetKind.allCases.filter(\.hasExtensions))
        func prepareRefusesWhatDoesNotFit(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                if case .memory(let memory) = test.place { memory.room = 1 << 20 }
                let file = try PartFile.sample()
                let error = await failure { try await test.session.prepare(file, size: 1 << 60) }
                #expect(error?.kind == .diskFull)
                #expect(test.content(file) == nil)
            }
        }

        @Test(arguments: TargetKind.allCases) func manyPrepareBelowOneNewDirectory(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let files = try (1...8).map { try PartFile.sample("new/deep/film\($0).mov", upload: UInt64($0)) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for file in files { group.addTask { try await test.session.prepare(file, size: 10) } }
                    try await group.waitForAll()
                }
                for file in files { #expect(test.content(file)?.count == 0) }
            }
        }

        // MARK: Ship

        @Test(arguments: TargetKind.allCases) func partsComeInAnyOrderAndAtOnce(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let sizes = [1, 65_536, 65_537, 300_000, 1 << 20, (1 << 20) + 1, 9, 33_333, 2_000_000, 4_096]
                var whole: [UInt8] = []
                var readers: [BytesReader] = []
                for (index, size) in sizes.enumerated() {
                    let bytes = Bytes.seeded(UInt64(index), count: size)
                    readers.append(BytesReader(bytes, at: Int64(whole.count)))
                    whole += bytes.array
                }
                try await withThrowingTaskGroup(of: (Int, Verification).self) { group in
                    for reader in readers.reversed() {
                        group.addTask { (reader.bytes.count, try await test.session.ship(reader, into: file)) }
                    }
                    for try await (size, found) in group {
                        #expect(found == kind.verification(ofSize: size), "a part of \(size) bytes")
                    }
                }
                #expect(test.content(file) == Bytes(whole))
                // Again, late and one by one: nothing changes.
                for reader in readers { _ = try await test.session.ship(reader, into: file) }
                #expect(test.content(file) == Bytes(whole))
            }
        }

        @Test(arguments: TargetKind.allCases) func aLateShipBringsNothingBack(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                let reader = BytesReader(Bytes.seeded(1, count: 100_000))
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .partFileLost)
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.ship(reader, into: file)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                let late = BytesReader(Bytes.seeded(2, count: 100_000))
                #expect(await failure { _ = try await test.session.ship(late, into: file) }?.kind == .partFileLost)
                #expect(try await test.session.facts(of: file) == nil)
                #expect(test.content(file.path) == reader.bytes)
            }
        }

        @Test(arguments: TargetKind.allCases, [100, 70_000, 2_000_000])
        func wrongBytesAreFound(kind: TargetKind, size: Int) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let promised = Bytes.seeded(1, count: size)
                var wrong = promised
                wrong.array[size / 2] ^= 1
                let reader = BytesReader(wrong, at: 4_096, promising: promised)
                guard kind.verification(ofSize: size) != .size else {
                    // The one way that looks at nothing says so.
                    #expect(try await test.session.ship(reader, into: file) == .size)
                    return
                }
                let error = await failure { _ = try await test.session.ship(reader, into: file) }
                #expect(error?.kind == .partFileLost)
                #expect(error?.detail.contains("\(digest(promised))") == true)
                #expect(error?.detail.contains("\(digest(wrong))") == true)
            }
        }

        @Test(arguments: TargetKind.allCases) func aPartThatEndsEarlyIsStagingsFault(kind: TargetKind) async throws {
            struct ShortReader: PartReader {
                let part = Part(offset: 0, size: 200_000, digest: digest(Bytes.seeded(1, count: 200_000)))
                func read(at position: Int64, count: Int) async throws(StagingError) -> any ByteChunk {
                    position < 100_000 ? Bytes.seeded(1, count: min(count, 100_000 - Int(position))) : Bytes([])
                }
                func isIntact() async throws(StagingError) -> Bool { false }
                func close() async {}
            }
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                let error = await failure { _ = try await test.session.ship(ShortReader(), into: file) }
                #expect(error?.kind == .staging)
            }
        }

        static let names = [
            "with space/two  spaces .bin", "it's/a \"quoted\" name", "$(touch pwned)/`touch pwned`;touch pwned",
            "-rf/--help", "-n", "*?[a]/{b,c}~", "été/日本語/🚢.mov", " leading/trailing ", "%s%n/&|<>#!",
        ]

        @Test(arguments: TargetKind.allCases, names) func anyNameIsJustAName(kind: TargetKind, name: String)
            async throws
        {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample(name)
                let bytes = Bytes.seeded(3, count: 70_000)
                try await test.session.prepare(file, size: Int64(bytes.count))
                #expect(
                    try await test.session.ship(BytesReader(bytes), into: file) == kind.verification(ofSize: 70_000)
                )
                try await test.session.seal(file, size: 70_000, modified: 1_700_000_000).close()
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                #expect(test.content(file.path) == bytes)
                #expect(try await test.session.digest(of: file.path, size: 70_000) == digest(bytes))
                if case .disk(let root) = test.place {
                    let all = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
                    #expect(all.count == file.path.components.count)
                }
            }
        }
    }
}
