// Mode and time of a final file: set whoever ends the commit, in the way of nothing.

import Core
import CoreTesting
import Testing

@Suite("Attributes of final files")
struct AttributeTests {
    private static let file = Bytes.seeded(31, count: 9_000).array
    private static let wrong = Bytes.seeded(32, count: 9_000).array
    private static let attributes = FinalAttributes(
        mode: FileMode(octal: "0440"),
        modifiedAt: Timestamp(microseconds: 1_000_000_000_999_999)
    )

    /// Ships all of a file, with the merge still to be done by a worker that is handed to `story`.
    private func shipped(
        _ attributes: FinalAttributes = Self.attributes,
        _ story: @escaping @Sendable (World, UploadID, WorldProcess) async throws -> Void
    ) throws {
        let world = World()
        try world.run {
            var client = try await world.client()
            client.attributes = attributes
            let id = try await client.send(Self.file, to: "a", declares: false)
            let worker = try await world.process("w")
            for offset in [0, 4_096, 8_192] as [Int64] { _ = await worker.ship.perform(id, offset: offset) }
            try await story(world, id, worker)
        }
    }

    private static func merge(_ id: UploadID, by worker: WorldProcess) async {
        guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else { return }
        await Gate.$current.withValue(worker.gate) { await worker.merge.run(upload, fence: fence) }
    }

    @Test("A file has what was asked for; where nothing was, the usual mode and the time of the merge")
    func usual() throws {
        for attributes in [Self.attributes, FinalAttributes()] {
            try shipped(attributes) { world, id, worker in
                await Self.merge(id, by: worker)
                try await world.startWorker()
                try await world.settle()
                try await world.expectArrived(id, Self.file, at: "a")
                world.expectAttributes(attributes, at: "a")
                let sealed = try #require(world.server.index.uploads.first?.finalFile)
                let isOwnTime = world.target.files[path("a")]?.modified == sealed.modified
                #expect(isOwnTime == (attributes.modifiedAt == nil))
            }
        }
    }

    @Test("Until it has its name, its own worker can open it, and knows it by its time")
    func sealed() throws {
        try shipped { world, id, worker in
            worker.gate.plan(.dies, at: "target.rename.before")
            await Self.merge(id, by: worker)
            let part = try #require(world.target.partFiles.first).value
            #expect(part.mode == FileMode(octal: "0640"))
            #expect(part.modified == world.server.index.uploads.first?.finalFile?.modified)
        }
    }

    @Test(
        "A worker dies anywhere between seal and record: the next one ends it, once, with all that was asked for",
        arguments: [
            "target.seal.after", "store.beginCommit.before", "store.beginCommit.after", "target.rename.before",
            "target.rename.after", "target.sync.before", "target.sync.after", "store.finish.before",
        ]
    )
    func takenOver(death: String) throws {
        try shipped { world, id, worker in
            worker.gate.plan(.dies, at: death)
            await Self.merge(id, by: worker)
            #expect(worker.gate.isDead)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a", death)
            world.expectAttributes(Self.attributes, at: "a", death)
        }
    }

    @Test("A stranger's file of the same size and the time that was asked for is not taken for the own one")
    func strangerAlike() throws {
        try shipped { world, id, worker in
            worker.gate.plan(.dies, at: "store.finish.before")
            await Self.merge(id, by: worker)
            let modified = try #require(world.target.files[path("a")]).modified
            #expect(modified == 1_000_000_000)
            world.target.files[path("a")] = InMemoryTarget.File(bytes: Self.wrong, modified: modified)
            try await world.startWorker()
            try await world.settle()
            #expect(world.server.index.uploads.first?.failure?.reason == .commitUnknown)
            #expect(world.target.files[path("a")] == InMemoryTarget.File(bytes: Self.wrong, modified: modified))
        }
    }

    @Test(
        "A stranger's file of the same content keeps what it has; the own one, linked and not unlinked, gets the rest"
    )
    func taken() throws {
        for isOwn in [false, true] {
            try shipped { world, id, worker in
                worker.gate.plan(.dies, at: "target.rename.before")
                await Self.merge(id, by: worker)
                var found = InMemoryTarget.File(bytes: Self.file, modified: 77)
                if isOwn { found = try #require(world.target.partFiles.first).value }
                world.target.files[path("a")] = found
                try await world.startWorker()
                try await world.settle()
                #expect(world.server.index.uploads.first?.state == .done)
                if isOwn {
                    world.expectAttributes(Self.attributes, at: "a")
                } else {
                    #expect(world.target.files[path("a")] == found)
                }
            }
        }
    }

    @Test("Where the open file cannot be reached any more, its name serves; where neither can, it arrives without")
    func refused() throws {
        for fails in [1, 2] {
            try shipped { world, id, worker in
                world.target.faults.plant(TargetError(.interrupted, "planted"), in: .sync)
                if fails == 2 { world.target.faults.plant(TargetError(.interrupted, "planted"), in: .syncFinal) }
                await Self.merge(id, by: worker)
                #expect(world.server.index.uploads.first?.state == .done)
                try await world.startWorker()
                try await world.settle()
                try await world.expectArrived(id, Self.file, at: "a")
                if fails == 1 { world.expectAttributes(Self.attributes, at: "a") }
                #expect((world.target.files[path("a")]?.modified == 1_000_000_000) == (fails == 1))
            }
        }
    }
}
