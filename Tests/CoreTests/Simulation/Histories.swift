// Many histories at once, each on one thread from its own seed, as many beside one another as there are processors.

import Foundation
import Synchronization

/// Whether operations take time.
enum Pace: String, Sendable {
    case fast, slow
    /// In every other history.
    case either

    func takesTime(_ seed: UInt64) -> Bool {
        switch self {
        case .fast: false
        case .slow: true
        case .either: !seed.isMultiple(of: 2)
        }
    }
}

/// Lives through histories and gathers what became of them.
struct Histories: Sendable {
    /// Those in which a promise was broken, by seed.
    private(set) var broken: [(seed: UInt64, violations: [String])] = []
    private(set) var census = Census()
    /// From the first step of the first to the last step of the last.
    private(set) var time = Duration.zero

    /// What those who live through them share.
    private final class Shared: Sendable {
        private let next = Atomic(0)
        private let gathered = Mutex(Histories())

        var histories: Histories { gathered.withLock { $0 } }

        func live(from first: UInt64, count: Int, pace: Pace) async {
            while true {
                let number = next.add(1, ordering: .relaxed).oldValue
                guard number < count else { return }
                let seed = first + UInt64(number)
                let verdict = Simulation(seed: seed, takesTime: pace.takesTime(seed)).run()
                gathered.withLock { $0.add(verdict, of: seed) }
                // Other tests of the process are not to wait for all of them.
                await Task.yield()
            }
        }
    }

    /// Lives through the histories of so many seeds.
    static func live(from first: UInt64, count: Int, pace: Pace) async -> Histories {
        let shared = Shared()
        let clock = ContinuousClock()
        let start = clock.now
        await withTaskGroup { group in
            for _ in 0..<max(1, ProcessInfo.processInfo.activeProcessorCount) {
                group.addTask { await shared.live(from: first, count: count, pace: pace) }
            }
        }
        var histories = shared.histories
        histories.time = clock.now - start
        histories.broken.sort { $0.seed < $1.seed }
        return histories
    }

    private mutating func add(_ verdict: Simulation.Verdict, of seed: UInt64) {
        census.add(verdict.census)
        if !verdict.violations.isEmpty { broken.append((seed, verdict.violations)) }
    }
}
