import Core
import CoreTesting
import Testing

@Suite("Uploads found by their path")
struct PathTests {
    private func hashed(_ fingerprint: String? = "h", digest: SHA256Digest? = nil) -> CreateRequest {
        CreateRequest(
            target: "t",
            path: "a",
            partSize: 4_096,
            digest: digest,
            fingerprint: fingerprint,
            probes: false,
            isHashed: true
        )
    }

    @Test("A hash of the content is enough to resume; a digest is only met by the same digest")
    func hashes() throws {
        let world = World()
        try world.run {
            let intake = try await world.client().api.intake
            let upload = try await intake.create(hashed(), for: World.owner).upload
            #expect(try await intake.create(hashed(), for: World.owner) == .resumed(upload))
            for request in [hashed("i"), hashed(nil), hashed("h", digest: World.digest([1]))] {
                await #expect(throws: IntakeError.differentContent(upload.id)) {
                    _ = try await intake.create(request, for: World.owner)
                }
            }
            await #expect(throws: IntakeError.uploadInProgress(retryAfter: .seconds(30))) {
                _ = try await intake.create(hashed(), for: World.stranger)
            }
            // The native interface still resumes by nothing but what it always did.
            await #expect(throws: IntakeError.differentContent(upload.id)) {
                _ = try await world.client().create("a", size: nil, fingerprint: "h")
            }
        }
    }

    @Test("Who holds a path: oneself, somebody, or nobody, if the index can be relied upon")
    func holders() throws {
        let world = World()
        try world.run {
            let intake = try await world.client().api.intake
            func holder(_ principal: Principal) async throws(IntakeError) -> PathHolder {
                try await intake.holder(of: path("a"), on: World.targetID, for: principal)
            }
            #expect(try await holder(World.owner) == .nobody)
            let upload = try await intake.create(hashed(), for: World.owner).upload
            #expect(try await holder(World.owner) == .own(upload))
            #expect(try await holder(World.stranger) == .somebody)
            world.server.wipe()
            await #expect(throws: IntakeError.self) { _ = try await holder(World.owner) }
        }
    }

    @Test("A path whose upload comes a moment later is not nobody's")
    func holderComesLater() throws {
        let world = World()
        try world.run {
            let intake = try await world.client().api.intake
            world.background {
                try? await world.clock.sleep(.milliseconds(200))
                _ = try? await intake.create(hashed(), for: World.owner)
            }
            guard case .own = try await intake.holder(of: path("a"), on: World.targetID, for: World.owner) else {
                Issue.record("nobody")
                return
            }
        }
    }

    @Test("An upload of which nothing was received gets another part size; one of which something was does not")
    func resized() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let intake = client.api.intake
            let first = try await intake.create(hashed(), for: World.owner).upload
            let second = try #require(
                try await intake.resized(first, partSize: 5_000, metadata: ["k": "v"], for: World.owner)
            )
            #expect(second.id != first.id && second.record.partSize == 5_000)
            #expect(second.record.fingerprint == "h" && second.record.metadata == ["k": "v"])
            #expect(try await intake.upload(first.id, for: World.owner).state == .cancelled)
            #expect(try await world.staging.uploads(after: nil, touchedSince: nil, limit: 9) == [second.id])
            // Whoever still holds the first one looks again.
            #expect(try await intake.resized(first, partSize: 6_000, metadata: [:], for: World.owner) == nil)
            await #expect(throws: IntakeError.notFound) {
                _ = try await intake.resized(second, partSize: 6_000, metadata: [:], for: World.stranger)
            }
            await #expect(throws: IntakeError.self) {
                _ = try await intake.resized(second, partSize: 4_095, metadata: [:], for: World.owner)
            }
            try await client.put(1, of: second.id, Bytes.seeded(1, count: 5_000).array)
            #expect(try await intake.resized(second, partSize: 6_000, metadata: [:], for: World.owner) == nil)
            #expect(try await intake.upload(second.id, for: World.owner).state == .receiving)
        }
    }

    @Test("A count that the client says is held against the parts that are there")
    func counted() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let intake = client.api.intake
            let id = try await client.create("a", size: nil).upload.id
            let file = Bytes.seeded(1, count: 4_096 * 3).array
            for (number, bytes) in WorldClient.parts(of: file) where number != 2 {
                try await client.put(number, of: id, bytes)
            }
            func complete(_ count: Int64?) async throws(IntakeError) -> Upload {
                try await intake.complete(id, digest: nil, count: count, for: World.owner)
            }
            await #expect(throws: IntakeError.partOutOfRange(number: 3, count: 2)) { _ = try await complete(2) }
            await #expect(throws: IntakeError.partsMissing(PartNumbers([2]))) { _ = try await complete(3) }
            await #expect(throws: IntakeError.partsMissing(PartNumbers([2, 4, 5]))) { _ = try await complete(5) }
            try await client.put(2, of: id, file[4_096..<8_192])
            // Without a count, what is there is all there is; with one, a part that never came is missed.
            await #expect(throws: IntakeError.partsMissing(PartNumbers([4]))) { _ = try await complete(4) }
            #expect(try await complete(3).record.size == 12_288)
            #expect(try await complete(3).state == .shipping)
            await #expect(throws: IntakeError.differentContent(id)) { _ = try await complete(4) }
            let sized = try await client.create("b", size: 5_000).upload.id
            await #expect(throws: IntakeError.differentContent(sized)) {
                _ = try await intake.complete(sized, digest: nil, count: 3, for: World.owner)
            }
            try await world.startWorker()
            try await world.settle()
            #expect(world.target.files[path("a")]?.bytes == file)
        }
    }

    @Test("When the last part comes first, not all parts are read again for each that follows")
    func shortPartFirst() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: nil).upload.id
            let file = Bytes.seeded(1, count: 4_096 * 4 + 10).array
            let parts = WorldClient.parts(of: file)
            try await client.put(5, of: id, parts[4].bytes)
            // The first one reads all, and learns which one is short.
            try await client.put(1, of: id, parts[0].bytes)
            client.api.store.faults.plant(.unavailable("read all parts"), in: .parts, times: 100)
            for number in [2, 4] { try await client.put(Int64(number), of: id, parts[number - 1].bytes) }
            guard case .alreadyStored = try await client.put(5, of: id, parts[4].bytes) else {
                Issue.record("not known")
                return
            }
            await #expect(throws: IntakeError.partAfterLast(number: 6, last: 5)) {
                try await client.put(6, of: id, parts[0].bytes)
            }
            await #expect(throws: IntakeError.wrongPartSize(expected: 4_096...4_096, received: 9)) {
                try await client.put(3, of: id, Array(file.prefix(9)))
            }
            await #expect(throws: IntakeError.partConflict(number: 2)) {
                try await client.put(2, of: id, Array(file.prefix(9)))
            }
            client.api.store.faults.clear()
            try await client.put(3, of: id, parts[2].bytes)
            // Struck, it is the last no more.
            let short = Part(offset: 16_384, size: 10, digest: World.digest(Array(parts[4].bytes)))
            try await world.staging.strike(short, of: id)
            _ = try await client.api.store.strike(short, of: id, by: "w")
            try await client.put(6, of: id, parts[0].bytes)
        }
    }
}
