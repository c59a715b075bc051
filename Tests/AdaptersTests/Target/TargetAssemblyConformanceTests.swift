// What every strategy must do on every server that allows it: put parts together, whoever dies, comes twice or late.

import Core
import CoreTesting
import Foundation
import Harness
import Synchronization
import Testing

@testable import Adapters

extension OnTargets {
    @Suite struct TargetAssemblyConformanceTests {
        /// One part that takes several requests, and some that are small and odd.
        private static let sizes = [70_000, 1, 300_001, 65_536, 4_097]

        @Test(arguments: AssemblyCase.all) func partsComeTogether(at place: AssemblyCase) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file("in/it's a \"$(film)\" .mov")
                let cut = Cut(Self.sizes)
                try await test.session.prepare(file, size: Int64(cut.whole.count))
                #expect(try await test.session.strategy() == place.strategy)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for reader in cut.readers.reversed() + cut.readers {
                        group.addTask { _ = try await test.session.ship(reader, into: file) }
                    }
                    try await group.waitForAll()
                }
                #expect(try await test.session.facts(of: file.path) == nil)
                let proof = try await test.assemble(file, cut)
                let expected = Self.sizes.map { place.verification(ofSize: $0) }.min()
                #expect(proof == (place.strategy == .inPlace ? nil : expected))
                #expect(test.content(file) == (place.isUnseen ? nil : cut.whole))
                #expect(try await test.session.facts(of: file.path) == nil)
                #expect(try await test.commit(file, size: cut.whole.count) == .renamed(atomic: !place.isUnseen))
                #expect(test.content(file.path) == cut.whole)
                // What is left is found by its name.
                let left = try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil)
                #expect(left == (place.strategy.keepsPartsApart ? 1 : 0))
                if place.server != nil { #expect(try test.names(in: "in") == [file.path.name]) }
            }
        }

        @Test(arguments: AssemblyCase.all) func nothingIsSomething(at place: AssemblyCase) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file()
                try await test.session.prepare(file, size: 0)
                _ = try await test.assemble(file, Cut([]))
                #expect(try await test.commit(file, size: 0) == .renamed(atomic: !place.isUnseen))
                #expect(test.content(file.path)?.count == 0)
            }
        }

        @Test(arguments: AssemblyCase.apartOnServers, [1, 3])
        func whoFollowsGoesOnWhereTheRecordSays(at place: AssemblyCase, index: Int) async throws {
            let cut = Cut(Self.sizes)
            let root = try await place.makeRoot()
            let first = StepCounter(endingAt: .recorded(index))
            try await place.withTarget(root: root, reached: first.watch) { test async throws in
                let file = try place.file()
                try await test.shipAll(cut, into: file)
                _ = await failure { _ = try await test.assemble(file, cut) }
            }
            let second = StepCounter()
            try await place.withTarget(root: root, reached: second.watch) { test async throws in
                let file = try place.file(claim: 10)
                _ = try await test.assemble(file, cut)
                #expect(test.content(file) == cut.whole)
                let recorded = second.steps.compactMap { if case .recorded(let index) = $0 { index } else { nil } }
                // A script may have come further than its worker knew.
                if place.strategy == .script {
                    #expect(recorded.allSatisfy { $0 > index })
                } else {
                    #expect(recorded == Array(index + 1..<cut.parts.count))
                }
            }
        }

        @Test("A record is written for so many bytes, and in the end", arguments: AssemblyCase.apartOnServers)
        func records(at place: AssemblyCase) async throws {
            // A script records every part: that costs no round trip.
            guard place.strategy != .script else { return }
            let steps = StepCounter()
            try await place.withTarget(recordedEvery: 80_000, reached: steps.watch) { test async throws in
                let file = try place.file()
                let cut = Cut([50_000, 30_000, 79_999, 1, 10])
                try await test.shipAll(cut, into: file)
                _ = try await test.assemble(file, cut)
                #expect(test.content(file) == cut.whole)
                let recorded = steps.steps.compactMap { if case .recorded(let index) = $0 { index } else { nil } }
                #expect(recorded == [1, 3, 4])
            }
        }

        @Test(arguments: AssemblyCase.apartOnServers)
        func aGenerationThatWasTakenAwayStaysAway(at place: AssemblyCase) async throws {
            let cut = Cut(Self.sizes)
            let root = try await place.makeRoot()
            let newer = try place.file(generation: 8)
            let watch: AssemblyWatch = { step in
                guard step == .recorded(1) else { return }
                try await place.withTarget(root: root) { other async throws in
                    try await other.session.prepare(newer, size: nil)
                    let removed = try await other.session.removePartFiles(
                        of: newer.upload,
                        beside: newer.path,
                        before: newer.generation
                    )
                    #expect(removed == 2)
                }
            }
            try await place.withTarget(root: root, reached: watch) { test async throws in
                let file = try place.file()
                try await test.shipAll(cut, into: file)
                #expect(await failure { _ = try await test.assemble(file, cut) }?.kind == .partFileLost)
                // Nor does a late part bring anything back.
                let reader = cut.readers[0]
                #expect(await failure { _ = try await test.session.ship(reader, into: file) }?.kind == .partFileLost)
                #expect(try test.names(in: "in").sorted() == [newer.name, newer.directoryName].sorted())
            }
        }

        @Test(arguments: AssemblyCase.apartOnServers) func otherBytesAreFound(at place: AssemblyCase) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file()
                let cut = Cut(Self.sizes)
                try await test.shipAll(cut, into: file)
                let part = cut.parts[2]
                let name = "in/\(file.directoryName)/\(PartsDirectory.name(of: part))"
                var bytes = try #require(test.content(at: name)).array
                bytes[77] ^= 1
                try test.write(Bytes(bytes), name)
                let error = await failure { _ = try await test.assemble(file, cut) }
                #expect(error?.kind == .partFileLost)
                #expect(error?.detail.contains("\(part.digest)") == true)
                #expect(error?.detail.contains("\(digest(Bytes(bytes)))") == true)
                // Too short, or gone.
                try test.write(Bytes(Array(bytes.dropLast())), name)
                #expect(await failure { _ = try await test.assemble(file, cut) }?.kind == .partFileLost)
                try FileManager.default.removeItem(atPath: test.path(name))
                #expect(await failure { _ = try await test.assemble(file, cut) }?.kind == .partFileLost)
            }
        }

        @Test(
            arguments: AssemblyCase.apartOnServers,
            [
                "", "{", #"{"next":9,"size":439635}"#, #"{"next":2,"size":70000}"#, #"{"next":-1,"size":0}"#,
                #"{"next":3,"size":370002}"#, #"{"next":"3","size":370002}"#,
            ]
        )
        func aRecordThatTellsOtherwiseIsNotBelieved(at place: AssemblyCase, record: String) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file()
                let cut = Cut(Self.sizes)
                try await test.shipAll(cut, into: file)
                // The part file is empty, whatever it says.
                try test.write(Bytes(Array(record.utf8)), "in/\(file.directoryName)/record")
                _ = try await test.assemble(file, cut)
                #expect(test.content(file) == cut.whole)
            }
        }

        @Test(arguments: AssemblyCase.apartOnServers) func whatIsNotOursStays(at place: AssemblyCase) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file()
                let cut = Cut([10, 20])
                try await test.shipAll(cut, into: file)
                _ = try await test.assemble(file, cut)
                try test.write(Bytes([1]), "in/\(file.directoryName)/theirs.txt")
                try test.write(Bytes([1]), "in/.ferry-\(file.upload).parts/0000000000000000-10-0000000000000000")
                _ = try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil)
                #expect(try test.names(in: "in/\(file.directoryName)") == ["theirs.txt"])
                #expect(try test.names(in: "in").count == 2)
                try FileManager.default.removeItem(atPath: test.path("in/\(file.directoryName)/theirs.txt"))
                try await test.session.remove(file)
                #expect(try test.names(in: "in").count == 1)
            }
        }

        @Test(arguments: [false, true]) func aLockThatWasLeftIsTakenOnceItIsOld(isOld: Bool) async throws {
            let place = AssemblyCase(strategy: .script, server: .fewCommands)
            try await place.withTarget { test async throws in
                let file = try place.file()
                let cut = Cut([10, 20])
                try await test.shipAll(cut, into: file)
                let lock = "in/\(file.directoryName)/\(PartsDirectory.lockDirectory)"
                try test.makeDirectory(lock)
                if isOld {
                    try FileManager.default.setAttributes(
                        [.modificationDate: Date(timeIntervalSinceNow: -200)],
                        ofItemAtPath: test.path(lock)
                    )
                }
                let start = ContinuousClock.now
                _ = try await test.assemble(file, cut)
                // Waiting for it takes ten.
                #expect((.now - start < .seconds(5)) == isOld)
                #expect(test.content(file) == cut.whole)
                _ = try await test.session.removePartFiles(of: file.upload, beside: file.path, before: nil)
                #expect(try test.names(in: "in") == [])
            }
        }

        @Test(arguments: [
            AssemblyCase(strategy: .copy, server: .withoutExtensions),
            AssemblyCase(strategy: .script, server: .withoutExtensions),
        ])
        func whatAServerCannotDoIsTold(at place: AssemblyCase) async throws {
            try await place.withTarget { test async throws in
                let file = try place.file()
                let cut = Cut([10, 20])
                try await test.shipAll(cut, into: file)
                // A command that does not begin may be a connection that was lost: another try may do.
                let kind: TargetError.Kind = place.strategy == .script ? .interrupted : .unsupported
                #expect(await failure { _ = try await test.assemble(file, cut) }?.kind == kind)
                #expect(test.content(file)?.count == 0)
            }
        }

        @Test(arguments: AssemblyCase.onServers, [SFTPTargetOptions.Verify.size, .readback])
        func theConfiguredProofIsTheOneThatIsGiven(at place: AssemblyCase, verify: SFTPTargetOptions.Verify)
            async throws
        {
            try await place.withTarget(verify: verify) { test async throws in
                let file = try place.file()
                let cut = Cut([100_000, 5])
                try await test.shipAll(cut, into: file)
                let proof = try await test.assemble(file, cut)
                #expect(proof == (verify == .size ? .size : .readback))
                if !place.isUnseen { #expect(test.content(file) == cut.whole) }
            }
        }

        // MARK: Where closing is the commit

        private static let unseen = AssemblyCase(strategy: .stream, server: .publishingGateway)

        @Test(arguments: Overwrite.allCases) func whatIsThereByTheTimeOfClosingDecides(overwrite: Overwrite)
            async throws
        {
            try await Self.unseen.withTarget { test async throws in
                let file = try Self.unseen.file()
                let cut = Cut(Self.sizes)
                try await test.session.prepare(file, size: nil)
                _ = try await test.assemble(file, cut)
                let theirs = Bytes.seeded(9, count: 10)
                try test.put(theirs, file.path)
                let sealed = try await test.session.seal(file, size: Int64(cut.whole.count), modified: 1)
                let result = try await test.session.rename(file, overwrite: overwrite)
                #expect(result == (overwrite == .never ? .taken : .renamed(atomic: true)))
                await sealed.close()
                #expect(test.content(file.path) == (overwrite == .never ? theirs : cut.whole))
            }
        }

        @Test func whatIsGivenUpIsNeverSeen() async throws {
            try await Self.unseen.withTarget { test async throws in
                let file = try Self.unseen.file()
                let cut = Cut(Self.sizes)
                try await test.session.prepare(file, size: nil)
                _ = try await test.assemble(file, cut)
                await (try await test.session.seal(file, size: Int64(cut.whole.count), modified: 1)).close()
                _ = try await test.assemble(file, cut)
                #expect(
                    await failure { _ = try await test.session.seal(file, size: 1, modified: 1) }?.kind == .partFileLost
                )
                // Another claim's does not end it.
                _ = try await test.assemble(file, cut)
                let other = try Self.unseen.file(claim: 10)
                _ = try await test.assemble(other, cut)
                #expect(test.content(file.path) == nil)
                #expect(try await test.commit(other, size: cut.whole.count) == .renamed(atomic: false))
                #expect(test.content(file.path) == cut.whole)
            }
        }

        @Test func wrongBytesThatAppearedAreTakenAway() async throws {
            try await Self.unseen.withTarget { test async throws in
                let file = try Self.unseen.file()
                let (right, wrong) = (Bytes.seeded(1, count: 50_000), Bytes.seeded(2, count: 50_000))
                let reader = BytesReader(wrong, promising: right)
                try await test.session.prepare(file, size: nil)
                _ = try await test.session.assemble(file, of: [reader.part]) { _ in reader }
                let sealed = try await test.session.seal(file, size: 50_000, modified: 1)
                let error = await failure { _ = try await test.session.rename(file, overwrite: .never) }
                await sealed.close()
                #expect(error?.kind == .partFileLost)
                #expect(error?.detail.contains("\(digest(right))") == true)
                #expect(error?.detail.contains("\(digest(wrong))") == true)
                #expect(test.content(file.path) == nil)
            }
        }
    }
}
