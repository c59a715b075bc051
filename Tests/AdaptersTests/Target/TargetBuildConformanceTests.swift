// What every target must hold when it builds a small file in one go.

import Core
import CoreTesting
import Harness
import Testing

@testable import Adapters

extension OnTargets {
    @Suite struct TargetBuildConformanceTests {
        private static let content = Bytes.seeded(31, count: 40_000)

        private func build(
            _ file: PartFile,
            _ bytes: Bytes = content,
            on test: TargetUnderTest,
            modified: Int64 = 1_700_000_000
        ) async throws(TargetError) -> BuiltPartFile {
            try await test.session.build(
                file,
                of: part(bytes, at: 0),
                bytes,
                modified: modified,
                attributes: FinalAttributes(mode: FileMode(octal: "0640"))
            )
        }

        @Test(arguments: TargetKind.allCases) func oneAfterAnotherInOneDirectory(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                for number in 1...4 as ClosedRange<UInt64> {
                    let file = try PartFile.sample("in/\(number)", upload: number)
                    let bytes = Bytes.seeded(number, count: [1, 9_000, 32_769, 65_536][Int(number) - 1])
                    let built = try await build(file, bytes, on: test)
                    #expect(built.verification == kind.verification(ofSize: bytes.count))
                    #expect(built.sealed.isUntouched)
                    let facts = FileFacts(kind: .file, size: Int64(bytes.count), modified: 1_700_000_000)
                    #expect(built.sealed.facts == facts)
                    #expect(test.content(file) == bytes)
                    #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                    try await built.sealed.settle()
                    await built.sealed.close()
                    #expect(test.content(file.path) == bytes)
                    if kind != .memory { #expect(try test.mode("in/\(number)") == 0o640) }
                }
                if kind != .memory { #expect(try test.names(in: "in") == ["1", "2", "3", "4"]) }
            }
        }

        @Test(arguments: TargetKind.allCases) func whatIsThereIsNeverMistakenForIt(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                for number in 1...2 as ClosedRange<UInt64> {
                    let file = try PartFile.sample("in/film.mov", upload: number)
                    try test.put(Self.content, file.path, modified: 1_700_000_000)
                    let built = try await build(file, on: test)
                    #expect(built.sealed.facts.modified == 1_699_999_999)
                    await built.sealed.close()
                }
            }
        }

        @Test(arguments: TargetKind.servers) func aDirectoryAtItsPathIsRefused(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                try test.makeDirectory("in/film.mov")
                // In a directory that is new to it, and in one that it knows.
                for number in 1...2 as ClosedRange<UInt64> {
                    let file = try PartFile.sample("in/film.mov", upload: number)
                    let failure = await failure { _ = try await build(file, on: test) }
                    #expect(failure?.kind == .pathRefused)
                    #expect(try test.names(in: "in") == ["film.mov"])
                    let other = try await build(try PartFile.sample("in/\(number)", upload: number), on: test)
                    await other.sealed.close()
                    try await test.session.remove(try PartFile.sample("in/\(number)", upload: number))
                }
            }
        }

        @Test(arguments: TargetKind.servers) func aDirectoryThatWasSwappedForALinkIsNotFollowed(
            kind: TargetKind
        ) async throws {
            try await withTarget(kind) { test async throws in
                let first = try PartFile.sample("in/a", upload: 1)
                await (try await build(first, on: test)).sealed.close()
                try await test.session.remove(first)
                let outside = try test.makeDirectoryOutside()
                try test.removeDirectory("in")
                try test.link("in", to: outside.clientPath)
                let failure = await failure {
                    _ = try await build(try PartFile.sample("in/b", upload: 2), on: test)
                }
                #expect(failure?.kind == .pathRefused)
                #expect(try test.names(atPath: outside.path).isEmpty)
            }
        }

        @Test(arguments: TargetKind.servers) func aDirectoryThatIsGoneIsMadeAgain(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let first = try PartFile.sample("in/deep/a", upload: 1)
                await (try await build(first, on: test)).sealed.close()
                try await test.session.remove(first)
                try test.removeDirectory("in")
                let second = try PartFile.sample("in/deep/b", upload: 2)
                await (try await build(second, on: test)).sealed.close()
                #expect(test.content(second) == Self.content)
            }
        }

        @Test(arguments: TargetKind.allCases) func aPartFileThatIsThereIsNotTaken(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                for _ in 0..<2 {
                    try? await test.session.prepare(file, size: 1)
                    let failure = await failure { _ = try await build(file, on: test) }
                    #expect(failure != nil)
                    #expect(test.content(file) == Bytes([]))
                    let other = try PartFile.sample("in/other", upload: 3)
                    await (try await build(other, on: test)).sealed.close()
                    try await test.session.remove(other)
                }
            }
        }

        @Test(arguments: TargetKind.servers, Overwrite.allCases)
        func theNameInOneStepOrTheUsualWay(kind: TargetKind, overwrite: Overwrite) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample("in/film.mov", upload: 1)
                let sealed = try await plain(file, on: test)
                let renamed = try await sealed.renameAndSettle(overwrite: overwrite)
                // OpenSSH does all of it at once; of others nothing was asked.
                #expect(
                    (renamed != nil)
                        == (kind == .openSSH || kind == .server(.chrooted) || kind == .server(.fewCommands))
                )
                if let renamed {
                    #expect(renamed == SettledRename(.renamed(atomic: true), isSettled: true))
                    #expect(try test.names(in: "in") == ["film.mov"])
                    #expect(test.content(file.path) == Self.content)
                } else {
                    #expect(try test.names(in: "in") == [file.name])
                }
                await sealed.close()
            }
        }

        @Test(arguments: Overwrite.allCases) func aNameThatIsTakenInTheLastMoment(overwrite: Overwrite) async throws {
            try await withTarget(.openSSH) { test async throws in
                let file = try PartFile.sample("in/film.mov", upload: 1)
                let sealed = try await plain(file, on: test)
                let theirs = Bytes.seeded(5, count: 9)
                try test.put(theirs, file.path)
                let renamed = try await sealed.renameAndSettle(overwrite: overwrite)
                if overwrite == .replace {
                    #expect(renamed?.result == .renamed(atomic: true))
                    #expect(test.content(file.path) == Self.content)
                } else {
                    #expect(renamed == nil)
                    #expect(try await test.session.rename(file, overwrite: overwrite) == .taken)
                    #expect(test.content(file.path) == theirs)
                    #expect(test.content(file) == Self.content)
                }
                await sealed.close()
            }
        }

        @Test(arguments: Overwrite.allCases) func aPartFileThatIsGoneHasNoAnswer(overwrite: Overwrite) async throws {
            try await withTarget(.openSSH) { test async throws in
                let file = try PartFile.sample("in/film.mov", upload: 1)
                let sealed = try await plain(file, on: test)
                try await test.session.remove(file)
                let failure = await failure { _ = try await sealed.renameAndSettle(overwrite: overwrite) }
                // Renamed by somebody, or lost: whoever asks looks at both names.
                #expect(failure?.kind == .interrupted)
                #expect(try test.names(in: "in").isEmpty)
            }
        }

        /// A sealed file without wishes of a client.
        private func plain(_ file: PartFile, on test: TargetUnderTest) async throws -> any SealedPartFile {
            try await test.session.build(
                file,
                of: part(Self.content, at: 0),
                Self.content,
                modified: 1_700_000_000,
                attributes: FinalAttributes()
            ).sealed
        }
    }
}
