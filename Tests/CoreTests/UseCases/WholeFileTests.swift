import Core
import CoreTesting
import Testing

@Suite("Small files that come whole with their request")
struct WholeFileTests {
    private static let file = Bytes.seeded(21, count: 3_000).array

    /// Takes a file, and hands its upload to a story, with a worker that has not begun.
    private func taken(
        _ world: World = World(),
        overwrite: Overwrite = .never,
        _ story: @escaping @Sendable (World, UploadID, WorldClient, WorldProcess) async throws -> Void
    ) throws {
        try world.run {
            let client = try await world.client()
            let upload = try #require(try await client.submit(Self.file, to: "a", overwrite: overwrite))
            #expect(upload.state == .merging && upload.isComplete)
            #expect(upload.received == Upload.Tally(bytes: 3_000, parts: 1) && upload.shipped.parts == 0)
            try await story(world, upload.id, client, try await world.process("w"))
        }
    }

    @discardableResult
    private static func merge(_ id: UploadID, by worker: WorldProcess) async -> Fence? {
        guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else { return nil }
        await Gate.$current.withValue(worker.gate) { await worker.merge.run(upload, fence: fence) }
        return fence
    }

    /// Lets a worker do all that is recorded.
    private static func goOn(_ world: World) async throws {
        try await world.startWorker(slots: 1)
        try await world.settle()
    }

    private static func upload(_ world: World) -> Upload? { world.server.index.uploads.first }

    @Test("One job brings it to its place, proven, and nothing is left")
    func oneJob() throws {
        try taken { world, id, _, worker in
            let fence = try #require(await Self.merge(id, by: worker))
            let upload = try #require(Self.upload(world))
            #expect(upload.state == .done && upload.preparations == 1)
            #expect(upload.generation == Generation(fence.number) && upload.strategy == .inPlace)
            #expect(upload.shipped == upload.received && upload.verification == .digest)
            #expect(upload.finalFile?.size == 3_000)
            try await world.expectArrived(id, Self.file, at: "a")
            // Nobody was ever asked to ship, and nobody has to look for leftovers.
            #expect(!worker.gate.crossings.contains { $0.hasPrefix("target.removePartFiles") })
            #expect(await worker.ship.perform(id, offset: 0) == .done)
        }
    }

    @Test("What lies at its path already has the last word", arguments: [Overwrite.never, .replace])
    func overwrite(overwrite: Overwrite) throws {
        let world = World()
        let old = Bytes.seeded(22, count: 3_000).array
        world.target.files[path("a")] = .init(bytes: old, modified: world.clock.now.seconds)
        try taken(world, overwrite: overwrite) { world, id, _, worker in
            await Self.merge(id, by: worker)
            let isReplaced = overwrite == .replace
            #expect(Self.upload(world)?.failure?.reason == (isReplaced ? nil : .targetExists))
            #expect(world.target.files[path("a")]?.bytes == (isReplaced ? Self.file : old))
            // Of the same size: only its time tells the two apart.
            let isOlder = (Self.upload(world)?.finalFile?.modified).map { $0 < world.clock.now.seconds }
            #expect(isOlder == true)
        }
    }

    @Test("A path that somebody has is answered as to any other creation")
    func pathTaken() throws {
        try taken { world, _, client, _ in
            let second = try await client.submit(Self.file, to: "a")
            #expect(second == nil)
            #expect(world.staging.uploadIDs.count == 1)
            await #expect(throws: IntakeError.self) { _ = try await client.create("a", size: 3_000) }
        }
    }

    @Test("Other bytes than were declared are refused, and leave nothing")
    func digestDiffers() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let declared = World.digest([1])
            await #expect(
                throws: IntakeError.digestMismatch(declared: declared, received: World.digest(Self.file))
            ) { _ = try await client.submit(Self.file, to: "a", digest: declared) }
            #expect(world.staging.uploadIDs.isEmpty)
            let right = try await client.submit(Self.file, to: "a", digest: World.digest(Self.file))
            #expect(right != nil)
        }
    }

    @Test("What is too large, or not a whole file, is left to the other way")
    func notWhole() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            for file in [[], Bytes.seeded(3, count: 4_097).array] {
                let taken = try await client.submit(file, to: "a")
                #expect(taken == nil)
            }
            #expect(world.staging.uploadIDs.isEmpty)
        }
    }

    @Test("Where staging is full, nothing is begun")
    func stagingFull() throws {
        let world = World(stagingLimit: 2_999)
        try world.run {
            let client = try await world.client()
            let taken = try await client.submit(Self.file, to: "a")
            #expect(taken == nil)
            #expect(world.staging.uploadIDs.isEmpty && Self.upload(world) == nil)
        }
    }

    @Test("Where files are built in another way, it goes the way of all others", arguments: MergeStrategy.allCases)
    func otherWays(strategy: MergeStrategy) throws {
        try taken(World(strategy: strategy)) { world, id, _, worker in
            await Self.merge(id, by: worker)
            if strategy != .inPlace {
                #expect(Self.upload(world)?.state == .shipping && Self.upload(world)?.strategy == strategy)
            }
            try await Self.goOn(world)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("A target that loses the file is given it anew, and that counts as a restart soon")
    func lost() throws {
        try taken { world, id, _, worker in
            world.target.faults.plant(TargetError(.partFileLost, "planted"), in: .ship)
            await Self.merge(id, by: worker)
            #expect(Self.upload(world)?.state == .shipping)
            try await Self.goOn(world)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("A claim that failed leaves no file for the next to trip over")
    func triedAgain() throws {
        try taken { world, id, _, worker in
            world.target.faults.plant(TargetError(.interrupted, "planted"), in: .seal, .after)
            world.target.faults.plant(TargetError(.interrupted, "planted"), in: .remove)
            await Self.merge(id, by: worker)
            #expect(Self.upload(world)?.state == .merging && Self.upload(world)?.attempts == 1)
            #expect(world.target.partFiles.count == 1)
            await Self.merge(id, by: worker)
            #expect(Self.upload(world)?.preparations == 2)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("One that comes late finds its claim gone, and takes its own file away")
    func late() throws {
        try taken { world, id, _, worker in
            guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else {
                return #expect(Bool(false), "not claimed")
            }
            try await world.clock.sleep(MergeUpload.lease + .seconds(1))
            await Self.merge(id, by: try await world.process("v"))
            try await world.expectArrived(id, Self.file, at: "a")
            await worker.merge.run(upload, fence: fence)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("A staged part that is damaged is asked for again")
    func damaged() throws {
        try taken { world, id, client, worker in
            let part = try #require(try await world.staging.read(id)?.parts.first)
            #expect(world.staging.damage(part, of: id))
            await Self.merge(id, by: worker)
            #expect(Self.upload(world)?.failure?.reason == .partDamaged)
            #expect(world.target.partFiles.isEmpty)
            try await client.put(1, of: id, Self.file)
            try await Self.goOn(world)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("It can be cancelled until its commit begins")
    func cancelled() throws {
        try taken { world, id, client, worker in
            worker.gate.watch { name in
                guard name == "target.seal.after" else { return }
                world.background { _ = try? await client.api.intake.cancel(id, for: World.owner) }
            }
            worker.store.faults.plant(.unavailable("away"), in: .beginCommit)
            await Self.merge(id, by: worker)
            #expect(Self.upload(world)?.state == .cancelled)
            await Self.merge(id, by: worker)
            #expect(await worker.clean.perform(id) == .done)
            #expect(world.target.files.isEmpty && world.target.partFiles.isEmpty)
            #expect(world.staging.uploadIDs.isEmpty)
        }
    }

    @Test("An index that is read anew brings it back, and it arrives")
    func rebuilt() throws {
        try taken { world, id, _, _ in
            world.server.wipe()
            try await world.startWorker(slots: 1)
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }
}
