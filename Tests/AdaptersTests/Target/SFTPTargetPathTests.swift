// What lies on a server beside plain files: symbolic links, missing roots, modes, and files stepped aside.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Testing

extension OnTargets {
    @Suite struct SFTPTargetPathTests {
        private let bytes = Bytes.seeded(1, count: 100_000)

        private func prepareFails(_ test: TargetUnderTest, _ path: String) async throws -> TargetError.Kind? {
            let file = try PartFile.sample(path)
            return await failure { try await test.session.prepare(file, size: nil) }?.kind
        }

        // MARK: Symbolic links

        @Test(arguments: TargetKind.servers) func aLinkThatLeadsOutIsRefused(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                // A sibling whose name begins with the root's.
                let outside = try test.makeDirectoryOutside()
                let files = FileManager.default
                try files.createDirectory(atPath: outside.path + "/there", withIntermediateDirectories: true)
                try test.makeDirectory("deep")
                try test.link("out", to: outside.clientPath)
                try test.link("deep/out", to: outside.clientPath)
                try test.link("up", to: "..")
                let before = try files.contentsOfDirectory(atPath: test.path("..")).sorted()
                for path in ["out/f", "out/there/f", "out/new/f", "deep/out/a/b/f", "up/f", "up/new/f"] {
                    #expect(try await prepareFails(test, path) == .pathRefused, "\(path)")
                }
                #expect(try files.contentsOfDirectory(atPath: outside.path) == ["there"])
                #expect(try files.contentsOfDirectory(atPath: outside.path + "/there") == [])
                #expect(try files.contentsOfDirectory(atPath: test.path("..")).sorted() == before)
            }
        }

        @Test(arguments: TargetKind.servers) func aLinkThatStaysInsideIsFollowed(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                try test.makeDirectory("real")
                try test.link("alias", to: "real")
                let file = try PartFile.sample("alias/new/film.mov")
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.ship(BytesReader(bytes), into: file)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                #expect(test.content(at: "real/new/film.mov") == bytes)
            }
        }

        @Test(arguments: TargetKind.servers) func aLinkToNothingOrToAFileIsNoDirectory(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                try test.write(Bytes([1]), "file")
                try test.link("tofile", to: "file")
                try test.link("nowhere", to: "missing")
                try test.link("loop", to: "loop")
                for path in ["tofile/f", "tofile/new/f", "nowhere/f", "nowhere/new/f", "loop/f", "loop/new/f"] {
                    #expect(try await prepareFails(test, path) == .pathRefused, "\(path)")
                }
                #expect(try test.names() == ["file", "loop", "nowhere", "tofile"])
            }
        }

        @Test(arguments: TargetKind.servers) func aLinkAtTheFinalNameIsRefused(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let outside = try test.makeDirectoryOutside()
                let theirs = outside.path + "/theirs"
                try Data([1]).write(to: URL(fileURLWithPath: theirs))
                try test.link("film.mov", to: outside.clientPath + "/theirs")
                try test.link("dangling.mov", to: "nowhere")
                let path = try TargetPath("film.mov")
                #expect(try await prepareFails(test, "film.mov") == .pathRefused)
                #expect(try await prepareFails(test, "dangling.mov") == .pathRefused)
                #expect(try await test.session.facts(of: path)?.kind == .symbolicLink)
                #expect(try await test.session.digest(of: path, size: 1) == nil)
                // One that appears later is replaced itself; what it leads to stays.
                let file = try PartFile.sample("late.mov")
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.ship(BytesReader(bytes), into: file)
                try test.link("late.mov", to: outside.clientPath + "/theirs")
                #expect(try await test.session.rename(file, overwrite: .never) == .taken)
                // ProFTPD would replace what the link leads to, so that there it goes first.
                let isAtomic = kind.hasExtensions && kind != .server(.proFTPD)
                #expect(try await test.session.rename(file, overwrite: .replace) == .renamed(atomic: isAtomic))
                #expect(test.content(at: "late.mov") == bytes)
                #expect(try await test.session.facts(of: file.path)?.kind == .file)
                #expect(FileManager.default.contents(atPath: theirs) == Data([1]))
            }
        }

        @Test(arguments: TargetKind.servers) func aDirectorySwappedForALinkIsNotCleaned(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let outside = try test.makeDirectoryOutside()
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                try FileManager.default.removeItem(atPath: test.path("in"))
                try test.link("in", to: outside.clientPath)
                try Data([1]).write(to: URL(fileURLWithPath: "\(outside.path)/\(file.name)"))
                #expect(try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil) == 0)
                #expect(FileManager.default.fileExists(atPath: "\(outside.path)/\(file.name)"))
            }
        }

        // MARK: The root

        @Test(arguments: TargetKind.servers) func aRootIsADirectory(kind: TargetKind) async throws {
            guard case .server(let server) = kind else { return }
            let target = try await SharedServers.sftp(server)
            let place = "roots-\(UUID().uuidString)"
            func path(_ name: String) -> String { target.path("\(place)/\(name)") }
            try FileManager.default.createDirectory(atPath: path("real"), withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: path("link"), withDestinationPath: "real")
            try FileManager.default.createSymbolicLink(atPath: path("dangling"), withDestinationPath: "nowhere")
            try Data([1]).write(to: URL(fileURLWithPath: path("file")))
            for name in ["film.mov", "in/film.mov"] {
                try await target.withTarget(kind: kind, root: "\(place)/missing") { test async throws in
                    // Not mounted, perhaps: that passes.
                    #expect(try await prepareFails(test, name) == .rootMissing)
                    #expect(await failure { _ = try await test.session.inspect() }?.kind == .rootMissing)
                    #expect(try await test.session.strategy() == .inPlace)
                    let file = try PartFile.sample(name)
                    #expect(try await test.session.facts(of: file) == nil)
                    #expect(
                        try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil) == 0
                    )
                }
                let before = try FileManager.default.contentsOfDirectory(atPath: path("real"))
                for root in ["file", "link", "link/", "dangling"] {
                    try await target.withTarget(kind: kind, root: "\(place)/\(root)") { test async throws in
                        let comment = Comment(rawValue: root)
                        #expect(try await prepareFails(test, name) == .rootRefused, comment)
                        let error = await failure { _ = try await test.session.inspect() }
                        #expect(error?.kind == .rootRefused, comment)
                        if root == "link" {
                            #expect(error?.detail.hasSuffix("/real: name the directory itself") == true)
                        }
                        // Not even to try what can be done there.
                        _ = try await test.session.strategy()
                        #expect(try FileManager.default.contentsOfDirectory(atPath: path("real")) == before, comment)
                    }
                }
                for root in ["real", "real/"] {
                    try await target.withTarget(kind: kind, root: "\(place)/\(root)") { test async throws in
                        let file = try PartFile.sample(name)
                        try await test.session.prepare(file, size: nil)
                        _ = try await test.session.ship(BytesReader(bytes), into: file)
                        #expect(try await test.session.rename(file, overwrite: .replace).isRenamed)
                        #expect(FileManager.default.contents(atPath: path("real/" + name)) == Data(bytes.array))
                        let removed = try await test.session.removePartFiles(
                            of: file.upload,
                            beside: file.path,
                            before: nil
                        )
                        #expect(removed == 0)
                    }
                }
            }
            #expect(!FileManager.default.fileExists(atPath: path("missing")))
        }

        // MARK: Modes

        @Test(arguments: TargetKind.servers) func aPartFileIsPrivateUntilItIsSealed(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try await test.session.prepare(file, size: nil)
                #expect(try test.mode("in/" + file.name) == 0o600)
                _ = try await test.session.ship(BytesReader(bytes), into: file)
                #expect(try test.mode("in/" + file.name) == 0o600)
                let sealed = try await test.session.seal(file, size: 100_000, modified: 1)
                #expect(try test.mode("in/" + file.name) == 0o644)
                await sealed.close()
            }
        }

        // MARK: Replacing in two steps

        private func shipped(_ test: TargetUnderTest) async throws -> PartFile {
            let file = try PartFile.sample()
            try await test.session.prepare(file, size: nil)
            _ = try await test.session.ship(BytesReader(bytes), into: file)
            return file
        }

        @Test func aCommitInterruptedBetweenItsTwoRenamesIsFinished() async throws {
            try await withTarget(.withoutExtensions) { test async throws in
                let file = try await shipped(test)
                try test.write(Bytes.seeded(9, count: 10), "in/\(file.name).old")
                #expect(try await test.session.rename(file, overwrite: .replace) == .renamed(atomic: false))
                #expect(try test.names(in: "in") == ["film.mov"])
                #expect(test.content(file.path) == bytes)
            }
        }

        @Test func aBackupOfAnEarlierAttemptIsNoObstacle() async throws {
            try await withTarget(.withoutExtensions) { test async throws in
                let file = try await shipped(test)
                try test.write(Bytes.seeded(9, count: 10), "in/\(file.name).old")
                try test.put(Bytes.seeded(8, count: 10), file.path)
                #expect(try await test.session.rename(file, overwrite: .replace) == .renamed(atomic: false))
                #expect(try test.names(in: "in") == ["film.mov"])
                #expect(test.content(file.path) == bytes)
            }
        }

        @Test func theOnlyCopyOfAReplacedFileIsNotCleanedAway() async throws {
            try await withTarget(.withoutExtensions) { test async throws in
                let file = try await shipped(test)
                let backup = "in/\(file.name).old"
                let old = Bytes.seeded(9, count: 10)
                try test.write(old, backup)
                #expect(try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil) == 1)
                #expect(test.content(at: backup) == old)
                try test.put(Bytes.seeded(8, count: 10), file.path)
                #expect(try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil) == 0)
                #expect(try test.names(in: "in") == ["film.mov"])
            }
        }

        @Test(arguments: TargetKind.servers) func aDirectoryIsNeverReplaced(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try await shipped(test)
                try test.write(Bytes([1]), "in/film.mov/theirs")
                #expect(await failure { _ = try await test.session.rename(file, overwrite: .replace) } != nil)
                #expect(try await test.session.rename(file, overwrite: .never) == .taken)
                #expect(test.content(at: "in/film.mov/theirs") == Bytes([1]))
                #expect(test.content(file) == bytes)
                #expect(try test.names(in: "in") == [file.name, "film.mov"])
            }
        }

        @Test(arguments: TargetKind.servers) func namesThatOnlyLookLikePartFilesStay(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try await shipped(test)
                let prefix = "in/.ferry-\(file.upload)."
                let strangers = ["x.part", "7.party", "07x.part", "notes", "-1.part"]
                for name in strangers { try test.write(Bytes([1]), prefix + name) }
                try test.makeDirectory(prefix + "3.part")
                #expect(try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil) == 1)
                #expect(try test.names(in: "in").count == strangers.count + 1)
            }
        }
    }
}

extension RenameResult {
    var isRenamed: Bool { if case .renamed = self { true } else { false } }
}
