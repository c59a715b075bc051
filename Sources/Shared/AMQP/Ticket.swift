// The promise of an answer to one caller.

internal import DequeModule
internal import Synchronization

/// One caller's wait. Whoever finishes it first wins: the thread, a deadline or the caller's cancellation.
final class Ticket<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, AMQPError>

    private enum State {
        case idle
        case waiting(CheckedContinuation<Outcome, Never>)
        case finished(Outcome)
    }

    private let state = Mutex(State.idle)

    /// Answers the caller, unless it was answered before.
    func finish(_ outcome: Outcome) {
        let continuation: CheckedContinuation<Outcome, Never>? = state.withLock { state in
            defer {
                if case .finished = state {} else { state = .finished(outcome) }
            }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume(returning: outcome)
    }

    var isFinished: Bool {
        state.withLock { if case .finished = $0 { true } else { false } }
    }

    /// Waits for the answer; to be called once. Cancellation ends it with `cancelled`.
    func value() async throws(AMQPError) -> Value {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let early: Outcome? = state.withLock { state in
                    if case .finished(let outcome) = state { return outcome }
                    state = .waiting(continuation)
                    return nil
                }
                if let early { continuation.resume(returning: early) }
            }
        } onCancel: {
            finish(.failure(.cancelled))
        }
        return try outcome.get()
    }
}

/// Deadlines that all have the same length and are therefore met in the order they were set.
struct DeadlineQueue {
    private struct Entry {
        let deadline: Moment
        let isFinished: () -> Bool
        let expire: () -> Void
    }

    private var entries: Deque<Entry> = []

    mutating func add<Value>(_ ticket: Ticket<Value>, deadline: Moment, _ expire: @escaping () -> Void) {
        entries.append(Entry(deadline: deadline, isFinished: { ticket.isFinished }, expire: expire))
    }

    /// Expires what is due and forgets what is finished.
    mutating func run(_ now: Moment) {
        while let first = entries.first {
            if first.isFinished() {
                entries.removeFirst()
            } else if first.deadline <= now {
                entries.removeFirst()
                first.expire()
            } else {
                return
            }
        }
    }

    /// When to look again.
    var next: Moment? { entries.first?.deadline }
}
