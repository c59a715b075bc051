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
    private let intercept: @Sendable (Operation, FaultMoment) async -> Failure?

    /// - Parameter pause: awaited at the beginning of each operation, so that a simulation can let others go first.
    public init(pause: @escaping @Sendable () async -> Void = { await Task.yield() }) {
        intercept = { _, moment in
            if moment == .before { await pause() }
            return nil
        }
    }

    /// - Parameter intercept: asked before and after each operation; what it answers is thrown. After one that threw
    ///   by itself it is not asked.
    public init(intercept: @escaping @Sendable (Operation, FaultMoment) async -> Failure?) {
        self.intercept = intercept
    }

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
        if let failure = await intercept(operation, .before) { throw failure }
        let fault = planted.withLock { faults -> Fault? in
            guard let first = faults[operation]?.first else { return nil }
            faults[operation]?.removeFirst()
            return first
        }
        if let fault, fault.moment == .before { throw fault.failure }
        let value = try work()
        if let fault { throw fault.failure }
        if let failure = await intercept(operation, .after) { throw failure }
        return value
    }
}
