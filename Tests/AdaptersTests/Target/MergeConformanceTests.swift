// What every way to build files must hold on every server that allows it, in whole merges: whoever dies after whatever
// step, or stands still there and goes on when another is done, the file appears whole, once, with what it is to have,
// and nothing is left.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import Adapters

extension OnTargets {
    @Suite struct MergeConformanceTests {
        private static let old = Bytes.seeded(5, count: 70_000)

        /// All five ways, each on the servers that allow it.
        static let places =
            TargetKind.servers.compactMap { kind -> AssemblyCase? in
                guard case .server(let server) = kind else { return nil }
                return AssemblyCase(strategy: .inPlace, server: server)
            } + AssemblyCase.onServers

        @Test(arguments: places) func aMergeThatDiedAfterAnyStepIsBroughtToItsEnd(at place: AssemblyCase) async throws {
            let steps = try await liveThrough(.dies, at: place) { _ in true }
            // Claimed, sealed, recorded as begun, renamed, done, cleaned, and what lies between.
            #expect(steps.count >= 12)
            if place.strategy.keepsPartsApart { #expect(steps.contains("assembly recorded(1)")) }
        }

        @Test(arguments: places) func twoMergesMakeOneFile(at place: AssemblyCase) async throws {
            // A script that has the lock keeps another from it until it ends, which the one that stands still does not.
            let keepsOthersOut = place.strategy == .script && place.server != .bashWithoutLocks
            let steps = try await liveThrough(.stops, at: place) { !keepsOthersOut || !$0.hasPrefix("assembly") }
            #expect(keepsOthersOut || !place.strategy.keepsPartsApart || steps.contains("assembly recorded(1)"))
            #expect(steps.count >= 12)
        }

        @Test(arguments: places.filter { $0.strategy == .inPlace }, [Life.End.dies, .stops])
        func aSmallFileThatCameWholeIsMergedToItsEnd(at place: AssemblyCase, end: Life.End) async throws {
            let steps = try await liveThrough(end, at: place, isWhole: true) { _ in true }
            #expect(steps.count >= 10)
        }

        /// Merges file after file by a worker that ends after the first step, the second, and so on, and by one that
        /// follows it. Answers the steps of a whole merge.
        private func liveThrough(
            _ end: Life.End,
            at place: AssemblyCase,
            isWhole: Bool = false,
            counting: @escaping @Sendable (String) -> Bool
        ) async throws -> [String] {
            let root = try await place.makeRoot()
            let world = MergeUnderTest()
            var steps: [String]?
            try await place.withTarget(root: root, reached: Life.watch) { first async throws in
                try await place.withTarget(root: root, reached: Life.watch) { second async throws in
                    let successor = try await world.worker("successor", on: second.session)
                    for step in 0..<100 {
                        let life = Life((end, after: step), counting: counting)
                        let file = Bytes.seeded(UInt64(step), count: isWhole ? 40_001 : 150_001)
                        try await live(
                            step,
                            of: life,
                            end,
                            with: file,
                            at: place,
                            in: world,
                            on: first,
                            then: second,
                            successor
                        )
                        // Nothing ended this one: it has been through all of them.
                        guard life.steps.count <= step else { continue }
                        steps = life.steps
                        break
                    }
                }
            }
            return try #require(steps, "a merge takes more than 100 steps")
        }

        private func live(
            _ step: Int,
            of life: Life,
            _ end: Life.End,
            with file: Bytes,
            at place: AssemblyCase,
            in world: MergeUnderTest,
            on first: TargetUnderTest,
            then test: TargetUnderTest,
            _ successor: MergeUnderTest.Worker
        ) async throws {
            let worker = try await world.worker("worker-\(step)", on: first.session)
            // What is there already is replaced in every other file.
            let overwrite: Overwrite = step.isMultiple(of: 2) ? .replace : .never
            let directory = "after-\(step)"
            let path = try TargetPath("\(directory)/film.mov")
            if overwrite == .replace { try test.put(Self.old, path) }
            let name = path.description
            let id =
                if file.count < MergeUpload.largestWhole {
                    try await world.submit(file, to: name, overwrite: overwrite, by: worker)
                } else {
                    try await world.send(file, to: name, overwrite: overwrite, by: worker)
                }
            #expect(world.upload(id)?.state == .merging)
            let merging = Task { await worker.merge(id, in: life) }
            if end == .stops {
                await life.standsStill()
            } else {
                await merging.value
                // What a dead process streams is broken off with its connection.
                await (first.session as? SFTPTarget)?.streams.abandonAll()
            }
            // One that the first has hindered is tried again, as its retry would be.
            for _ in 0..<3 where world.upload(id)?.state != .done {
                world.waitForLeases()
                await successor.merge(id)
            }
            life.goOn()
            await merging.value
            let comment = Comment(rawValue: "\(end) after \(life.steps.last ?? "nothing")")
            // Where closing is the commit, an open file goes with its session: a commit that had begun is for a person.
            if place.isUnseen, world.upload(id)?.failure?.reason == .commitUnknown {
                // The one that stood still may have closed it since: whole, or not at all.
                let found = test.content(path)
                #expect(found == (overwrite == .replace ? Self.old : nil) || end == .stops && found == file, comment)
                try await world.replay(id, by: successor)
                await successor.merge(id)
            }
            #expect(world.upload(id)?.state == .done, "\(world.upload(id)?.failure?.detail ?? "") \(comment)")
            #expect(test.content(path) == file, comment)
            if place.keepsAttributes {
                #expect(try test.mode(path.description) == 0o440, comment)
                #expect(try await test.session.facts(of: path)?.modified == 1_000_000_000, comment)
            }
            // What the clean job of the outbox does, should nobody have come to it.
            #expect(await successor.clean.perform(id) == .done, comment)
            #expect(try test.names(in: directory) == ["film.mov"], comment)
            #expect(world.staging.uploadIDs.isEmpty, comment)
        }
    }
}
