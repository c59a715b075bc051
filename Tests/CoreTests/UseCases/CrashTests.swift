import Core
import CoreTesting
import Testing

/// The whole way of a file over a worker that meets its fate at one crossing after the other.
@Suite("Whatever happens to a worker, wherever it happens, one correct file arrives and nothing is left")
struct CrashTests {
    static let file = Bytes.seeded(7, count: 9_000).array
    static let attributes = FinalAttributes(
        mode: FileMode(octal: "0440"),
        modifiedAt: Timestamp(microseconds: 1_000_000_000_500_000)
    )

    /// Sends a file while a worker meets a fate at a crossing; answers the worker's crossings.
    ///
    /// Other tests of the process go first: these are many.
    private func crossings(
        _ fate: Fate?,
        at crossing: Int,
        slots: Int,
        strategy: MergeStrategy = .inPlace,
        file: [UInt8] = Self.file,
        prepare: @escaping @Sendable (World, Gate) -> Void
    ) async throws -> [String] {
        await Task.yield()
        let world = World(seed: UInt64(crossing), strategy: strategy)
        let comment = "\(strategy), \(fate.map { "\($0)" } ?? "nothing") at \(crossing)"
        return try world.run {
            var client = try await world.client()
            client.attributes = Self.attributes
            let id =
                if file.count <= 4_096, let taken = try await client.submit(file, to: "d/f") {
                    taken.id
                } else {
                    try await client.send(file, to: "d/f")
                }
            try await world.startWorker(slots: slots) { gate in
                prepare(world, gate)
                if let fate { gate.plan(fate, at: crossing) }
            }
            // While one is stopped, another goes on.
            if case .stops = fate { try await world.startWorker(slots: slots) }
            do { try await world.settle() } catch { Issue.record("\(comment): \(error)") }
            if strategy.shipsInMerge { try await world.sweep() }
            let worker = try #require(world.workers.first)
            let trace = worker.gate.crossings
            let name = trace.indices.contains(crossing) ? trace[crossing] : "never"
            try await world.expectArrived(id, file, at: "d/f", "\(comment), \(name)")
            // Best effort: one that fails or is cancelled is not asked for again.
            switch fate {
            case .fails, .isCancelled: break
            case .dies, .stops, nil: world.expectAttributes(Self.attributes, at: "d/f", "\(comment), \(name)")
            }
            return trace
        }
    }

    @Test(
        "One worker, and its successor",
        arguments: [Fate.dies, .fails, .isCancelled, .stops(.seconds(40))],
        MergeStrategy.allCases
    )
    func sweep(fate: Fate, strategy: MergeStrategy) async throws {
        let count = try await crossings(nil, at: 0, slots: 1, strategy: strategy) { _, _ in }.count
        #expect(count > 60)
        for crossing in 0..<count {
            _ = try await crossings(fate, at: crossing, slots: 1, strategy: strategy) { _, _ in }
        }
    }

    @Test(
        "A file that came whole, and one that cannot stay so",
        arguments: [Fate.dies, .fails, .isCancelled, .stops(.seconds(40))],
        [MergeStrategy.inPlace, .relay]
    )
    func whole(fate: Fate, strategy: MergeStrategy) async throws {
        let file = Bytes.seeded(8, count: 4_000).array
        let count = try await crossings(nil, at: 0, slots: 1, strategy: strategy, file: file) { _, _ in }.count
        #expect(count > 20)
        for crossing in 0..<count {
            _ = try await crossings(fate, at: crossing, slots: 1, strategy: strategy, file: file) { _, _ in }
        }
    }

    @Test(
        "Three jobs at once",
        arguments: [Fate.dies, .fails, .isCancelled, .stops(.seconds(40))]
    )
    func concurrent(fate: Fate) async throws {
        let count = try await crossings(nil, at: 0, slots: 3) { _, _ in }.count
        for crossing in 0..<count { _ = try await crossings(fate, at: crossing, slots: 3) { _, _ in } }
    }

    /// Where the part file is lost.
    enum Loss: CaseIterable, Hashable, Sendable {
        case whileShipping, beforeTheCommit

        @Sendable func prepare(_ world: World, _ gate: Gate) {
            switch self {
            case .beforeTheCommit: world.target.faults.plant(TargetError(.partFileLost, "planted"), in: .seal)
            case .whileShipping:
                gate.watch { name in
                    let upload = world.server.index.uploads.first
                    guard name == "store.shipped.after", upload?.shipped.parts == 2, upload?.preparations == 1 else {
                        return
                    }
                    world.target.partFiles = [:]
                }
            }
        }
    }

    @Test(
        "The part file is lost, and the worker that builds it anew meets its fate",
        arguments: [Fate.dies, .fails, .stops(.seconds(40))],
        Loss.allCases
    )
    func partFileLost(fate: Fate, loss: Loss) async throws {
        let count = try await crossings(nil, at: 0, slots: 1, prepare: loss.prepare).count
        for crossing in 0..<count { _ = try await crossings(fate, at: crossing, slots: 1, prepare: loss.prepare) }
    }

    @Test("The same seed tells the same story")
    func repeats() async throws {
        let first = try await crossings(.dies, at: 20, slots: 3) { _, _ in }
        let again = try await crossings(.dies, at: 20, slots: 3) { _, _ in }
        let other = try await crossings(.dies, at: 21, slots: 3) { _, _ in }
        #expect(again == first)
        #expect(other != first)
    }
}
