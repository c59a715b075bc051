// The one place where callers' tasks and a session's thread meet.

internal import Synchronization

/// Whoever waits for a reply. Called on the session's thread.
protocol ReplyReceiver: AnyObject, Sendable {
    /// Takes the reply to the request submitted with `tag`; false when nobody waits any more.
    func receive(_ result: Result<Reply, SFTPError>, tag: Int) -> Bool
    /// Whether a reply would be of no use to anybody.
    var isAbandoned: Bool { get }
}

/// A request on its way to the session's thread.
struct Submission: Sendable {
    var request: Request
    var operation: String
    var path: String
    var receiver: any ReplyReceiver
    var tag = 0
}

/// Requests from any task to the session's thread, the byte budget, and the session's end.
final class SessionMailbox: Sendable {
    private struct Room {
        var bytes: Int
        var waiter: OneShot<Void>
    }

    private struct State {
        var submissions: [Submission] = []
        var isThreadAsleep = false
        var isCloseRequested = false
        var ended: SFTPError?
        var hasThreadEnded = false
        var closeWaiters: [OneShot<Void>] = []
        var budget: SendBudget<Room>
        /// Requests submitted and not answered.
        var load = 0
    }

    private let state: Mutex<State>
    let wakeup: Wakeup
    /// Bytes of file data sent and received.
    let transferred = Atomic<UInt64>(0)
    /// Effective length of a write; lowered for good when a server fails large writes and takes small ones.
    let writeLength = Atomic<Int>(ServerCapabilities.safeLength)

    init(queueLimit: Int) throws(SFTPError) {
        wakeup = try Wakeup()
        state = Mutex(State(budget: SendBudget(limit: queueLimit)))
    }

    // MARK: Callers

    var end: SFTPError? { state.withLock { $0.ended } }
    var load: Int { state.withLock { $0.load } }
    var isCloseRequested: Bool { state.withLock { $0.isCloseRequested } }

    func submit(_ submission: Submission) { submit([submission]) }

    /// Hands over several at once, so that the thread wakes up for all of them and sends them together.
    func submit(_ submissions: [Submission]) {
        let ended: SFTPError? = state.withLock {
            if let ended = $0.ended { return ended }
            $0.submissions += submissions
            $0.load += submissions.count
            wakeIfAsleep(&$0)
            return nil
        }
        guard let ended else { return }
        for submission in submissions {
            _ = submission.receiver.receive(.failure(ended.naming(submission.operation)), tag: submission.tag)
        }
    }

    /// Begins a stream of file data, which has its turn when those before it have ended; see ``SendBudget``.
    func beginStream() -> Int { state.withLock { $0.budget.begin() } }

    /// Says that all of a stream is handed over.
    func endStream(_ turn: Int) { letIn(state.withLock { $0.budget.end(turn) }) }

    /// Waits for room for `bytes` of file data in the session's queue.
    ///
    /// - Parameter turn: of the stream that they belong to, if they do.
    func reserve(_ bytes: Int, turn: Int? = nil) async throws(SFTPError) {
        let waiter: OneShot<Void>? = try state.withLock { (state) throws(SFTPError) in
            if let ended = state.ended { throw ended }
            if state.budget.take(bytes, turn: turn) { return nil }
            let waiter = OneShot<Void>()
            state.budget.wait(for: bytes, turn: turn, waiter: Room(bytes: bytes, waiter: waiter))
            return waiter
        }
        try await waiter?.value()
    }

    /// Tells those who got room.
    private func letIn(_ granted: [Room]) {
        var granted = granted
        while !granted.isEmpty {
            var freed = 0
            // A waiter that was cancelled meanwhile does not use what it got.
            for room in granted where !room.waiter.deliver(.success(())) { freed += room.bytes }
            guard freed > 0 else { return }
            granted = state.withLock { $0.budget.release(freed) }
        }
    }

    /// Asks the thread to end the session.
    func requestClose(notify waiter: OneShot<Void>? = nil) {
        let isOver = state.withLock {
            $0.isCloseRequested = true
            wakeIfAsleep(&$0)
            // During the handshake the thread sleeps without saying so.
            wakeup.signal()
            if $0.hasThreadEnded { return true }
            if let waiter { $0.closeWaiters.append(waiter) }
            return false
        }
        if isOver { waiter?.deliver(.success(())) }
    }

    private func wakeIfAsleep(_ state: inout State) {
        guard state.isThreadAsleep else { return }
        state.isThreadAsleep = false
        wakeup.signal()
    }

    // MARK: The session's thread

    /// Moves what was submitted into `batch`, at most `limit` of it; returns whether the session is to be closed.
    func take(into batch: inout [Submission], limit: Int) -> Bool {
        state.withLock {
            if $0.submissions.count <= limit {
                swap(&batch, &$0.submissions)
            } else {
                batch.append(contentsOf: $0.submissions.prefix(limit))
                $0.submissions.removeFirst(limit)
            }
            return $0.isCloseRequested
        }
    }

    /// Says that the thread is about to sleep; false when there is work.
    func fallAsleep(withRoom hasRoom: Bool) -> Bool {
        state.withLock {
            guard !$0.isCloseRequested, $0.submissions.isEmpty || !hasRoom else { return false }
            $0.isThreadAsleep = true
            return true
        }
    }

    func wakeUp() {
        state.withLock { $0.isThreadAsleep = false }
    }

    /// Notes answered requests and gives their bytes back.
    func settle(requests: Int, bytes: Int) {
        letIn(
            state.withLock {
                $0.load -= requests
                return bytes > 0 ? $0.budget.release(bytes) : []
            }
        )
    }

    /// Ends the mailbox; nothing is accepted afterwards, and everybody who waits is told.
    func finish(_ reason: SFTPError) {
        let (submissions, rooms): ([Submission], [Room]) = state.withLock { state in
            if state.ended == nil { state.ended = reason }
            state.load = 0
            defer {
                state.submissions = []
            }
            return (state.submissions, state.budget.end())
        }
        for submission in submissions {
            _ = submission.receiver.receive(.failure(reason.naming(submission.operation)), tag: submission.tag)
        }
        for room in rooms { room.waiter.deliver(.failure(reason.naming("write"))) }
    }

    /// Says that the thread has freed everything; whoever asked for the end is told.
    func threadEnded() {
        let closers = state.withLock { state in
            state.hasThreadEnded = true
            defer { state.closeWaiters = [] }
            return state.closeWaiters
        }
        for closer in closers { closer.deliver(.success(())) }
    }
}
