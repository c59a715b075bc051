// Merges of files whose parts are put together on the target, or travel only then.

import Core
import CoreTesting
import Testing

@Suite("Merges that put parts together")
struct AssemblyTests {
    private static let file = Bytes.seeded(11, count: 9_000).array
    private static let apart = MergeStrategy.allCases.filter(\.keepsPartsApart)
    private static let others = MergeStrategy.allCases.filter { $0 != .inPlace }

    /// Ships all of a file, with the merge still to be done by a worker that is handed to `story`.
    private func shipped(
        _ strategy: MergeStrategy,
        _ story: @escaping @Sendable (World, UploadID, WorldProcess) async throws -> Void
    ) throws {
        let world = World(strategy: strategy)
        try world.run {
            let id = try await world.client().send(Self.file, to: "a")
            let worker = try await world.process("w")
            for offset in [0, 4_096, 8_192] as [Int64] { _ = await worker.ship.perform(id, offset: offset) }
            #expect(world.server.index.uploads.first?.state == .merging)
            #expect(world.server.index.uploads.first?.strategy == strategy)
            try await story(world, id, worker)
        }
    }

    /// Lets a worker take the jobs of parts that were shipped without them, and looks whether all is well.
    private static func expectArrived(_ id: UploadID, in world: World, _ comment: String = "") async throws {
        try await world.startWorker()
        try await world.settle()
        try await world.expectArrived(id, file, at: "a", comment)
    }

    private static func merge(_ id: UploadID, by worker: WorldProcess) async {
        guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else { return }
        await Gate.$current.withValue(worker.gate) { await worker.merge.run(upload, fence: fence) }
    }

    @Test("A generation keeps the way in which it was begun", arguments: MergeStrategy.allCases)
    func keepsItsWay(strategy: MergeStrategy) throws {
        try shipped(strategy) { world, id, worker in
            for other in MergeStrategy.allCases where other != strategy { world.target.nextStrategy = other }
            await Self.merge(id, by: worker)
            try await Self.expectArrived(id, in: world)
            #expect(world.server.index.uploads.first?.strategy == strategy)
        }
    }

    @Test("A merge that died goes on where it was recorded", arguments: apart)
    func resumes(strategy: MergeStrategy) throws {
        try shipped(strategy) { world, id, worker in
            // The second part is in its place, and that is not recorded.
            worker.gate.watch { name in
                let steps = worker.gate.crossings.count { $0 == "target.assemble.after" }
                if steps == 1, name == "target.assemble.after" { worker.gate.die() }
            }
            await Self.merge(id, by: worker)
            #expect(worker.gate.isDead)
            let successor = try await world.process("successor")
            try await world.clock.sleep(MergeUpload.lease + .seconds(1))
            await Self.merge(id, by: successor)
            #expect(successor.gate.crossings.count { $0 == "target.assemble.before" } == 2)
            try await Self.expectArrived(id, in: world)
        }
    }

    @Test("Wrong bytes begin a new generation, three times at most", arguments: others, [1, 9])
    func wrong(strategy: MergeStrategy, times: Int) throws {
        try shipped(strategy) { world, id, _ in
            let what = TargetError(.partFileLost, "expected this, found that")
            world.target.faults.plant(what, in: .prove, times: times)
            try await world.startWorker()
            try await world.settle()
            let upload = world.server.index.uploads.first
            guard times > 1 else { return try await world.expectArrived(id, Self.file, at: "a") }
            #expect(upload?.state == .failed)
            #expect(upload?.failure == Failure(.targetCorrupts, "expected this, found that"))
            #expect(upload?.preparations == 4)
        }
    }

    @Test("What was made on the target is what is proven in the end", arguments: MergeStrategy.allCases)
    func verification(strategy: MergeStrategy) throws {
        try shipped(strategy) { world, id, worker in
            #expect(world.server.index.uploads.first?.verification == (strategy == .stream ? .size : .digest))
            await Self.merge(id, by: worker)
            #expect(world.server.index.uploads.first?.verification == .digest)
        }
    }

    @Test("A staged part that is damaged before it travels is asked for again", arguments: [false, true])
    func damagedInStaging(isGone: Bool) throws {
        try shipped(.stream) { world, id, worker in
            let part = Part(offset: 4_096, size: 4_096, digest: World.digest(Array(Self.file[4_096..<8_192])))
            if isGone { world.staging.loseParts(of: id) } else { #expect(world.staging.damage(part, of: id)) }
            await Self.merge(id, by: worker)
            #expect(world.server.index.uploads.first?.failure?.reason == .partDamaged)
            #expect(world.target.files.isEmpty)
        }
    }

    @Test("A stream that was given up is no other's", arguments: ["target.assemble.after", "target.seal.after"])
    func streamsAreTheirClaims(at name: String) throws {
        try shipped(.stream) { world, id, worker in
            worker.gate.plan(.stops(.seconds(30)), at: name)
            world.background { await Self.merge(id, by: worker) }
            try await world.clock.sleep(MergeUpload.lease + .seconds(1))
            #expect(world.target.partFiles.count == 1)
            let successor = try await world.process("successor")
            await Self.merge(id, by: successor)
            try await world.clock.sleep(.seconds(60))
            try await world.startWorker()
            try await world.settle()
            try await world.clock.sleep(.seconds(120))
            world.startJanitor()
            try await world.clock.sleep(.seconds(30))
            try await world.expectArrived(id, Self.file, at: "a", name)
        }
    }
}
