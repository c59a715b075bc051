// Ten thousand histories, each from its seed; what once went wrong is lived through again every time.

import Core
import Foundation
import Testing

/// What the environment says: FERRY_SEED is the first seed, FERRY_HISTORIES how many follow; with FERRY_PACE=slow every
/// fourth operation takes time, with FERRY_PACE=fast none does. With any of them, nothing is counted or timed.
private enum Asked {
    private static let environment = ProcessInfo.processInfo.environment
    private static let first = environment["FERRY_SEED"].flatMap { UInt64($0) }
    private static let count = environment["FERRY_HISTORIES"].flatMap { Int($0) }
    static let pace = environment["FERRY_PACE"].flatMap { Pace(rawValue: $0) } ?? .either
    /// Code that a sanitizer watches takes many times as long.
    private static let isSanitized = environment["SANITIZE"].map { !$0.isEmpty } ?? false

    static let from = first ?? 0
    static let histories = count ?? (isSanitized ? 1_000 : 10_000)
    static let isUsual = first == nil && count == nil && pace == .either && !isSanitized
}

/// How long the histories may take, on two processors that have nothing else to do.
private let limit = Duration.seconds(60)

/// Seeds of histories that broke a promise once, as they were lived through then: in place.
private let found: [UInt64] = [247, 2_337, 4_514, 8_853, 9_121]

@Suite("Simulation")
struct SimulationTests {
    @Test("Whatever goes wrong, what was acknowledged arrives")
    func histories() async {
        let histories = await Histories.live(from: Asked.from, count: Asked.histories, pace: Asked.pace)
        for (seed, violations) in histories.broken.prefix(10) { report(violations, seed) }
        #expect(histories.broken.count <= 10, "\(histories.broken.count) in all: \(histories.broken.map(\.seed))")
        guard Asked.isUsual else { return }
        #expect(histories.time > .seconds(1), "nothing was measured")
        #expect(
            histories.time / 2 <= limit,
            "\(Asked.histories) histories took \(histories.time); they are to fit in \(limit) on two processors"
        )
        for (what, least) in Census.least {
            let number = histories.census.counts[what, default: 0]
            #expect(number >= least, "only \(number) times in \(Asked.histories) histories: \(what)")
        }
    }

    @Test("What went wrong once does not again", arguments: found)
    func foundBefore(seed: UInt64) {
        let simulation = Simulation(seed: seed, takesTime: Asked.pace.takesTime(seed), strategy: .inPlace)
        report(simulation.run().violations, seed)
    }

    private func report(_ violations: [String], _ seed: UInt64) {
        guard !violations.isEmpty else { return }
        let plan = SimulationPlan(seed: seed)
        let sends = plan.sends.map { "\($0.principal.owner) \($0.path) \($0.size) at \($0.start)" }
        Issue.record(
            """
            seed \(seed): \(violations.joined(separator: "; "))
            \(sends)
            \(plan.faults.map { "\($0.fault.kind) at \($0.at) for \($0.fault.lasts)" })
            Alone: FERRY_PACE=\(Asked.pace.takesTime(seed) ? "slow" : "fast") FERRY_SEED=\(seed) \
            FERRY_HISTORIES=1 swift test --filter CoreTests.SimulationTests/histories
            """
        )
    }

    @Test("Where nothing goes wrong, nothing is refused by chance", arguments: 0..<50)
    func calm(seed: Int) {
        let verdict = Simulation(seed: UInt64(seed), isCalm: true).run()
        #expect(verdict.violations == [])
    }

    @Test("The same seed lives the same history")
    func sameTrace() {
        for seed in [3, 77, 912] as [UInt64] {
            let first = Simulation(seed: seed).run()
            let second = Simulation(seed: seed).run()
            #expect(first.trace == second.trace)
            #expect(first.trace.count > 50)
        }
    }

    @Test("A guarantee that is switched off is missed", arguments: Sabotage.allCases)
    func teeth(sabotage: Sabotage) async {
        for seed in 0..<4_000 as Range<UInt64> {
            await Task.yield()
            // Operations that take time give what is missing the time to be missed.
            let broken = Simulation(seed: seed, sabotage: [sabotage], takesTime: true).run().violations
            guard !broken.isEmpty else { continue }
            if Simulation(seed: seed, takesTime: true).run().violations.isEmpty { return }
        }
        Issue.record("\(sabotage) was not noticed")
    }
}
