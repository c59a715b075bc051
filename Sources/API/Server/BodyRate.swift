// BodyRate: how fast a body comes, over a sliding window, counting only the time in which the server was willing.

/// A sliding window of four slices. Each `tick` ends a slice.
struct BodyRate {
    private struct Slice {
        var bytes: Int64 = 0
        var waited: Duration = .zero
    }

    private static let sliceCount = 4

    private let minimum: Int64
    private let window: Duration
    private var slices: [Slice] = []
    private var current = Slice()

    /// - Parameters:
    ///   - minimum: bytes a second; 0 for no bound.
    ///   - window: the time over which it is measured.
    init(minimum: Int64, window: Duration) {
        self.minimum = minimum
        self.window = window
    }

    /// The time after which `tick` is to be called.
    var slice: Duration { window / Self.sliceCount }

    /// Bytes that came.
    mutating func received(_ bytes: Int) { current.bytes += Int64(bytes) }

    /// Time in which the server waited for bytes. While it does not read, because the disk is slow, nobody is to blame.
    mutating func waited(_ time: Duration) { current.waited += time }

    /// Ends a slice; true when over the whole window less came than must.
    mutating func tick() -> Bool {
        slices.append(current)
        current = Slice()
        if slices.count > Self.sliceCount { slices.removeFirst() }
        guard minimum > 0, slices.count == Self.sliceCount else { return false }
        let waited = slices.reduce(.zero) { $0 + $1.waited }
        guard waited * 5 >= window * 4 else { return false }
        let bytes = slices.reduce(0) { $0 + $1.bytes }
        return Double(bytes) < Double(minimum) * (waited / .seconds(1))
    }

    /// Begins anew, for the next body.
    mutating func reset() {
        slices.removeAll(keepingCapacity: true)
        current = Slice()
    }
}
