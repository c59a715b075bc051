import Core
import CoreTesting
import Testing

@Suite("Clean jobs, the outbox and events")
struct CleanAndRelayTests {
    private static let file = Bytes.seeded(13, count: 5_000).array

    @Test("Clean does nothing to what has not ended, and everything to what has, twice if asked twice")
    func clean() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let worker = try await world.process("w")
            let id = try await client.create("a", size: 5_000).upload.id
            try await client.put(1, of: id, Self.file[..<4_096])
            _ = await worker.ship.perform(id, offset: 0)
            #expect(await worker.clean.perform(id) == .done)
            #expect(try await world.staging.read(id) != nil)
            _ = try await client.api.intake.cancel(id, for: World.owner)
            // A target that cannot be reached keeps the path, for as long as it takes.
            world.target.faults.plant(TargetError(.unreachable, "planted"), in: .removePartFiles, times: 30)
            try await world.startWorker()
            try await world.settle()
            #expect(try await world.leftovers() == [])
            #expect(await worker.clean.perform(id) == .done)
            #expect(await worker.clean.perform(UploadID(high: 0, low: 0)) == .done)
            guard case .created = try await client.create("a", size: 5_000) else {
                Issue.record("path not free"); return
            }
        }
    }

    @Test("An older part file that could not be removed goes in the end, even if the index forgot that there was one")
    func forgottenPartFile() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let stray = PartFile(upload: id, generation: Generation(1), path: path("a"))
            world.target.partFiles[stray] = InMemoryTarget.File(bytes: [1])
            try await world.startWorker { $0.plan(.dies, at: "staging.mark.after") }
            while !(world.workers.first?.gate.isDead ?? false) { try await world.clock.sleep(.milliseconds(5)) }
            world.server.wipe()
            try await world.settle()
            #expect(world.target.files[path("a")]?.bytes == Self.file)
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("Only the entry with the same due time is confirmed; what the broker refuses comes later")
    func relay() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let api = client.api
            let id = try await client.create("a", size: 5_000).upload.id
            try await client.put(1, of: id, Self.file[..<4_096])
            let entry = try #require(world.server.index.outboxEntries.first)
            let older = OutboxEntry(job: entry.job, target: entry.target, due: entry.due - .seconds(1))
            #expect(await api.relay.send([older]) == 1)
            #expect(world.server.index.outboxEntries == [entry])
            for behaviour in [InMemoryJobQueue.Behaviour.refuses("full"), .losesConfirms] {
                let before = try #require(world.server.index.outboxEntries.first)
                world.queue.behaviour = behaviour
                #expect(await api.relay.send([before]) == 0)
                let due = try #require(world.server.index.outboxEntries.first).due
                #expect(due - world.clock.now <= OutboxRelay.pause && due > world.clock.now)
                try await world.clock.sleep(.seconds(3))
            }
            world.queue.behaviour = .isAway
            #expect(try await api.relay.relayDue(of: World.targetID) == 0)
            world.queue.behaviour = .takes
            #expect(try await api.relay.relayDue(of: World.targetID) == 1)
            #expect(world.server.index.outboxEntries.isEmpty)
        }
    }

    @Test("What is handed over is sent at once; what is dropped beyond the bound is found when it is due")
    func dispatch() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let api = client.api
            let id = try await client.create("a", size: 5_000).upload.id
            let filler = (0..<OutboxRelay.bound).map { offset in
                OutboxEntry(
                    job: .ship(id, offset: Int64(offset) * 4_096 + 1),
                    target: World.targetID,
                    due: world.clock.now
                )
            }
            api.relay.dispatch(filler)
            try await client.put(1, of: id, Self.file[..<4_096])
            world.background { await api.relay.run() }
            try await world.clock.sleep(.seconds(1))
            #expect(world.queue.sent.count == OutboxRelay.bound)
            #expect(world.server.index.outboxEntries.map(\.job) == [.ship(id, offset: 0)])
            try await world.clock.sleep(.seconds(5))
            #expect(try await api.relay.relayDue(of: World.targetID) == 1)
            try await client.put(2, of: id, Self.file[4_096...])
            try await world.clock.sleep(.milliseconds(10))
            #expect(world.queue.sent.last?.job == .ship(id, offset: 4_096))
            #expect(world.server.index.outboxEntries.isEmpty)
        }
    }

    @Test("Progress at most ten times a second, the last of it not lost, endings at once")
    func progress() throws {
        let world = World()
        try world.run {
            var upload = try await world.client().create("a", size: 5_000).upload
            let events = ProgressEvents(bus: world.bus, surroundings: world.surroundings)
            world.background { await events.run() }
            let before = world.bus.events.count
            for _ in 0..<200 {
                upload.received.bytes += 1
                events.publish(.partReceived, upload)
                try await world.clock.sleep(.milliseconds(10))
            }
            try await world.clock.sleep(.milliseconds(200))
            let sent = world.bus.events.dropFirst(before)
            #expect((18...21).contains(sent.count))
            #expect(sent.last?.receivedBytes == 200)
            #expect(zip(sent, sent.dropFirst()).allSatisfy { $1.at - $0.at >= .milliseconds(90) })
            events.publish(.partReceived, upload)
            events.publish(.partReceived, upload)
            upload.state = .done
            events.publish(.uploadDone, upload)
            #expect(world.bus.events.last?.kind == .uploadDone)
            try await world.clock.sleep(.seconds(1))
            // What was held back does not come after the end.
            #expect(world.bus.events.last?.kind == .uploadDone)
        }
    }

    @Test("A clock that is set back does not silence progress")
    func clockSetBack() throws {
        let world = World()
        try world.run {
            let upload = try await world.client().create("a", size: 5_000).upload
            let start = world.clock.now
            let shift = Shift()
            let events = ProgressEvents(
                bus: world.bus,
                surroundings: Surroundings(now: { start + shift.value }, sleep: { _ in }, random: { 0 })
            )
            events.publish(.partShipped, upload)
            let count = world.bus.events.count
            shift.value = .seconds(-3_600)
            events.publish(.partShipped, upload)
            #expect(world.bus.events.count == count + 1)
        }
    }
}
