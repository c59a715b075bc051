// Dead letters: what a replay does, what keeps it from being done, and many at once.

import Core
import CoreTesting
import Testing

@Suite("Dead letters")
struct DeadLetterTests {
    private static let file = Bytes.seeded(7, count: 9_000).array
    private static let operations = Principal(owner: require(Owner("olga")), roles: [.operator])

    private func letters(_ client: WorldClient, maySend: Bool = true) -> DeadLetters {
        DeadLetters(client.api.intake) { _ in maySend }
    }

    /// An upload that waits because the target had no room.
    private func full(_ world: World, _ client: WorldClient, _ path: String = "a") async throws -> UploadID {
        world.target.room = 5_000
        let id = try await client.send(Self.file, to: path)
        if world.workers.isEmpty { try await world.startWorker(slots: 2) }
        try await world.settle()
        return id
    }

    @Test("Space freed, one replay brings the file; nothing is sent again by the client")
    func replay() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let letters = letters(client)
            let id = try await full(world, client)
            let dead = try await letters.show(id, for: Self.operations)
            #expect(dead.failure?.reason == .diskFull)
            #expect(dead.deadLetter?.first.reason == .diskFull)
            world.target.room = .max
            let replayed = try await letters.replay(id, for: Self.operations)
            #expect(replayed.state.isActive)
            // Asked again, it is on its way.
            #expect(try await letters.replay(id, for: Self.operations).state.isActive)
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
            #expect(try await letters.replay(id, for: Self.operations).state == .done)
            let history = try await client.api.intake.history(id, for: World.owner)
            #expect(history.first?.kind == .created && history.last?.kind == .done)
            #expect(history.filter { $0.kind == .replayed }.map(\.by) == ["olga"])
            #expect(history.contains { $0.kind == .failed && $0.failure?.reason == .diskFull && $0.by != nil })
            await #expect(throws: IntakeError.notFound) { _ = try await letters.show(id, for: Self.operations) }
        }
    }

    @Test("A thousand replays at once start one")
    func thousand() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let letters = letters(client)
            let id = try await full(world, client)
            world.target.room = .max
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<1_000 {
                    group.addTask { _ = try? await letters.replay(id, for: Self.operations) }
                }
            }
            let history = try await client.api.intake.history(id, for: World.owner)
            #expect(history.count { $0.kind == .replayed } == 1)
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("Rights and target are read again")
    func rights() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await full(world, client)
            await #expect(throws: IntakeError.ownerRevoked(World.owner.owner)) {
                _ = try await letters(client, maySend: false).replay(id, for: Self.operations)
            }
            let summary = try await letters(client, maySend: false).replay(ReplayFilter(), for: Self.operations)
            #expect(summary.matched == 1 && summary.replayed == 0 && summary.skipped == ["owner-revoked": 1])
            #expect(try await letters(client).show(id, for: Self.operations).state == .failed)
        }
    }

    @Test("Many are replayed by filter, counted, and at a pace")
    func many() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let letters = letters(client)
            var ids: [UploadID] = []
            for number in 0..<6 { ids.append(try await full(world, client, "f\(number)")) }
            world.target.room = .max
            func replay(_ filter: ReplayFilter) async throws -> ReplaySummary {
                try await letters.replay(filter, for: Self.operations)
            }
            #expect(try await replay(ReplayFilter(isDryRun: true)).matched == 6)
            #expect(try await replay(ReplayFilter(isDryRun: true)).replayed == 0)
            let revoked = DeadLetters(client.api.intake) { _ in false }
            let counted = try await revoked.replay(ReplayFilter(isDryRun: true), for: Self.operations)
            #expect(counted.skipped == ["owner-revoked": 6])
            #expect(try await replay(ReplayFilter(reason: .poison)).matched == 0)
            #expect(try await replay(ReplayFilter(target: TargetID("other"))).matched == 0)
            #expect(try await replay(ReplayFilter(limit: 2)).replayed == 2)
            try await world.settle()
            let start = world.clock.now
            let paced = try await replay(ReplayFilter(reason: .diskFull, ratePerSecond: 0.1))
            #expect(paced.matched == 4 && paced.replayed == 4)
            try await world.settle()
            // The fourth began thirty seconds after the first.
            #expect(world.clock.now - start >= .seconds(30))
            for (number, id) in ids.enumerated() {
                #expect(world.target.files[path("f\(number)")]?.bytes == Self.file, "\(id)")
            }
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A missing part must be sent again, by its owner")
    func damaged() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let letters = letters(client)
            let id = try await client.send(Self.file, to: "a")
            let part = Part(offset: 4_096, size: 4_096, digest: World.digest(Array(Self.file[4_096..<8_192])))
            #expect(world.staging.damage(part, of: id))
            try await world.startWorker()
            try await world.settle()
            #expect(try await letters.show(id, for: Self.operations).failure?.reason == .partDamaged)
            await #expect(throws: IntakeError.partsMissing(PartNumbers([2]))) {
                _ = try await letters.replay(id, for: Self.operations)
            }
            let summary = try await letters.replay(ReplayFilter(), for: Self.operations)
            #expect(summary.skipped == ["parts-missing": 1])
            try await client.put(2, of: id, Self.file[4_096..<8_192])
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("Given up, it is cancelled and cleared; what is on its way cannot be given up so")
    func discard() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let letters = letters(client)
            let id = try await full(world, client)
            let other = try await client.create("b", size: 9).upload
            await #expect(throws: IntakeError.wrongState(.receiving)) {
                _ = try await letters.discard(other.id, for: Self.operations)
            }
            #expect(try await letters.discard(id, for: Self.operations).state == .cancelled)
            #expect(try await letters.discard(id, for: Self.operations).state == .cancelled)
            await #expect(throws: IntakeError.gone(.cancelled)) {
                _ = try await letters.replay(id, for: Self.operations)
            }
            _ = try await client.api.intake.cancel(other.id, for: World.owner)
            try await world.settle()
            #expect(world.target.files[path("a")] == nil)
            #expect(try await world.leftovers() == [])
        }
    }
}
