// MetricSeries: the values behind counters, gauges and histograms, changed from any thread.

internal import CoreMetrics
internal import Synchronization

/// A counter of whole things; counting is one atomic addition.
final class CounterSeries: CounterHandler {
    private let value = Atomic<UInt64>(0)

    /// Adds `amount`; a counter never goes down, so a negative amount is dropped.
    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        // Wraps after 2⁶⁴, which Prometheus takes for a restart.
        value.wrappingAdd(UInt64(amount), ordering: .relaxed)
    }

    func reset() {
        value.store(0, ordering: .relaxed)
    }

    var snapshot: UInt64 { value.load(ordering: .relaxed) }
}

/// A double changed atomically, held as its bit pattern.
struct AtomicDouble: ~Copyable, Sendable {
    private let bits = Atomic<UInt64>(0)

    var value: Double {
        Double(bitPattern: bits.load(ordering: .relaxed))
    }

    func store(_ value: Double) {
        bits.store(value.bitPattern, ordering: .relaxed)
    }

    func add(_ amount: Double) {
        var current = bits.load(ordering: .relaxed)
        while true {
            let sum = Double(bitPattern: current) + amount
            let (done, seen) = bits.weakCompareExchange(expected: current, desired: sum.bitPattern, ordering: .relaxed)
            guard !done else { return }
            current = seen
        }
    }
}

/// A counter of fractions.
final class FloatingCounterSeries: FloatingPointCounterHandler {
    private let value = AtomicDouble()

    /// Adds `amount`; what is not positive and finite is dropped.
    func increment(by amount: Double) {
        guard amount > 0, amount.isFinite else { return }
        value.add(amount)
    }

    func reset() {
        value.store(0)
    }

    var snapshot: Double { value.value }
}

/// A value that goes up and down.
final class GaugeSeries: MeterHandler, RecorderHandler {
    private let value = AtomicDouble()

    func set(_ value: Int64) { self.value.store(Double(value)) }
    func set(_ value: Double) { self.value.store(value) }
    func increment(by amount: Double) { value.add(amount) }
    func decrement(by amount: Double) { value.add(-amount) }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }

    var snapshot: Double { value.value }
}

/// How many values fell below each of fixed bounds, and their sum.
final class HistogramSeries: RecorderHandler, TimerHandler {
    struct Snapshot: Equatable {
        /// Values up to each bound and above the one before; the last is for those above all bounds.
        var counts: [UInt64]
        var sum: Double
    }

    /// Ascending upper bounds, each inclusive.
    let bounds: [Double]
    // Counts and sum change together, so that no reader sees one without the other.
    private let state: Mutex<Snapshot>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(Snapshot(counts: Array(repeating: 0, count: bounds.count + 1), sum: 0))
    }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[index] &+= 1
            state.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) {
        record(Double(duration) / 1_000_000_000)
    }

    var snapshot: Snapshot { state.withLock { $0 } }
}
