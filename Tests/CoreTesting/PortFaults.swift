// Faults that a test or a simulation plants in an in-memory port.

internal import Synchronization

/// When a planted fault strikes.
public enum FaultMoment: Hashable, Sendable {
    /// Nothing is done.
    case before
    /// It is done, and the answer is lost.
    case after
}

/// Planted faults by operation, each striking once, in the order in which they were planted.
public final class PortFaults<Operation: Hashable & Sendable, Failure: Error>: Sendable {
    private struct Fault: Sendable {
        var moment: FaultMoment
        var failure: Failure
    }

    private let planted = Mutex<[Operation: [Fault]]>([:])
    private let pause: @Sendable () async -> Void

    /// - Parameter pause: awaited at the beginning of each operation, so that a simulation can let others go first.
    public init(pause: @escaping @Sendable () async -> Void = { await Task.yield() }) { self.pause = pause }

    /// Lets the next `times` operations of a kind fail.
    public func plant(_ failure: Failure, in operation: Operation, _ moment: FaultMoment = .before, times: Int = 1) {
        planted.withLock { faults in
            faults[operation, default: []] += Array(repeating: Fault(moment: moment, failure: failure), count: times)
        }
    }

    /// Takes all planted faults away.
    public func clear() { planted.withLock { $0.removeAll() } }

    /// Does something as an operation of a kind, with the fault that is planted for it.
    func perform<Value>(_ operation: Operation, _ work: () throws(Failure) -> Value) async throws(Failure) -> Value {
        await pause()
        let fault = planted.withLock { faults -> Fault? in
            guard let first = faults[operation]?.first else { return nil }
            faults[operation]?.removeFirst()
            return first
        }
        guard let fault else { return try work() }
        if fault.moment == .after { _ = try work() }
        throw fault.failure
    }
}
