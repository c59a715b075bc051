// Thousands of histories, each from its seed; what once went wrong is lived through again every time.

import Core
import Foundation
import Testing

/// Histories of one test; there are as many tests as fill the number below.
private let batch = 100
/// At least so many histories are lived through.
private let count = 400
/// Where the seeds begin: FERRY_SEED explores others.
private let first = ProcessInfo.processInfo.environment["FERRY_SEED"].flatMap { UInt64($0) } ?? 0

/// Seeds of histories that broke a promise once.
private let found: [UInt64] = []

@Suite("Simulation")
struct SimulationTests {
    @Test("Whatever goes wrong, what was acknowledged arrives", arguments: 0..<(count / batch))
    func histories(number: Int) {
        for offset in 0..<batch {
            let seed = first + UInt64(number * batch + offset)
            report(Simulation(seed: seed).run(), seed)
        }
    }

    @Test("What went wrong once does not again", arguments: found)
    func foundBefore(seed: UInt64) { report(Simulation(seed: seed).run(), seed) }

    private func report(_ verdict: Simulation.Verdict, _ seed: UInt64) {
        guard !verdict.violations.isEmpty else { return }
        let plan = SimulationPlan(seed: seed)
        let sends = plan.sends.map { "\($0.principal.owner) \($0.path) \($0.size) at \($0.start)" }
        Issue.record("seed \(seed): \(verdict.violations.joined(separator: "; "))\n\(sends)\n\(plan.faults)")
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
    func teeth(sabotage: Sabotage) {
        let broken = (0..<400).count { seed in
            !Simulation(seed: UInt64(seed), sabotage: [sabotage]).run().violations.isEmpty
        }
        #expect(broken > 0, "\(sabotage) was not noticed")
    }
}
