import Core
import CoreTesting
import Testing

@Suite("Merge jobs")
struct MergeUploadTests {
    private static let file = Bytes.seeded(11, count: 9_000).array
    private static let wrong = Bytes.seeded(12, count: 9_000).array

    /// Ships all of a file, with the merge still to be done by a worker that is handed to `story`.
    private func shipped(
        _ world: World,
        overwrite: Overwrite = .never,
        digest: SHA256Digest? = nil,
        _ story: @escaping @Sendable (UploadID, WorldClient, WorldProcess) async throws -> Void
    ) throws {
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 9_000, digest: digest, overwrite: overwrite).upload.id
            for (number, bytes) in WorldClient.parts(of: Self.file) { try await client.put(number, of: id, bytes) }
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            let worker = try await world.process("w")
            for offset in [0, 4_096, 8_192] as [Int64] { _ = await worker.ship.perform(id, offset: offset) }
            #expect(world.server.index.uploads.first?.state == .merging)
            try await story(id, client, worker)
        }
    }

    private static func merge(_ id: UploadID, by worker: WorldProcess) async {
        guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else { return }
        await Gate.$current.withValue(worker.gate) { await worker.merge.run(upload, fence: fence) }
    }

    @Test("A file that is there stays, or is replaced in one step", arguments: [Overwrite.never, .replace])
    func overwrite(overwrite: Overwrite) throws {
        let world = World()
        world.target.files[path("a")] = InMemoryTarget.File(bytes: Self.wrong)
        try shipped(world, overwrite: overwrite) { id, _, worker in
            await Self.merge(id, by: worker)
            let upload = world.server.index.uploads.first
            if overwrite == .never {
                #expect(upload?.failure?.reason == .targetExists)
                #expect(world.target.files[path("a")]?.bytes == Self.wrong)
                #expect(world.target.partFiles.count == 1)
                // Whatever the dead worker had said: a person decides, even if the index is lost first.
                let staged = try #require(try await world.staging.read(id))
                #expect(staged.markers.map(\.kind) == [.complete] && !staged.parts.isEmpty)
            } else {
                #expect(world.target.files[path("a")]?.bytes == Self.file)
                #expect(upload?.state == .done)
            }
        }
    }

    @Test("A merge that lost the index is given back as soon as the index answers")
    func indexAway() throws {
        let world = World()
        try shipped(world) { id, _, worker in
            worker.store.faults.plant(.unavailable("away"), in: .beginCommit)
            worker.store.faults.plant(.unavailable("away"), in: .release, times: 3)
            let begun = world.clock.now
            await Self.merge(id, by: worker)
            #expect(world.clock.now - begun < .seconds(3))
            let other = try await world.process("v")
            guard case .claimed = await other.merge.claim(id) else {
                return #expect(Bool(false), "the claim is still held")
            }
        }
    }

    @Test("A declared digest is proven before the commit", arguments: [true, false])
    func declared(isRight: Bool) throws {
        let world = World()
        try shipped(world, digest: World.digest(isRight ? Self.file : Self.wrong)) { id, _, worker in
            await Self.merge(id, by: worker)
            #expect(world.server.index.uploads.first?.state == (isRight ? .done : .failed))
            #expect(isRight || world.server.index.uploads.first?.failure?.reason == .digestMismatch)
            #expect(world.target.files.isEmpty != isRight)
        }
    }

    @Test("A staged part that was damaged since, or is not there, is asked for again", arguments: [false, true])
    func damagedBeforeProof(dies: Bool) throws {
        let world = World()
        try shipped(world, digest: World.digest(Self.file)) { id, client, worker in
            let part = Part(offset: 0, size: 4_096, digest: World.digest(Array(Self.file[..<4_096])))
            #expect(world.staging.damage(part, of: id))
            try await world.startWorker { if dies { $0.plan(.dies, at: "store.strike.before") } }
            try await world.settle()
            #expect(world.server.index.uploads.first?.failure?.reason == .partDamaged)
            try await client.put(1, of: id, Self.file[..<4_096])
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("Two merges of one upload: one is claimed, the other finds nothing to do")
    func two() throws {
        let world = World()
        try shipped(world) { id, _, worker in
            let other = try await world.process("other")
            guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else {
                Issue.record("not claimed"); return
            }
            #expect(await other.merge.claim(id) == .nothing)
            await worker.merge.run(upload, fence: fence)
            #expect(await other.merge.claim(id) == .nothing)
            #expect(world.server.index.uploads.first?.state == .done)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test(
        "A merger that slept past its lease, wherever it slept, wakes to a finished merge and does no harm",
        arguments: [
            "target.seal.before", "target.seal.after", "store.beginCommit.before", "store.beginCommit.after",
            "target.rename.before", "target.rename.after", "store.finish.before", "store.finish.after",
            "staging.discard.before",
        ]
    )
    func paused(at name: String) throws {
        let world = World()
        try shipped(world) { id, _, worker in
            worker.gate.plan(.stops(.seconds(90)), at: name)
            world.background { await Self.merge(id, by: worker) }
            try await world.startWorker()
            try await world.settle()
            try await world.clock.sleep(.seconds(120))
            #expect(worker.gate.crossings.contains(name))
            try await world.expectArrived(id, Self.file, at: "a", name)
        }
    }

    @Test("The rename's answer is lost: what is there decides", arguments: [FaultMoment.before, .after])
    func replyLost(moment: FaultMoment) throws {
        let world = World()
        try shipped(world) { id, _, worker in
            world.target.faults.plant(TargetError(.interrupted, "planted"), in: .rename, moment)
            await Self.merge(id, by: worker)
            #expect(world.server.index.uploads.first?.state == .done)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    /// What happens to the final file between the rename and the next look.
    enum Aftermath: CaseIterable, Hashable, Sendable {
        case ours, touched, absent, strangers
    }

    @Test(
        "The part file is gone after a lost answer: ours is success, all else is for a person",
        arguments: Aftermath.allCases,
        ["target.rename.after", "store.finish.before"]
    )
    func partGone(aftermath: Aftermath, death: String) throws {
        let world = World()
        try shipped(world) { id, _, worker in
            worker.gate.plan(.dies, at: death)
            await Self.merge(id, by: worker)
            #expect(world.server.index.uploads.first?.state == .committing)
            switch aftermath {
            case .ours: break
            case .touched: world.target.files[path("a")]?.modified = 1
            case .absent: world.target.files[path("a")] = nil
            case .strangers: world.target.files[path("a")] = InMemoryTarget.File(bytes: Self.wrong, modified: 1)
            }
            try await world.startWorker()
            try await world.settle()
            switch aftermath {
            case .ours, .touched: try await world.expectArrived(id, Self.file, at: "a")
            case .absent, .strangers:
                #expect(world.server.index.uploads.first?.failure?.reason == .commitUnknown)
                #expect(world.target.renames.count == 1)
                #expect(world.target.files[path("a")]?.bytes == (aftermath == .absent ? nil : Self.wrong))
                let staged = try await world.staging.read(id)
                #expect(staged != nil)
            }
        }
    }

    @Test("A byte that changes after its part was proven: before the seal it is built anew, after it a replay does")
    func changedOnTheTarget() throws {
        for isSealed in [false, true] {
            let world = World()
            try shipped(world) { id, _, worker in
                if isSealed {
                    worker.gate.plan(.dies, at: "target.rename.before")
                    await Self.merge(id, by: worker)
                }
                let file = try #require(world.target.partFiles.keys.first)
                #expect(world.target.damage(file, at: 4_100))
                try await world.startWorker()
                try await world.settle()
                if isSealed {
                    #expect(world.server.index.uploads.first?.failure?.reason == .targetCorrupts)
                    #expect(world.target.files.isEmpty)
                    _ = try await worker.store.replay(id, overwrite: nil)
                    try await world.settle()
                }
                #expect(world.target.renames.count == 1)
                try await world.expectArrived(id, Self.file, at: "a")
            }
        }
    }

    @Test("The server linked and did not unlink: the own file is recognised, the part file removed")
    func linkedOnly() throws {
        let world = World()
        try shipped(world) { id, _, worker in
            worker.gate.plan(.dies, at: "target.rename.before")
            await Self.merge(id, by: worker)
            let part = try #require(world.target.partFiles.first)
            world.target.files[path("a")] = part.value
            try await world.startWorker()
            try await world.settle()
            #expect(world.server.index.uploads.first?.state == .done)
            #expect(world.target.files[path("a")]?.bytes == Self.file)
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A stranger's file of the same size and time is not taken for the own one")
    func strangerAlike() throws {
        let world = World()
        try shipped(world) { id, _, worker in
            worker.gate.plan(.dies, at: "target.rename.before")
            await Self.merge(id, by: worker)
            let modified = try #require(world.target.partFiles.first).value.modified
            world.target.files[path("a")] = InMemoryTarget.File(bytes: Self.wrong, modified: modified)
            try await world.startWorker()
            try await world.settle()
            #expect(world.server.index.uploads.first?.failure?.reason == .targetExists)
            #expect(world.target.files[path("a")]?.bytes == Self.wrong)
        }
    }

    @Test("A target that loses the part file again and again is not built for for ever")
    func losesForEver() throws {
        let world = World()
        try shipped(world) { _, _, _ in
            world.target.faults.plant(TargetError(.partFileLost, "planted"), in: .seal, times: 1_000)
            try await world.startWorker()
            try await world.settle(within: .seconds(3_600))
            #expect(world.server.index.uploads.first?.failure?.reason == .targetCorrupts)
        }
    }

    @Test("Drained in the middle, a merge gives its claim back, and the next one need not wait")
    func drained() throws {
        let world = World()
        try shipped(world) { id, _, worker in
            guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else {
                Issue.record("not claimed"); return
            }
            let task = Gate.$current.withValue(worker.gate) {
                Task(executorPreference: world.executor) { await worker.merge.run(upload, fence: fence) }
            }
            task.cancel()
            await task.value
            guard case .claimed = await worker.merge.claim(id) else { Issue.record("still claimed"); return }
        }
    }
}
