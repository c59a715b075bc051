// A value that one thread delivers once and one task waits for.

internal import Synchronization

/// A one-time result. Cancelling the waiting task ends the wait at once; what is delivered later is refused.
final class OneShot<Value: Sendable>: Sendable {
    private enum State {
        case pending
        case waiting(CheckedContinuation<Result<Value, SFTPError>, Never>)
        case delivered(Result<Value, SFTPError>)
        case finished
    }

    private let state = Mutex(State.pending)

    /// Whether nobody will ever take a value.
    var isAbandoned: Bool {
        state.withLock { if case .finished = $0 { true } else { false } }
    }

    /// Delivers the value; false when it came too late and the deliverer still owns it.
    @discardableResult
    func deliver(_ result: Result<Value, SFTPError>) -> Bool {
        let (taken, continuation): (Bool, CheckedContinuation<Result<Value, SFTPError>, Never>?) = state.withLock {
            switch $0 {
            case .pending:
                $0 = .delivered(result)
                return (true, nil)
            case .waiting(let continuation):
                $0 = .finished
                return (true, continuation)
            case .delivered, .finished:
                return (false, nil)
            }
        }
        continuation?.resume(returning: result)
        return taken
    }

    /// Waits for the value; to be called once.
    func value() async throws(SFTPError) -> Value { try await result().get() }

    /// Waits for what is delivered, whatever it is; to be called once.
    func result() async -> Result<Value, SFTPError> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early: Result<Value, SFTPError>? = state.withLock {
                    switch $0 {
                    case .pending:
                        $0 = .waiting(continuation)
                        return nil
                    case .delivered(let result):
                        $0 = .finished
                        return result
                    case .waiting, .finished:
                        return .failure(.cancelled)
                    }
                }
                if let early { continuation.resume(returning: early) }
            }
        } onCancel: {
            abandon()
        }
    }

    /// Ends the wait with `cancelled`, unless a value is there already.
    func abandon() {
        let continuation: CheckedContinuation<Result<Value, SFTPError>, Never>? = state.withLock {
            switch $0 {
            case .pending:
                $0 = .finished
                return nil
            case .waiting(let continuation):
                $0 = .finished
                return continuation
            case .delivered, .finished:
                return nil
            }
        }
        continuation?.resume(returning: .failure(.cancelled))
    }
}
