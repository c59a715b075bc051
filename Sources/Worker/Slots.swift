// A bound on how much runs at once.

internal import Core
internal import Synchronization

/// Counts what runs; whoever wants more than there is room for waits, but not for ever.
final class Slots: Sendable {
    private struct State {
        var free: Int
        var waiting: [(id: UInt64, continuation: CheckedContinuation<Bool, Never>)] = []
        var next: UInt64 = 0
    }

    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(free: count)) }

    /// Takes a slot; false when none became free in time, or the task was cancelled.
    func take(within limit: Duration) async -> Bool {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let timer = Task {
            // Cancelled when the slot is there; only a time-out lets the waiting one go without.
            guard (try? await Task.sleep(for: limit)) != nil else { return }
            giveUp(id)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isFree = state.withLock { state in
                    guard state.free > 0, !Task.isCancelled else {
                        if Task.isCancelled { return false as Bool? }
                        state.waiting.append((id, continuation))
                        return nil
                    }
                    state.free -= 1
                    return true
                }
                if let isFree { continuation.resume(returning: isFree) }
            }
        } onCancel: {
            giveUp(id)
        }
    }

    /// Gives a slot to the one that has waited longest.
    func give() {
        let next = state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil as CheckedContinuation<Bool, Never>?
            }
            return state.waiting.removeFirst().continuation
        }
        next?.resume(returning: true)
    }

    private func giveUp(_ id: UInt64) {
        let waiting = state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
                return nil as CheckedContinuation<Bool, Never>?
            }
            return state.waiting.remove(at: index).continuation
        }
        waiting?.resume(returning: false)
    }
}
