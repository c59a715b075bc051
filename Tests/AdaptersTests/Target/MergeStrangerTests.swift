// What somebody else does on the target while a merge is under way: it is seen, and harms nothing that lay there.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import Adapters

/// What somebody with access to the target does to a part file.
enum Meddling: Hashable, Sendable, CaseIterable {
    case grows, cuts, changes, removes

    /// What an operator is told of it.
    var seen: String {
        switch self {
        case .grows: "has 150002 bytes instead of 150001"
        case .cuts: "has 150000 bytes instead of 150001"
        case .changes: "expected"
        case .removes: "is gone"
        }
    }

    /// Does it.
    func perform(on path: String) throws {
        let url = URL(fileURLWithPath: path)
        var bytes = try Data(contentsOf: url)
        switch self {
        case .grows: bytes.append(7)
        case .cuts: bytes.removeLast()
        case .changes: bytes[bytes.count / 2] ^= 1
        case .removes: return try FileManager.default.removeItem(at: url)
        }
        // As an editor that writes into the file does: it stays the same one.
        let handle = try FileHandle(forWritingTo: url)
        try handle.truncate(atOffset: UInt64(bytes.count))
        try handle.seek(toOffset: 0)
        try handle.write(contentsOf: bytes)
        try handle.close()
    }
}

extension OnTargets {
    @Suite struct MergeStrangerTests {
        private static let file = Bytes.seeded(4, count: 150_001)
        private static let theirs = Bytes.seeded(5, count: 70_000)

        /// A merge that stands still when its file is built and not yet sealed.
        private static func beforeTheSeal() -> Life { Life((.stops, after: 0)) { $0 == "facts(of:) path" } }

        @Test(arguments: MergeConformanceTests.places.filter { !$0.isUnseen }, Meddling.allCases)
        func aPartFileThatIsMeddledWithIsBuiltAnew(at place: AssemblyCase, meddling: Meddling) async throws {
            try await place.withTarget(reached: Life.watch) { test async throws in
                let world = MergeUnderTest()
                let worker = try await world.worker("worker", on: test.session)
                try test.put(Self.theirs, TargetPath("in/film.mov"))
                let id = try await world.send(Self.file, to: "in/film.mov", overwrite: .replace, by: worker)
                let life = Self.beforeTheSeal()
                let merging = Task { await worker.merge(id, in: life) }
                await life.standsStill()
                let built = try #require(world.upload(id)?.partFile)
                try meddling.perform(on: test.path(built))
                life.goOn()
                await merging.value
                // What lay there is untouched, and another generation has begun.
                #expect(test.content(built.path) == Self.theirs)
                let upload = try #require(world.upload(id))
                #expect(upload.state == .merging || upload.state == .shipping)
                #expect(upload.failure?.reason == .targetCorrupts)
                #expect(upload.failure?.detail.contains(meddling.seen) == true, "\(upload.failure?.detail ?? "")")
                try await world.ship(id, by: worker)
                world.waitForLeases()
                await worker.merge(id)
                #expect(world.upload(id)?.state == .done)
                #expect(world.upload(id)?.restarts == 1)
                #expect(test.content(built.path) == Self.file)
                #expect(try test.names(in: "in") == ["film.mov"])
            }
        }

        /// A server that does not tell its space cannot be asked why it refused.
        private static let tellSpace: [SFTPServerKind] = [.openSSH, .fewCommands]

        @Test(
            arguments: MergeConformanceTests.places.filter { place in
                place.strategy.keepsPartsApart && tellSpace.contains { $0 == place.server }
            }
        )
        func aDiskThatFillsUpMeanwhileIsTold(at place: AssemblyCase) async throws {
            let server = try await SharedServers.sftp(try #require(place.server))
            let root = try await place.makeRoot()
            let directory = server.path(root)
            let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]
            // Only where file systems may be mounted; elsewhere there is no small one to fill.
            guard try await ChildProcess.run("mount", options).isSuccess else { return }
            do {
                try await place.withTarget(root: root) { test async throws in
                    let world = MergeUnderTest()
                    let worker = try await world.worker("worker", on: test.session)
                    let id = try await world.send(Self.file, to: "film.mov", overwrite: .never, by: worker)
                    // Others' files take what is left, but for less than the whole.
                    try test.write(Bytes.seeded(6, count: 780_000), "theirs")
                    await worker.merge(id)
                    let upload = try #require(world.upload(id))
                    #expect(upload.state == .merging)
                    #expect(upload.failure?.reason == .diskFull, "\(upload.failure?.detail ?? "")")
                    try FileManager.default.removeItem(atPath: test.path("theirs"))
                    world.waitForLeases()
                    await worker.merge(id)
                    #expect(world.upload(id)?.state == .done)
                    #expect(try test.names() == ["film.mov"])
                    #expect(try test.content(TargetPath("film.mov")) == Self.file)
                }
            } catch {
                _ = try await ChildProcess.run("umount", ["-l", directory])
                throw error
            }
            #expect(try await ChildProcess.run("umount", ["-l", directory]).isSuccess)
        }

        @Test func theOldFileOfAReplacementInStepsIsNotLeftBehind() async throws {
            let place = AssemblyCase(strategy: .inPlace, server: .withoutExtensions)
            try await place.withTarget(reached: Life.watch) { test async throws in
                let world = MergeUnderTest()
                let worker = try await world.worker("worker", on: test.session)
                try test.put(Self.theirs, TargetPath("in/film.mov"))
                let id = try await world.send(Self.file, to: "in/film.mov", overwrite: .replace, by: worker)
                // It dies with the new file in its place, and before the old one is removed.
                let life = Life((.dies, after: 0)) { $0 == "rename(_:overwrite:)" }
                await worker.merge(id, in: life)
                let built = try #require(world.upload(id)?.partFile)
                try test.write(Self.theirs, "in/\(built.name).old")
                world.waitForLeases()
                let successor = try await world.worker("successor", on: test.session)
                await successor.merge(id)
                #expect(world.upload(id)?.state == .done)
                #expect(world.upload(id)?.atomic == false)
                #expect(test.content(built.path) == Self.file)
                #expect(try test.names(in: "in") == ["film.mov"])
            }
        }

        @Test(arguments: MergeConformanceTests.places, Overwrite.allCases)
        func aFileThatAppearsMeanwhile(at place: AssemblyCase, overwrite: Overwrite) async throws {
            try await place.withTarget(reached: Life.watch) { test async throws in
                let world = MergeUnderTest()
                let worker = try await world.worker("worker", on: test.session)
                let id = try await world.send(Self.file, to: "in/film.mov", overwrite: overwrite, by: worker)
                let life = Life((.stops, after: 0)) { $0 == "store beginCommit" }
                let merging = Task { await worker.merge(id, in: life) }
                await life.standsStill()
                try test.put(Self.theirs, TargetPath("in/film.mov"))
                life.goOn()
                await merging.value
                let found = try test.content(TargetPath("in/film.mov"))
                switch overwrite {
                case .never:
                    #expect(world.upload(id)?.state == .failed)
                    #expect(world.upload(id)?.failure?.reason == .targetExists)
                    #expect(found == Self.theirs)
                case .replace:
                    #expect(world.upload(id)?.state == .done)
                    #expect(found == Self.file)
                    #expect(try test.names(in: "in") == ["film.mov"])
                }
            }
        }
    }
}
