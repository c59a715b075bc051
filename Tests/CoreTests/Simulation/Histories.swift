// Many histories at once, each on one thread from its own seed, as many beside one another as there are processors.

import Foundation
import Glibc
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
    /// The processor time of all of them, which is how long one processor takes that has nothing else to do.
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
                let start = Self.processorTime
                let verdict = Simulation(seed: seed, takesTime: pace.takesTime(seed)).run()
                let time = Self.processorTime - start
                gathered.withLock { $0.add(verdict, of: seed, taking: time) }
                // Other tests of the process are not to wait for all of them.
                await Task.yield()
            }
        }

        /// Of this thread.
        private static var processorTime: Duration {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
        }
    }

    /// Lives through the histories of so many seeds.
    static func live(from first: UInt64, count: Int, pace: Pace) async -> Histories {
        let shared = Shared()
        await withTaskGroup { group in
            for _ in 0..<max(1, ProcessInfo.processInfo.activeProcessorCount) {
                group.addTask { await shared.live(from: first, count: count, pace: pace) }
            }
        }
        var histories = shared.histories
        histories.broken.sort { $0.seed < $1.seed }
        return histories
    }

    private mutating func add(_ verdict: Simulation.Verdict, of seed: UInt64, taking time: Duration) {
        self.time += time
        census.add(verdict.census)
        if !verdict.violations.isEmpty { broken.append((seed, verdict.violations)) }
    }
}
