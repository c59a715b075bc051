// One thread, and chance that can be repeated: which of the tasks that could go on does so next.

import Synchronization

/// Random numbers that are the same for the same seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// Runs the jobs of its tasks one at a time, in an order that the seed decides. Nothing runs but in `step`.
final class SeededExecutor: TaskExecutor {
    private struct State: Sendable {
        var ready: [UnownedJob] = []
        var random: SeededRandom
    }

    private let state: Mutex<State>

    init(seed: UInt64) { state = Mutex(State(random: SeededRandom(seed: seed))) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.ready.append(job) }
    }

    /// Runs one job; false when none is ready: every task waits for time or for a signal.
    func step() -> Bool {
        let job = state.withLock { state -> UnownedJob? in
            guard !state.ready.isEmpty else { return nil }
            // As `Int.random(in:using:)` chooses, without its generic ways: this is done at every step.
            let (place, _) = state.random.next().multipliedFullWidth(by: UInt64(state.ready.count))
            return state.ready.remove(at: Int(place))
        }
        guard let job else { return false }
        job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }
}
