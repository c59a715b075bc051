import Core
import CoreTesting
import Synchronization
import Testing

/// A clock's error.
final class Shift: Sendable {
    private let state = Mutex(Duration.zero)

    var value: Duration {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

@Suite("An index that was lost, restarted or set back")
struct IndexKeeperTests {
    private static let file = Bytes.seeded(17, count: 9_000).array

    @Test("Foreign, current, restarted; while one rebuilds the others wait")
    func conditions() throws {
        let world = World()
        try world.run {
            let first = WorldProcess("first", in: world)
            let second = WorldProcess("second", in: world)
            #expect(try await first.keeper.check() == .rebuilt(uploads: 0))
            #expect(try await second.keeper.check() == .current)
            let client = WorldClient(world: world, api: first)
            let id = try await client.create("a", size: 9_000).upload.id
            try await client.put(1, of: id, Self.file[..<4_096])
            world.server.restart()
            await #expect(throws: IntakeError.self) { try await client.put(2, of: id, Self.file[4_096..<8_192]) }
            #expect(try await second.leases.acquire("rebuild", holder: "somebody", for: .seconds(15)))
            #expect(try await first.keeper.check() == .waiting)
            try await world.clock.sleep(.seconds(16))
            #expect(try await first.keeper.check() == .rebuilt(uploads: 1))
            #expect(try await second.keeper.check() == .current)
            world.server.wipe()
            #expect(try await second.keeper.check() == .rebuilt(uploads: 1))
            #expect(world.server.index.uploads.first?.received.bytes == 8_192)
            #expect(world.server.index.outboxEntries.count == 2)
        }
    }

    @Test("Whoever has begun comes to the end, however slow staging is")
    func slowStaging() throws {
        let world = World(takesTime: true)
        try world.run {
            let first = WorldProcess("first", in: world)
            let second = WorldProcess("second", in: world)
            _ = try await first.keeper.check()
            for number in 0..<150 {
                let now = world.clock.now
                let record = UploadRecord(
                    id: UploadID(high: 1, low: UInt64(number)),
                    owner: World.owner.owner,
                    target: World.targetID,
                    path: path("f\(number)"),
                    size: 1,
                    partSize: 4_096,
                    createdAt: now,
                    expiresAt: now + .seconds(86_400)
                )
                try await world.staging.create(record)
            }
            world.server.wipe()
            let begun = world.clock.now
            world.background {
                try? await world.clock.sleep(.seconds(1))
                while world.server.index.uploads.count < 150 {
                    let outcome = await Gate.$current.withValue(second.gate) { try? await second.keeper.check() }
                    #expect(outcome == .waiting)
                    try? await world.clock.sleep(.seconds(1))
                }
            }
            let outcome = try await Gate.$current.withValue(first.gate) { try await first.keeper.check() }
            #expect(outcome == .rebuilt(uploads: 150))
            // Longer than the lease, and all of it one page.
            #expect(world.clock.now - begun > .seconds(20))
        }
    }

    @Test("A record that cannot be read is left alone, and keeps no other from coming back")
    func unreadable() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let bad = try await client.create("a", size: 1).upload.id
            let good = try await client.create("b", size: 1).upload.id
            world.staging.makeUnreadable(bad, "of a newer version")
            world.server.wipe()
            #expect(try await client.api.keeper.check() == .rebuilt(uploads: 1))
            #expect(world.server.index.uploads.map(\.id) == [good])
        }
    }

    @Test("A part file that was begun in a second that the index lost does not stay")
    func partFileOfALostSecond() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.create("a", size: 9_000).upload.id
            for (number, bytes) in WorldClient.parts(of: Self.file) { try await client.put(number, of: id, bytes) }
            let earlier = world.server.index
            let worker = try await world.process("w")
            _ = await worker.ship.perform(id, offset: 0)
            let begun = try #require(world.target.partFiles.keys.first)
            world.server.rollBack(to: earlier)
            #expect(try await client.api.keeper.check() == .rebuilt(uploads: 1))
            _ = try await client.api.intake.complete(id, digest: nil, for: World.owner)
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
            #expect(world.target.partFiles[begun] == nil)
            #expect(try await world.leftovers() == [])
        }
    }

    @Test("An end that the index forgot after staging was emptied is read from what is kept", arguments: [true, false])
    func endOfALostSecond(isCancelled: Bool) throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let earlier = world.server.index
            if isCancelled { _ = try await client.api.intake.cancel(id, for: World.owner) }
            try await world.startWorker()
            try await world.settle()
            #expect(try await world.staging.discarded() == [id])
            let janitor = TendStaging(client.api.ports)
            world.server.rollBack(to: earlier)
            world.clock.advance(by: .seconds(300))
            // However long the index was away: nothing is forgotten before it was read anew.
            let stranger = WorldProcess("not attached yet", in: world)
            #expect(try await TendStaging(stranger.ports).forget() == 0)
            #expect(try await client.api.keeper.check() == .rebuilt(uploads: 1))
            #expect(world.server.index.uploads.map(\.state) == [isCancelled ? .cancelled : .done])
            try await world.settle()
            if !isCancelled { try await world.expectArrived(id, Self.file, at: "a") }
            #expect(try await world.leftovers() == [])
            #expect(try await janitor.forget() == 1)
            #expect(try await world.staging.discarded() == [])
        }
    }

    @Test("The path of an upload whose end the index forgot is the next one's", arguments: 0..<6 as Range<UInt64>)
    func nextOfALostSecond(seed: UInt64) throws {
        // Identifiers are random: either comes first.
        let world = World(seed: seed)
        try world.run {
            let client = try await world.client()
            let first = try await client.create("a", size: 9_000).upload.id
            let earlier = world.server.index
            _ = try await client.api.intake.cancel(first, for: World.owner)
            #expect(await client.api.clean.perform(first) == .done)
            let second = try await client.send(Self.file, to: "a")
            world.server.rollBack(to: earlier)
            #expect(try await client.api.keeper.check() == .rebuilt(uploads: 2))
            try await world.startWorker()
            try await world.settle()
            try await world.expectArrived(second, Self.file, at: "a")
            #expect(try await world.leftovers() == [])
        }
    }

    /// What happens to the index.
    enum Loss: CaseIterable, Hashable, Sendable {
        case wiped, restarted, setBack
    }

    @Test("Between any two requests of a client", arguments: Loss.allCases, 0...9)
    func betweenRequests(loss: Loss, number: Int) throws {
        let step = number / 2
        let world = World(seed: UInt64(number))
        try world.run {
            let client = try await world.client()
            try await world.startWorker(slots: 2)
            let earlier = Mutex(world.server.index)
            let id = try await client.send(Self.file, to: "a", isSized: number % 2 == 0) { now in
                // A second before the loss: what the lost tail of a log would have kept.
                if now == step - 1 { earlier.withLock { $0 = world.server.index } }
                guard now == step else { return }
                Self.strike(loss, world, earlier.withLock { $0 })
            }
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a", "\(loss) before request \(step)")
        }
    }

    @Test("Within the request that says that all was sent: a file without a size is not cut off")
    func whileCompleting() throws {
        let world = World()
        try world.run {
            let client = try await world.client()
            try await world.startWorker(slots: 2)
            let id = try await client.create("a", size: nil).upload.id
            for (number, bytes) in WorldClient.parts(of: Self.file) { try await client.put(number, of: id, bytes) }
            let isFirst = Mutex(true)
            client.api.gate.watch { name in
                guard name == "store.parts.before", isFirst.withLock({ $0 }) else { return }
                isFirst.withLock { $0 = false }
                world.server.wipe()
            }
            try await Gate.$current.withValue(client.api.gate) {
                _ = try await client.insist { () throws(IntakeError) in
                    try await client.api.intake.complete(id, digest: nil, for: World.owner)
                }
            }
            client.api.gate.watch(nil)
            #expect(!isFirst.withLock { $0 }, "the index was never asked for the parts")
            try await world.settle()
            try await world.expectArrived(id, Self.file, at: "a")
        }
    }

    private static func strike(_ loss: Loss, _ world: World, _ earlier: InMemoryIndex) {
        switch loss {
        case .wiped: world.server.wipe()
        case .restarted: world.server.restart()
        case .setBack: world.server.rollBack(to: earlier)
        }
    }

    @Test("At any step of the worker", arguments: Loss.allCases)
    func atEveryStep(loss: Loss) throws {
        var crossing = 0
        var count = Int.max
        while crossing < count {
            count = try lost(loss, at: crossing)
            crossing += 1
        }
        #expect(count > 60)
    }

    /// Loses the index while the worker is held for a moment at a crossing; answers how many crossings there were.
    private func lost(_ loss: Loss, at crossing: Int) throws -> Int {
        let world = World(seed: UInt64(crossing))
        return try world.run {
            let client = try await world.client()
            let earlier = world.server.index
            let id = try await client.send(Self.file, to: "a")
            try await world.startWorker { $0.plan(.stops(.milliseconds(700)), at: crossing) }
            let worker = try #require(world.workers.first)
            let last = world.clock.now + .seconds(30)
            while worker.gate.crossings.count <= crossing, world.clock.now < last {
                try await world.clock.sleep(.milliseconds(20))
            }
            Self.strike(loss, world, earlier)
            do { try await world.settle() } catch { Issue.record("\(loss) at \(crossing): \(error)") }
            let trace = worker.gate.crossings
            let isWhole = world.target.files[path("a")]?.bytes == Self.file
            let left = try await world.leftovers()
            #expect(isWhole, "\(loss) at \(crossing), \(trace.dropFirst(crossing).first ?? "never")")
            #expect(left == [], "\(loss) at \(crossing), \(trace.dropFirst(crossing).first ?? "never")")
            #expect(world.server.index.uploads.allSatisfy { $0.id == id })
            return trace.count
        }
    }
}
