import Core
import CoreTesting
import Testing

@Suite("Endings that clients ask for")
struct EndingTests {
    private static let file = Bytes.seeded(5, count: 5_000).array

    private static func uploaded(_ client: WorldClient, size: Int64? = 5_000, digest: SHA256Digest? = nil) async throws
        -> UploadID
    {
        let id = try await client.create("a", size: size, digest: digest).upload.id
        for (number, bytes) in WorldClient.parts(of: file) { try await client.put(number, of: id, bytes) }
        return id
    }

    @Test("The marker is durable before the state changes; asked again, nothing more happens")
    func complete() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let intake = client.api.intake
            let id = try await Self.uploaded(client)
            client.api.store.faults.plant(.unavailable("away"), in: .complete)
            await #expect(throws: IntakeError.self) { _ = try await intake.complete(id, digest: nil, for: World.owner) }
            #expect(try await world.staging.read(id)?.markers.map(\.kind) == [.complete])
            #expect(world.server.index.uploads.first?.state == .receiving)
            #expect(try await intake.complete(id, digest: nil, for: World.owner).state == .shipping)
            #expect(try await intake.complete(id, digest: nil, for: World.owner).state == .shipping)
        }
    }

    @Test("A marker that cannot be made leaves the state as it is")
    func markerFails() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            world.staging.faults.plant(.failed("no fsync"), in: .mark)
            await #expect(throws: IntakeError.self) {
                _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            }
            #expect(world.server.index.uploads.first?.state == .receiving)
        }
    }

    @Test("A digest that contradicts an earlier one is refused, wherever the earlier one was given")
    func contradicts() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let intake = client.api.intake
            let right = World.digest(Self.file)
            let id = try await Self.uploaded(client, digest: right)
            let wrong = World.digest([1])
            await #expect(throws: IntakeError.differentContent(id)) {
                _ = try await intake.complete(id, digest: wrong, for: World.owner)
            }
            #expect(try await world.staging.read(id)?.markers.isEmpty == true)
            #expect(try await intake.complete(id, digest: right, for: World.owner).record.digest == right)
            await #expect(throws: IntakeError.differentContent(id)) {
                _ = try await intake.complete(id, digest: wrong, for: World.owner)
            }
        }
    }

    @Test("A digest that comes only after the end was asked for is refused")
    func lateDigest() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            await #expect(throws: IntakeError.differentContent(id)) {
                _ = try await client.api.intake.complete(id, digest: World.digest([1]), for: World.owner)
            }
        }
    }

    @Test("Missing parts are named", arguments: [Int64?.some(12_288), nil])
    func missing(size: Int64?) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: size).upload.id
            try await client.put(3, of: id, Bytes.seeded(1, count: 4_096).array)
            await #expect(throws: IntakeError.partsMissing(PartNumbers([1, 2]))) {
                _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            }
            #expect(try await world.staging.read(id)?.markers.isEmpty == true)
        }
    }

    @Test("An upload without a size gets it from its parts, and arrives", arguments: [0, 5_000])
    func unsized(count: Int) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let file = Array(Self.file.prefix(count))
            let id = try await client.create("a", size: nil).upload.id
            for (number, bytes) in WorldClient.parts(of: file) { try await client.put(number, of: id, bytes) }
            let upload = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            #expect(upload.record.size == Int64(count))
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, file, at: "a")
        }
    }

    @Test("A file whose size nobody declared does not end before a part that was acknowledged and struck")
    func struckTail() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: nil).upload.id
            for (number, bytes) in WorldClient.parts(of: Self.file) { try await client.put(number, of: id, bytes) }
            let part = Part(offset: 4_096, size: 904, digest: World.digest(Array(Self.file[4_096...])))
            #expect(world.staging.damage(part, of: id))
            let worker = try await world.process("w")
            _ = await worker.ship.perform(id, offset: 4_096)
            for isEmptied in [false, true] {
                if isEmptied {
                    world.server.wipe()
                    _ = try await client.api.keeper.check()
                }
                await #expect(throws: IntakeError.partsMissing(PartNumbers([2]))) {
                    _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
                }
            }
            try await client.put(2, of: id, Self.file[4_096...])
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("A part that was struck at the last moment: the ending is taken back")
    func struck() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            let part = Part(offset: 4_096, size: 904, digest: World.digest(Array(Self.file[4_096...])))
            let gate = Gate(clock: world.clock)
            gate.plan(.stops(.seconds(2)), at: "store.complete.before")
            world.background {
                try? await world.clock.sleep(.seconds(1))
                _ = try? await client.api.store.strike(part, of: id)
            }
            await #expect(throws: IntakeError.partsMissing(PartNumbers([2]))) {
                try await Gate.$current.withValue(gate) {
                    _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
                }
            }
            #expect(try await world.staging.read(id)?.markers.isEmpty == true)
        }
    }

    @Test("The end of an upload that has failed is remembered: a replay brings it there")
    func completeAfterFailure() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            _ = try await client.api.store.fail(id, fence: nil, failure: Failure(.permissionDenied, "no"))
            for _ in 1...2 {
                let upload = try await client.api.intake.complete(id, digest: nil, for: World.owner)
                #expect(upload.state == .failed && upload.isComplete)
            }
            #expect(try await world.staging.read(id)?.markers.map(\.kind) == [.complete])
            guard case .applied = try await client.api.store.replay(id, overwrite: nil) else {
                Issue.record("not replayed"); return
            }
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("An upload that has failed takes the rest of its parts, and arrives once it is replayed")
    func partsAfterFailure() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 5_000).upload.id
            let parts = WorldClient.parts(of: Self.file)
            try await client.put(1, of: id, parts[0].bytes)
            _ = try await client.api.store.fail(id, fence: nil, failure: Failure(.permissionDenied, "no"))
            guard case .stored = try await client.put(2, of: id, parts[1].bytes) else {
                Issue.record("not stored"); return
            }
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            _ = try await client.api.store.replay(id, overwrite: nil)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("An upload that failed before the index knew of its end still comes to it")
    func completeLostBeforeFailure() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            client.api.store.faults.plant(.unavailable("away"), in: .complete)
            await #expect(throws: IntakeError.self) {
                _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            }
            _ = try await client.api.store.fail(id, fence: nil, failure: Failure(.permissionDenied, "no"))
            #expect(try await client.api.intake.complete(id, digest: nil, for: World.owner).state == .failed)
            _ = try await client.api.store.replay(id, overwrite: nil)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("Of two that complete at once with and without a digest, what is durable counts")
    func completesAtOnce() throws {
        for isFirst in [true, false] {
            let world = World()
            try world.run {
                let client = try await world.client()
                let intake = client.api.intake
                let id = try await Self.uploaded(client)
                let digest = World.digest(Self.file)
                let gate = Gate(clock: world.clock)
                gate.plan(.stops(.seconds(2)), at: "store.complete.before")
                world.background {
                    // Its marker is there, and the index does not know yet.
                    _ = try? await Gate.$current.withValue(gate) {
                        try await intake.complete(id, digest: isFirst ? digest : nil, for: World.owner)
                    }
                }
                try await world.clock.sleep(.seconds(1))
                do throws(IntakeError) {
                    let upload = try await intake.complete(id, digest: isFirst ? nil : digest, for: World.owner)
                    #expect(isFirst)
                    #expect(upload.record.digest == digest)
                } catch {
                    #expect(!isFirst)
                    #expect(error == .differentContent(id))
                }
                try await world.clock.sleep(.seconds(2))
                let marker = try await world.staging.read(id)?.markers.first
                guard case .complete(_, let durable, _) = marker else { Issue.record("no marker"); return }
                #expect(durable == server(world, id)?.record.digest)
            }
        }
    }

    private func server(_ world: World, _ id: UploadID) -> Upload? {
        world.server.index.uploads.first { $0.id == id }
    }

    @Test("Cancel happens once, marks before it answers, and clears everything")
    func cancel() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await Self.uploaded(client)
            try await world.startWorker()
            try await world.settle()
            #expect(world.target.partFiles.count == 1)
            world.staging.faults.plant(.failed("no fsync"), in: .mark)
            await #expect(throws: IntakeError.self) { _ = try await client.api.intake.cancel(id, for: World.owner) }
            #expect(try await client.api.intake.cancel(id, for: World.owner).state == .cancelled)
            #expect(try await client.api.intake.cancel(id, for: World.owner).state == .cancelled)
            try await world.settle()
            #expect(try await world.leftovers() == [])
            #expect(world.target.renames.isEmpty)
            let stranger = try await world.client(World.stranger)
            await #expect(throws: IntakeError.notFound) {
                _ = try await stranger.api.intake.cancel(id, for: World.stranger)
            }
        }
    }

    @Test("From the commit on it is too late to cancel")
    func committing() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            try await world.startWorker { $0.plan(.stops(.seconds(10)), at: "target.rename.before") }
            while world.server.index.uploads.first?.state != .committing {
                try await world.clock.sleep(.milliseconds(5))
            }
            await #expect(throws: IntakeError.committing) {
                _ = try await client.api.intake.cancel(id, for: World.owner)
            }
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
            await #expect(throws: IntakeError.gone(.done)) {
                _ = try await client.api.intake.cancel(id, for: World.owner)
            }
        }
    }
}
