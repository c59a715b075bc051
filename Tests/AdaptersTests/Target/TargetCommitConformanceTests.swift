// What every target must do once all parts are there: seal, rename, digest, remove, inspect.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Testing

extension OnTargets {
    @Suite struct TargetCommitConformanceTests {
        private let bytes = Bytes.seeded(1, count: 100_000)

        private func prepared(_ test: TargetUnderTest, _ file: PartFile, _ bytes: Bytes? = nil) async throws {
            try await test.session.prepare(file, size: nil)
            _ = try await test.session.ship(BytesReader(bytes ?? self.bytes), into: file)
        }

        @Test(arguments: TargetKind.allCases) func aSealedFileHasItsTimeAndTakesItAlong(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await prepared(test, file)
                let sealed = try await test.session.seal(file, size: 100_000, modified: 1_700_000_001)
                let expected = FileFacts(kind: .file, size: 100_000, modified: 1_700_000_001)
                #expect(sealed.facts == expected)
                #expect(try await test.session.facts(of: file) == expected)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                try await sealed.settle()
                try await test.session.settle(file, found: expected, attributes: FinalAttributes())
                await sealed.close()
                #expect(try await test.session.facts(of: file.path) == expected)
                #expect(try await test.session.facts(of: file) == nil)
                #expect(test.content(file.path) == bytes)
            }
        }

        @Test(arguments: TargetKind.allCases) func onlyAWholeFileIsSealed(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await prepared(test, file)
                for size: Int64 in [0, 99_999, 100_001] {
                    let error = await failure {
                        _ = try await test.session.seal(file, size: size, modified: 1)
                    }
                    #expect(error?.kind == .partFileLost)
                }
                try await test.session.remove(file)
                let error = await failure { _ = try await test.session.seal(file, size: 100_000, modified: 1) }
                #expect(error?.kind == .partFileLost)
                #expect(try await test.session.facts(of: file) == nil)
            }
        }

        @Test(arguments: TargetKind.allCases) func whoWroteIntoItSinceIsSeenAndFound(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                let second = Bytes.seeded(2, count: 70_000)
                let parts = [BytesReader(bytes), BytesReader(second, at: 100_000)]
                try await test.session.prepare(file, size: nil)
                for part in parts { _ = try await test.session.ship(part, into: file) }
                let untouched = try await test.session.seal(file, size: 170_000, modified: 1_700_000_001)
                await untouched.close()
                #expect(untouched.isUntouched)
                for part in parts { try await test.session.prove(part.part, in: file) }

                _ = try await test.session.ship(parts[1], into: file)
                try test.damage(file, at: 100_005)
                let touched = try await test.session.seal(file, size: 170_000, modified: 1_700_000_001)
                await touched.close()
                #expect(!touched.isUntouched)
                try await test.session.prove(parts[0].part, in: file)
                let error = await failure { try await test.session.prove(parts[1].part, in: file) }
                #expect(error?.kind == .partFileLost)
                try await test.session.remove(file)
                let gone = await failure { try await test.session.prove(parts[0].part, in: file) }
                #expect(gone?.kind == .partFileLost)
            }
        }

        @Test(arguments: TargetKind.allCases) func anEmptyFileIsAFile(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await prepared(test, file, Bytes([]))
                await (try await test.session.seal(file, size: 0, modified: 5)).close()
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                #expect(test.content(file.path)?.count == 0)
                #expect(try await test.session.digest(of: file.path, size: 0) == digest(Bytes([])))
            }
        }

        @Test(arguments: TargetKind.allCases) func aTakenNameStaysAsItIs(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                let theirs = Bytes.seeded(9, count: 10)
                try await prepared(test, file)
                try test.put(theirs, file.path)
                #expect(try await test.session.rename(file, overwrite: .never) == .taken)
                #expect(test.content(file.path) == theirs)
                #expect(test.content(file) == bytes)
            }
        }

        @Test(arguments: TargetKind.allCases) func aReplacedFileLeavesNothing(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await prepared(test, file)
                try test.put(Bytes.seeded(9, count: 10), file.path)
                #expect(
                    try await test.session.rename(file, overwrite: .replace) == .renamed(atomic: kind.hasExtensions)
                )
                #expect(test.content(file.path) == bytes)
                #expect(test.content(file) == nil)
                if kind != .memory { #expect(try test.names(in: "in") == ["film.mov"]) }
                // Nothing to replace: one step everywhere.
                let next = try PartFile.sample("in/other.mov")
                try await prepared(test, next)
                #expect(try await test.session.rename(next, overwrite: .replace) == .renamed(atomic: true))
                if kind != .memory { #expect(try test.names(in: "in") == ["film.mov", "other.mov"]) }
            }
        }

        @Test(arguments: TargetKind.allCases, Overwrite.allCases)
        func aRenameWithoutAPartFileIsUnsettled(kind: TargetKind, overwrite: Overwrite) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                #expect(
                    await failure { _ = try await test.session.rename(file, overwrite: overwrite) }?.kind
                        == .interrupted
                )
                let theirs = Bytes.seeded(9, count: 10)
                try test.put(theirs, file.path)
                #expect(
                    await failure { _ = try await test.session.rename(file, overwrite: overwrite) }?.kind
                        == .interrupted
                )
                #expect(test.content(file.path) == theirs)
                if kind != .memory { #expect(try test.names(in: "in") == ["film.mov"]) }
            }
        }

        @Test(arguments: TargetKind.allCases) func digestsAreOfFinalFiles(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let path = try TargetPath("in/film.mov")
                #expect(try await test.session.digest(of: path, size: 10) == nil)
                for (seed, size) in [1, 65_536, 3_000_000].enumerated() {
                    let bytes = Bytes.seeded(UInt64(seed), count: size)
                    try test.put(bytes, path)
                    #expect(try await test.session.digest(of: path, size: Int64(size)) == digest(bytes))
                }
                #expect(try await test.session.digest(of: TargetPath("in"), size: 10) == nil)
            }
        }

        @Test(arguments: TargetKind.allCases) func damageOnTheTargetIsFoundWhenThePartComesAgain(
            kind: TargetKind
        ) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await prepared(test, file)
                try test.damage(file, at: 50_000)
                #expect(test.content(file) != bytes)
                _ = try await test.session.ship(BytesReader(bytes), into: file)
                #expect(test.content(file) == bytes)
            }
        }

        @Test(arguments: TargetKind.allCases) func settlingNeedsAFile(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let (file, attributes) = (
                    try PartFile.sample(), FinalAttributes(modifiedAt: Timestamp(microseconds: 1))
                )
                let found = FileFacts(kind: .file, size: 1, modified: 1)
                let error = await failure {
                    try await test.session.settle(file, found: found, attributes: attributes)
                }
                #expect(error?.kind == .notFound)
            }
        }

        @Test(arguments: TargetKind.allCases) func removingGoesByUploadAndGeneration(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let own = try (1...4).map { try PartFile.sample(generation: UInt64($0)) }
                let elsewhere = try PartFile.sample("other/film.mov", generation: 1)
                let others = try PartFile.sample(upload: 2, generation: 1)
                let inRoot = try PartFile.sample("film.mov", generation: 1)
                for file in own + [elsewhere, others, inRoot] { try await test.session.prepare(file, size: nil) }
                let path = own[0].path
                let upload = own[0].upload
                try test.put(bytes, path)
                #expect(
                    try await test.session.removePartFiles(of: upload, beside: path, before: own[2].generation) == 2
                )
                #expect(own.map { test.content($0) != nil } == [false, false, true, true])
                #expect(
                    try await test.session.removePartFiles(of: upload, beside: path, before: own[2].generation) == 0
                )
                try await test.session.remove(own[2])
                try await test.session.remove(own[2])
                #expect(own.map { test.content($0) != nil } == [false, false, false, true])
                #expect(try await test.session.removePartFiles(of: upload, beside: path, before: nil) == 1)
                for file in [elsewhere, others, inRoot] { #expect(test.content(file) != nil) }
                #expect(test.content(path) == bytes)
                #expect(try await test.session.removePartFiles(of: upload, beside: inRoot.path, before: nil) == 1)
                let nowhere = try TargetPath("never/made/film.mov")
                #expect(try await test.session.removePartFiles(of: upload, beside: nowhere, before: nil) == 0)
                try await test.session.remove(PartFile.sample("never/made/film.mov"))
            }
        }

        @Test(arguments: TargetKind.allCases) func inspectionSaysWhatTheTargetCanDo(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let facts = try await test.session.inspect()
                #expect(facts["merge"] == "in-place")
                guard case .server(let server) = kind else { return }
                let verify = kind.runsCommands ? "digest" : kind.hasExtensions ? "size" : "readback"
                #expect(facts["exec"] == (kind.runsCommands ? "yes" : "no") && facts["verify"] == verify)
                #expect((facts["freeBytes"] != nil) == kind.hasExtensions)
                guard server == .withoutExtensions else { return }
                #expect(facts["writeLength"] == "32768")
                let offered = (facts["extensions"] ?? "").split(separator: " ").map { String($0.prefix { $0 != "@" }) }
                #expect(Set(offered).isDisjoint(with: SFTPServerKind.withheld))
            }
        }
    }
}
