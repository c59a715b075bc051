// Two workers at one merge: the first stood still past its lease, and wakes while the second is at it, or is done.

import Core
import CoreTesting
import Testing

@Suite("A worker that wakes under a claim that another has followed")
struct FenceTests {
    private static let file = Bytes.seeded(11, count: 9_000).array

    /// What one meeting showed.
    private struct Meeting {
        /// The crossings of the first worker, from its claim on.
        var crossings: [String]
        var broken: [String]
    }

    /// Lets a worker stop at a crossing of its merge for longer than its lease, and its successor at one of its own: when
    /// the first one wakes, the second is there, and goes on only later. Nobody stops without a number.
    private func meet(
        _ first: Int?,
        _ second: Int?,
        sabotage: Set<Sabotage> = [],
        strategy: MergeStrategy = .inPlace
    ) throws -> Meeting {
        let seed = UInt64(1 + (first ?? 0) * 64 + (second ?? 0))
        let world = World(seed: seed, sabotage: sabotage, strategy: strategy)
        return try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let sleeper = try await world.process("sleeper")
            for offset in [0, 4_096, 8_192] as [Int64] { _ = await sleeper.ship.perform(id, offset: offset) }
            if let first { sleeper.gate.plan(.stops(MergeUpload.lease + .seconds(5)), at: first) }
            await begin(id, by: sleeper, in: world)
            try await world.clock.sleep(MergeUpload.lease + .seconds(1))
            if first != nil {
                let successor = try await world.process("successor")
                if let second { successor.gate.plan(.stops(.seconds(8)), at: second) }
                await begin(id, by: successor, in: world)
            }
            try await world.clock.sleep(.seconds(40))
            try await world.startWorker()
            try await world.settle()
            if strategy.shipsInMerge { try await world.sweep() }
            if sabotage.isEmpty {
                try await world.expectArrived(id, Self.file, at: "a", "\(first ?? -1), \(second ?? -1)")
            }
            return Meeting(crossings: sleeper.gate.crossings, broken: world.promises.broken)
        }
    }

    /// Claims a merge, and works on it beside the story.
    private func begin(_ id: UploadID, by worker: WorldProcess, in world: World) async {
        guard case .claimed(let upload, let fence) = await worker.merge.claim(id) else { return }
        world.background {
            await Gate.$current.withValue(worker.gate) { await worker.merge.run(upload, fence: fence) }
        }
    }

    @Test("It changes nothing, wherever it slept, and wherever the other is", arguments: MergeStrategy.allCases)
    func fenced(strategy: MergeStrategy) async throws {
        let crossings = try meet(nil, nil, strategy: strategy).crossings
        let last = try #require(crossings.firstIndex(of: "store.finish.before"))
        for first in 0...last {
            for second in [nil] + Array(0...last) {
                let broken = try meet(first, second, strategy: strategy).broken
                let other = second.map { crossings[$0] } ?? "none"
                #expect(broken == [], "it slept at \(crossings[first]), the other at \(other)")
                await Task.yield()
            }
        }
    }

    @Test("Without the fence it changes what is another's, from wherever it slept before the commit")
    func unfenced() async throws {
        let crossings = try meet(nil, nil).crossings
        let last = try #require(crossings.firstIndex(of: "store.beginCommit.before"))
        for first in 0...last {
            let isNoticed = try (0...last).contains { second in
                try !meet(first, second, sabotage: [.noFence]).broken.isEmpty
            }
            await Task.yield()
            #expect(isNoticed, "it slept at \(crossings[first]), and was not noticed")
        }
    }

    /// The first worker has seen a stranger's file in its way, and sleeps before it says so; the file is taken away, and
    /// its successor puts the upload's own there. Answers whether the upload can be cancelled while its file is there.
    private func isCancelledThoughThere(_ sabotage: Set<Sabotage>) throws -> Bool {
        let world = World(sabotage: sabotage)
        return try world.run {
            let client = try await world.client()
            let id = try await client.send(Self.file, to: "a")
            let sleeper = try await world.process("sleeper")
            for offset in [0, 4_096, 8_192] as [Int64] { _ = await sleeper.ship.perform(id, offset: offset) }
            world.target.files[path("a")] = InMemoryTarget.File(bytes: [9, 9], modified: 3)
            sleeper.gate.plan(.stops(MergeUpload.lease + .seconds(5)), at: "store.fail.before")
            await begin(id, by: sleeper, in: world)
            try await world.clock.sleep(MergeUpload.lease + .seconds(1))
            world.target.files[path("a")] = nil
            let successor = try await world.process("successor")
            successor.gate.plan(.stops(.seconds(8)), at: "store.finish.before")
            await begin(id, by: successor, in: world)
            try await world.clock.sleep(.seconds(5))
            let isCancelled = (try? await client.api.intake.cancel(id, for: World.owner)) != nil
            try await world.clock.sleep(.seconds(40))
            return isCancelled && world.target.files[path("a")]?.bytes == Self.file
        }
    }

    @Test("What it saw before is not told as if it were true now: a cancelled upload's file is not there")
    func stale() throws {
        #expect(try !isCancelledThoughThere([]))
        #expect(try isCancelledThoughThere([.noFence]))
    }
}
