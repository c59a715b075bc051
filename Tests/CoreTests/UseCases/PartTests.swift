import Core
import CoreTesting
import Testing

@Suite("Parts on their way in")
struct PartTests {
    private let first = Bytes.seeded(1, count: 4_096).array
    private let second = Bytes.seeded(2, count: 904).array

    @Test("Stored, already stored, in conflict")
    func outcomes() throws {
        let world = World()
        try world.run { [first, second] in
            let client = try await world.client()
            let id = try await client.create("a", size: 5_000).upload.id
            let part = Part(offset: 0, size: 4_096, digest: World.digest(first))
            #expect(try await client.put(1, of: id, first) == .stored(part))
            #expect(try await client.put(1, of: id, first) == .alreadyStored(part))
            await #expect(throws: IntakeError.partConflict(number: 1)) {
                try await client.put(1, of: id, first.reversed())
            }
            try await client.put(2, of: id, second, digest: World.digest(second))
            #expect(try await client.api.intake.upload(id, for: World.owner).received == .init(bytes: 5_000, parts: 2))
            #expect(try await world.staging.space().used == 5_000)
            #expect(world.staging.unfinishedParts == 0)
        }
    }

    @Test("Parts that follow one another ask the index once whose upload it is")
    func recent() throws {
        let world = World()
        try world.run { [first] in
            let client = try await world.client()
            let gate = client.api.gate
            let asked = { gate.crossings.count { $0.hasPrefix("store.upload.") } }
            let put = { (number: Int64, id: UploadID, principal: Principal) async throws in
                var client = client
                client.principal = principal
                _ = try await Gate.$current.withValue(gate) { try await client.put(number, of: id, first) }
            }
            let id = try await client.create("a", size: 6 * 4_096).upload.id
            try await put(1, id, World.owner)
            let before = asked()
            #expect(before > 0)
            try await put(2, id, World.owner)
            #expect(asked() == before)
            await #expect(throws: IntakeError.notFound) { try await put(3, id, World.stranger) }
            try await world.clock.sleep(.seconds(3))
            try await put(3, id, World.owner)
            #expect(asked() > before)
            // Whoever was told of the end is not asked to send bytes in vain.
            _ = try await client.api.intake.cancel(id, for: World.owner)
            await #expect(throws: IntakeError.gone(.cancelled)) { try await put(4, id, World.owner) }
            // Told by another process: the bytes come, and are refused then.
            let other = try await client.create("b", size: 6 * 4_096).upload.id
            try await put(1, other, World.owner)
            _ = try await world.client().api.intake.cancel(other, for: World.owner)
            await #expect(throws: IntakeError.gone(.cancelled)) { try await put(2, other, World.owner) }
            #expect(world.staging.unfinishedParts == 0)
        }
    }

    @Test("What is refused leaves nothing, and its room can be used again")
    func refused() throws {
        let world = World(stagingLimit: 5_000)
        try world.run { [first, second] in
            let client = try await world.client()
            let intake = client.api.intake
            let id = try await client.create("a", size: 5_000).upload.id
            await #expect(
                throws: IntakeError.digestMismatch(declared: World.digest([1]), received: World.digest(first))
            ) { try await client.put(1, of: id, first, digest: World.digest([1])) }
            await #expect(throws: IntakeError.wrongPartSize(expected: 4_096...4_096, received: 904)) {
                try await client.put(1, of: id, second)
            }
            for number in [0, 3, -1, .max] as [Int64] {
                await #expect(throws: IntakeError.partOutOfRange(number: number, count: 2)) {
                    try await client.put(number, of: id, first)
                }
            }
            // Too few bytes, too many bytes, and a body that breaks off.
            let short = try await intake.beginPart(1, of: id, length: 4_096, digest: nil, for: World.owner)
            try await short.write(Bytes(second))
            await #expect(throws: IntakeError.self) { _ = try await short.finish() }
            let long = try await intake.beginPart(2, of: id, length: 904, digest: nil, for: World.owner)
            await #expect(throws: IntakeError.self) { try await long.write(Bytes(first)) }
            await long.abandon()
            let broken = try await intake.beginPart(1, of: id, length: 4_096, digest: nil, for: World.owner)
            try await broken.write(Bytes(second))
            await broken.abandon()
            #expect(world.staging.unfinishedParts == 0)
            // Everything was given back: all of it fits.
            try await client.put(1, of: id, first)
            try await client.put(2, of: id, second)
            let stranger = try await world.client(World.stranger)
            await #expect(throws: IntakeError.notFound) { try await stranger.put(1, of: id, first) }
        }
    }

    @Test("Staging without room says so")
    func full() throws {
        let world = World(stagingLimit: 4_999)
        try world.run { [first, second] in
            let client = try await world.client()
            let id = try await client.create("a", size: nil).upload.id
            try await client.put(1, of: id, first)
            await #expect(throws: IntakeError.stagingFull(retryAfter: .seconds(30))) {
                try await client.put(2, of: id, second)
            }
        }
    }

    @Test(
        "An index that is away after the bytes are durable: the same request succeeds later",
        arguments: [false, true]
    )
    func indexAway(isDone: Bool) throws {
        let world = World()
        try world.run { [first] in
            let client = try await world.client()
            let id = try await client.create("a", size: 5_000).upload.id
            client.api.store.faults.plant(.unavailable("away"), in: .receive, isDone ? .after : .before)
            await #expect(throws: IntakeError.self) { try await client.put(1, of: id, first) }
            guard case .alreadyStored = try await client.put(1, of: id, first) else {
                Issue.record("not there"); return
            }
            #expect(world.server.index.outboxEntries.map(\.job) == [.ship(id, offset: 0)])
        }
    }

    @Test("A part that raced with complete and lost is not the file's, not even after the index is lost")
    func racesWithComplete() throws {
        let world = World()
        try world.run { [first, second] in
            let client = try await world.client()
            let intake = client.api.intake
            let id = try await client.create("a", size: nil).upload.id
            try await client.put(1, of: id, first)
            let late = try await intake.beginPart(2, of: id, length: 904, digest: nil, for: World.owner)
            try await late.write(Bytes(second))
            _ = try await intake.complete(id, digest: nil, for: World.owner)
            await #expect(throws: IntakeError.wrongState(.shipping)) { _ = try await late.finish() }
            world.server.wipe()
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, first, at: "a")
        }
    }

    @Test("A part for an upload that has ended is gone")
    func ended() throws {
        let world = World()
        try world.run { [first] in
            let client = try await world.client()
            let id = try await client.create("a", size: 5_000).upload.id
            let late = try await client.api.intake.beginPart(1, of: id, length: 4_096, digest: nil, for: World.owner)
            try await late.write(Bytes(first))
            _ = try await client.api.intake.cancel(id, for: World.owner)
            await #expect(throws: IntakeError.gone(.cancelled)) { _ = try await late.finish() }
            await #expect(throws: IntakeError.gone(.cancelled)) { try await client.put(1, of: id, first) }
            try await world.startWorker()
            try await world.settle()
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A part for an upload that ended through another process a moment ago, and is cleaned away, is gone as well")
    func endedElsewhere() throws {
        let world = World()
        try world.run { [first, second] in
            let (client, other) = (try await world.client(), try await world.client())
            let id = try await client.create("a", size: 5_000).upload.id
            try await client.put(1, of: id, first)
            _ = try await other.api.intake.cancel(id, for: World.owner)
            try await world.staging.discard(id)
            // One comes piece by piece, one whole.
            await #expect(throws: IntakeError.gone(.cancelled)) { try await client.put(1, of: id, first) }
            await #expect(throws: IntakeError.gone(.cancelled)) { try await client.put(2, of: id, second) }
        }
    }
}
