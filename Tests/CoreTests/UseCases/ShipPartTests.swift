import Core
import CoreTesting
import Testing

@Suite("Ship jobs")
struct ShipPartTests {
    private static let file = Bytes.seeded(9, count: 12_000).array

    @Test(
        "Every job delivered twice, to workers that run at once, ships once and arrives",
        arguments: 1...20 as ClosedRange<UInt64>
    )
    func duplicates(seed: UInt64) throws {
        let world = World(seed: seed)
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            for offset in [0, 4_096, 8_192] as [Int64] {
                world.queue.put(.init(job: .ship(id, offset: offset), target: World.targetID))
            }
            for _ in 0..<2 { world.queue.put(.init(job: .merge(id), target: World.targetID)) }
            try await world.startWorker(slots: 2)
            try await world.startWorker(slots: 2)
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a", "seed \(seed)")
        }
    }

    @Test("Nothing is done for what is unknown, ended or shipped")
    func unwanted() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let worker = try await world.process("w")
            #expect(await worker.ship.perform(UploadID(high: 1, low: 1), offset: 0) == .done)
            let id = try await client.create("a", size: 12_000).upload.id
            #expect(await worker.ship.perform(id, offset: 4_096) == .done)
            try await client.put(1, of: id, Self.file[..<4_096])
            #expect(await worker.ship.perform(id, offset: 0) == .done)
            let shipped = world.server.index.uploads.first
            #expect(shipped?.shipped == .init(bytes: 4_096, parts: 1))
            #expect(shipped?.verification == .digest)
            world.target.faults.plant(TargetError(.interrupted, "must not be reached"), in: .ship)
            #expect(await worker.ship.perform(id, offset: 0) == .done)
            #expect(world.server.index.uploads.first?.failure == nil)
        }
    }

    @Test("A transient error is tried again, a permanent one is a dead letter, an unreachable target spends nothing")
    func errors() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let worker = try await world.process("w")
            let id = try await client.create("a", size: 12_000).upload.id
            try await client.put(1, of: id, Self.file[..<4_096])
            let job = Job.ship(id, offset: 0)
            for (kind, attempts) in [
                (TargetError.Kind.failed, 1), (.unreachable, 1), (.rootMissing, 2), (.quotaExceeded, 3),
            ] {
                world.target.faults.plant(TargetError(kind, "planted"), in: .ship)
                #expect(await worker.ship.perform(id, offset: 0) == .done)
                #expect(try await worker.store.attempt(of: job) == attempts)
                #expect(world.server.index.outboxEntries.map(\.job) == [job])
            }
            world.target.faults.plant(TargetError(.diskFull, "still"), in: .ship)
            #expect(await worker.ship.perform(id, offset: 0) == .done)
            #expect(world.server.index.uploads.first?.failure?.reason == .diskFull)
            for (kind, reason) in [
                (TargetError.Kind.permissionDenied, FailureReason.permissionDenied), (.loginRefused, .loginRefused),
                (.hostKeyMismatch, .hostKeyMismatch), (.noCommonAlgorithm, .noCommonAlgorithm),
                (.rootRefused, .rootRefused), (.pathRefused, .pathRefused),
            ] {
                guard case .applied = try await worker.store.replay(id, overwrite: nil) else {
                    Issue.record("not replayed"); return
                }
                world.target.faults.plant(TargetError(kind, "planted"), in: .ship)
                #expect(await worker.ship.perform(id, offset: 0) == .done)
                #expect(world.server.index.uploads.first?.failure == Failure(reason, "planted"))
            }
            // Not recorded: the delivery goes back.
            worker.store.faults.plant(.unavailable("away"), in: .shipState)
            #expect(await worker.ship.perform(id, offset: 0) == .later(.seconds(1)))
        }
    }

    @Test(
        "A damaged staged part never reaches the target, and is missing again",
        arguments: [false, true],
        [false, true]
    )
    func damaged(afterComplete: Bool, dies: Bool) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 12_000).upload.id
            for (number, bytes) in WorldClient.parts(of: Self.file) { try await client.put(number, of: id, bytes) }
            if afterComplete { _ = try await client.api.intake.complete(id, digest: nil, for: World.owner) }
            let part = Part(offset: 4_096, size: 4_096, digest: World.digest(Array(Self.file[4_096..<8_192])))
            #expect(world.staging.damage(part, of: id))
            // Dying between staging and index must not leave an index that believes in a part that is not there.
            try await world.startWorker { if dies { $0.plan(.dies, at: "store.strike.before") } }
            try await world.settle()
            let struck = try #require(world.server.index.uploads.first)
            #expect(struck.received.parts == 2)
            #expect(struck.state == (afterComplete ? .failed : .receiving))
            #expect(afterComplete == (struck.failure?.reason == .partDamaged))
            try await client.put(2, of: id, Self.file[4_096..<8_192])
            if !afterComplete { _ = try await client.api.intake.complete(id, digest: nil, for: World.owner) }
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("A damaged part is sent again, and the API dies right after that was recorded: all of it still arrives")
    func damagedAndForgotten() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let part = Part(offset: 0, size: 4_096, digest: World.digest(Array(Self.file[..<4_096])))
            // It fails before anything else is shipped; the other jobs find it failed.
            #expect(world.staging.damage(part, of: id))
            let early = try await world.process("early")
            #expect(await early.ship.perform(id, offset: 0) == .done)
            #expect(await early.ship.perform(id, offset: 4_096) == .done)
            try await world.startWorker()
            try await world.settle()
            client.api.store.faults.plant(.unavailable("lost"), in: .receive, .after)
            _ = try? await client.put(1, of: id, Self.file[..<4_096])
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("The part file is lost: a new generation, and all parts go again", arguments: 1...10 as ClosedRange<UInt64>)
    func partFileLost(seed: UInt64) throws {
        let world = World(seed: seed)
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 12_000).upload.id
            for number in [1, 2] as [Int64] {
                try await client.put(number, of: id, WorldClient.parts(of: Self.file)[Int(number) - 1].bytes)
            }
            try await world.startWorker(slots: 2)
            try await world.settle()
            let old = try #require(world.target.partFiles.keys.first)
            world.target.partFiles = [:]
            try await client.put(3, of: id, Self.file[8_192...])
            try await world.settle()
            let new = try #require(world.target.partFiles.keys.first)
            #expect(world.target.partFiles.count == 1)
            #expect(new.generation > old.generation)
            #expect(world.target.partFiles[new]?.bytes == Self.file)
            // A job of the old generation changes nothing.
            guard
                case .refused(.staleGeneration) = try await client.api.store.shipped(
                    offset: 0,
                    of: id,
                    in: old.generation,
                    verification: .size
                )
            else { Issue.record("a stale generation was taken"); return }
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("Two prepare at once because a lease was lost: one generation stays, the other's file is removed")
    func twoPrepare() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            try await world.startWorker { $0.plan(.stops(.seconds(60)), at: "target.prepare.before") }
            let sleeper = try #require(world.workers.first)
            while !sleeper.gate.crossings.contains("target.prepare.before") {
                try await world.clock.sleep(.milliseconds(10))
            }
            try await world.startWorker { _ in }
            try await world.settle()
            #expect((world.server.index.uploads.first?.preparations ?? 0) > 1)
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }
}
