// The janitor: what stands still goes on, what was abandoned ends, what was left over goes, and what kills is stopped.

import Core
import CoreTesting
import Synchronization
import Testing

@Suite("Janitor")
struct JanitorTests {
    private static let file = Bytes.seeded(8, count: 9_000).array

    private func tend(_ world: World, _ process: WorldProcess) -> TendTarget {
        TendTarget(process.ports, queue: world.queue, target: World.targetID)
    }

    @Test("Jobs that the broker lost come back once nothing waits there", arguments: [0, 1, 2, 3, 4, 5])
    func lostJobs(step: Int) throws {
        let world = World(seed: UInt64(step))
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let worker = try await world.process("worker")
            // Some of the jobs are done, and then the broker loses all that it confirmed.
            for _ in 0..<step {
                guard let delivery = world.queue.take() else { break }
                await worker.perform(delivery)
            }
            let tend = tend(world, worker)
            #expect(try await tend.revive() == 0, "it moved just now")
            try await client.api.relay.relayDueNow(world)
            world.queue.wipe()
            try await world.clock.sleep(.seconds(31))
            let isOver = world.server.index.uploads.first { $0.id == id }?.state == .done
            #expect(try await tend.revive() == (isOver ? 0 : 1))
            #expect(try await tend.revive() == 0, "once is enough")
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    @Test("While jobs wait, or a worker says that it is at it, nothing is recorded again")
    func slowWork() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let worker = try await world.process("worker")
            let tend = tend(world, worker)
            try await client.api.relay.relayDueNow(world)
            try await world.clock.sleep(.seconds(600))
            #expect(world.queue.waiting.count == 3)
            #expect(try await tend.revive() == 0)
            world.queue.wipe()
            let presence = WorkerPresence(
                name: "w",
                host: "h",
                process: 1,
                version: "1",
                targets: [World.targetID],
                jobs: 1,
                uploads: [id],
                startedAt: world.clock.now,
                seenAt: world.clock.now
            )
            try await worker.store.announce(presence, lifetime: .seconds(15))
            #expect(try await tend.revive() == 0)
            world.queue.behaviour = .isAway
            try await world.clock.sleep(.seconds(16))
            #expect(try await tend.revive() == 0, "nobody knows what waits")
            world.queue.behaviour = .takes
            #expect(try await tend.revive() == 1)
        }
    }

    @Test("Abandoned uploads end, failed ones too, and leave nothing; what was acknowledged as a whole waits")
    func expiry() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let abandoned = try await client.create("a", size: 9_000).upload.id
            _ = try await client.put(1, of: abandoned, Self.file[..<4_096])
            let failed = try await client.create("b", size: 9_000).upload.id
            _ = try await client.put(1, of: failed, Self.file[..<4_096])
            let letter = try await client.send(Self.file, to: "d")
            for id in [failed, letter] {
                _ = try await client.api.store.fail(id, fence: nil, failure: Failure(.permissionDenied, "no"))
            }
            let worker = try await world.process("worker")
            let tend = tend(world, worker)
            world.queue.wipe()
            #expect(try await tend.expire() == 0)
            let fresh = try await client.create("c", size: 9)
            world.clock.advance(by: world.limits.expireAfter - .seconds(1))
            _ = fresh
            #expect(try await tend.expire() == 0)
            world.clock.advance(by: .seconds(2))
            #expect(try await tend.expire() == 3)
            #expect(try await world.staging.read(abandoned)?.markers.map(\.kind) == [.expired])
            try await world.startWorker()
            try await world.settle()
            for upload in world.server.index.uploads {
                #expect(upload.state == (upload.id == letter ? .failed : .expired))
            }
            _ = try await worker.store.replay(letter, overwrite: nil)
            try await world.settle()
            try await world.expectArrived(letter, Self.file, at: "d")
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A creation that died is discarded soon; one that is only slow is told so", arguments: [true, false])
    func strayCreation(onlyYoung: Bool) throws {
        let world = World()
        try world.run {
            let worker = try await world.process("worker")
            let tend = TendStaging(worker.ports)
            let slow = try await world.client()
            // Held between the record in staging and the index.
            slow.api.gate.plan(.stops(.seconds(40)), at: "store.create.before")
            let outcome = Mutex<IntakeError?>(nil)
            world.background {
                await Gate.$current.withValue(slow.api.gate) {
                    do throws(IntakeError) { _ = try await slow.create("a", size: 9_000) } catch {
                        outcome.withLock { $0 = error }
                    }
                }
            }
            try await world.clock.sleep(.seconds(20))
            let record = try #require(world.staging.uploadIDs.first)
            #expect(try await tend.reconcile(onlyYoung: onlyYoung) == (0, 0))
            #expect(world.staging.uploadIDs == [record])
            try await world.clock.sleep(.seconds(11))
            #expect(try await tend.reconcile(onlyYoung: onlyYoung) == (0, 1))
            #expect(world.staging.uploadIDs.isEmpty)
            try await world.clock.sleep(.seconds(20))
            guard case .unavailable = outcome.withLock({ $0 }) else {
                Issue.record("it was answered otherwise: \(String(describing: outcome.withLock { $0 }))")
                return
            }
            let again = try await slow.create("a", size: 9_000).upload.id
            #expect(try await tend.reconcile(onlyYoung: onlyYoung) == (0, 0))
            #expect(world.staging.uploadIDs == [again])
        }
    }

    @Test("What was given up for a target that is not configured any more is cleaned up", arguments: [true, false])
    func removedTarget(isConfigured: Bool) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 9_000).upload.id
            _ = try await client.put(1, of: id, Self.file[..<4_096])
            _ = try await client.api.intake.cancel(id, for: World.owner)
            let worker = try await world.process("worker")
            world.queue.wipe()
            let configured: Set<TargetID> = isConfigured ? [World.targetID] : []
            _ = try await TendStaging(worker.ports, configured: configured).reconcile()
            #expect(try await world.staging.read(id) == nil ? !isConfigured : isConfigured)
            #expect(world.server.index.heldPaths.isEmpty ? !isConfigured : isConfigured)
        }
    }

    @Test("A part file that a worker makes after the end is found later")
    func latePartFile() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 9_000).upload.id
            _ = try await client.put(1, of: id, Self.file[..<4_096])
            try await world.startWorker { $0.plan(.stops(.seconds(40)), at: "target.prepare.before") }
            try await world.clock.sleep(.seconds(8))
            _ = try await client.api.intake.cancel(id, for: World.owner)
            let other = try await world.process("other")
            try await client.api.relay.relayDueNow(world)
            while let delivery = world.queue.take() { await other.perform(delivery) }
            #expect(world.target.partFiles.isEmpty)
            // It wakes, makes its part file, and dies before it learns that nobody wants it.
            let sleeper = try #require(world.workers.first)
            sleeper.gate.plan(.dies, at: "target.prepare.after")
            try await world.clock.sleep(.seconds(50))
            #expect(world.target.partFiles.count == 1)
            let tend = tend(world, other)
            try await world.clock.sleep(.seconds(61))
            #expect(try await tend.sweep() == 1)
            #expect(world.target.partFiles.isEmpty)
            try await world.settle()
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("A job that takes its workers down is stopped; its upload says so")
    func poison() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let job = Job.ship(id, offset: 0)
            let worker = try await world.process("worker")
            var deliveries = 0
            // The first that died of it left no name, for the job was new.
            for number in 1...2 {
                deliveries += 1
                let poison = PoisonGuard(worker.ports, instance: "w\(number)@1")
                #expect(await poison.admits(job, deliveries: deliveries))
            }
            deliveries += 1
            let third = PoisonGuard(worker.ports, instance: "w3@1")
            #expect(await !third.admits(job, deliveries: deliveries))
            let upload = try #require(world.server.index.uploads.first { $0.id == id })
            #expect(upload.state == .failed && upload.failure?.reason == .poison)
            #expect(upload.deadLetter?.job == job)
            // Replayed, it has a new chance.
            _ = try await worker.store.replay(id, overwrite: nil)
            #expect(await third.admits(job, deliveries: deliveries + 1))
        }
    }

    @Test("Lost connections, and workers that are alive, make no poison")
    func noPoison() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let job = Job.ship(id, offset: 0)
            let worker = try await world.process("worker")
            for deliveries in 1...25 {
                let name = "w\(deliveries % 3)"
                let presence = WorkerPresence(
                    name: name,
                    host: "h",
                    process: 1,
                    version: "1",
                    targets: [World.targetID],
                    jobs: 1,
                    startedAt: Timestamp(microseconds: 7),
                    seenAt: world.clock.now
                )
                try await worker.store.announce(presence, lifetime: .seconds(15))
                let poison = PoisonGuard(worker.ports, instance: presence.instance)
                #expect(await poison.admits(job, deliveries: deliveries))
                if deliveries % 4 == 0 { await poison.ended(job) }
            }
        }
    }

    @Test("What only staging knows is brought back, or discarded where nobody was told of it")
    func strays() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let told = try await client.create("a", size: 9_000).upload.id
            _ = try await client.put(1, of: told, Self.file[..<4_096])
            let untold = try await client.create("b", size: 9).upload.id
            let worker = try await world.process("worker")
            let staging = TendStaging(worker.ports)
            // As if the index had lost them one by one, unnoticed.
            world.server.forget(told)
            world.server.forget(untold)
            #expect(try await staging.reconcile() == (0, 0), "they may still be in somebody's hands")
            world.clock.advance(by: .seconds(3_601))
            #expect(try await staging.reconcile() == (1, 1))
            #expect(world.server.index.uploads.map(\.id) == [told])
            #expect(try await world.staging.read(untold) == nil)
            #expect(try await staging.reconcile() == (0, 0))
        }
    }

    @Test("An index that was emptied knows nothing: no upload is discarded because of it")
    func straysOfAnEmptiedIndex() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let told = try await client.create("a", size: 9_000).upload.id
            let worker = try await world.process("worker")
            let staging = TendStaging(worker.ports)
            world.clock.advance(by: .seconds(3_601))
            world.server.wipe()
            await #expect(throws: IntakeError.self) { try await staging.reconcile() }
            #expect(try await world.staging.read(told) != nil)
        }
    }
}

extension OutboxRelay {
    /// Sends everything that is recorded, whenever it is due.
    fileprivate func relayDueNow(_ world: World) async throws {
        world.clock.advance(by: .seconds(6))
        _ = try await relayDue(of: World.targetID)
    }
}
