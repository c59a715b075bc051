// Declarations and inspections beside publishing, on a channel of their own.

internal import DequeModule

/// The number of messages and consumers of a queue.
struct QueueDepth: Sendable, Equatable {
    var messages: Int
    var consumers: Int
}

/// Runs operations one after the other on a channel that a refusal may close without harm to others. Pure: it says
/// what to send and is told what came.
struct ControlChannel {
    /// One caller's request.
    struct Operation {
        fileprivate(set) var steps: Deque<TopologyStep>
        let ticket: Ticket<QueueDepth?>
        /// Told when a declaration is complete.
        let completed: () -> Void

        init(steps: [TopologyStep], ticket: Ticket<QueueDepth?>, completed: @escaping () -> Void = {}) {
            (self.steps, self.ticket, self.completed) = (Deque(steps), ticket, completed)
        }
    }

    /// What to send.
    enum Action: Equatable {
        case open(channel: UInt16)
        case send(TopologyStep, channel: UInt16)
        case acceptClose(channel: UInt16)
    }

    private enum State: Equatable {
        case closed
        case opening
        case ready
        case waiting
    }

    private static let firstChannel: UInt16 = 2
    /// A channel whose request is never answered is left behind; so many, then the connection is.
    private static let lastChannel: UInt16 = 32

    private var operations: Deque<Operation> = []
    private var state = State.closed
    private(set) var channel = firstChannel

    mutating func add(_ operation: Operation) { operations.append(operation) }

    /// Whether a new connection is needed to go on.
    var isExhausted: Bool { channel > Self.lastChannel }

    /// What to send next; nil when there is nothing to do but wait.
    mutating func next() -> Action? {
        abandonExpired()
        while let first = operations.first, first.ticket.isFinished || first.steps.isEmpty {
            if state == .waiting { break }
            finish(.success(nil))
        }
        guard let first = operations.first else { return nil }
        switch state {
        case .closed:
            state = .opening
            return .open(channel: channel)
        case .ready:
            guard let step = first.steps.first else { return nil }
            state = .waiting
            return .send(step, channel: channel)
        case .opening, .waiting:
            return nil
        }
    }

    /// Drops what callers gave up before it was begun.
    mutating func forgetFinished() {
        guard state == .closed else { return }
        operations.removeAll { $0.ticket.isFinished }
    }

    /// A method on this channel.
    mutating func receive(_ method: InboundFrame.Method) -> Action? {
        switch method {
        case .channelOpenOk:
            if state == .opening { state = .ready }
        case .exchangeDeclareOk, .queueBindOk:
            answered(nil)
        case .queueDeclareOk(_, let messages, let consumers):
            answered(QueueDepth(messages: messages, consumers: consumers))
        case .channelClose(let code, let text):
            closed(code: code, text: text)
            return .acceptClose(channel: channel)
        default:
            break
        }
        return nil
    }

    /// The connection is gone: everything not done fails.
    mutating func lost(_ error: AMQPError) {
        for operation in operations { operation.ticket.finish(.failure(error)) }
        self = ControlChannel()
    }

    private mutating func answered(_ depth: QueueDepth?) {
        guard state == .waiting else { return }
        state = .ready
        guard !operations.isEmpty, let step = operations[0].steps.popFirst(), operations[0].steps.isEmpty else {
            return
        }
        if case .inspect = step { finish(.success(depth)) } else { finish(.success(nil)) }
    }

    private mutating func closed(code: Int, text: String) {
        state = .closed
        guard let step = operations.first?.steps.first else { return }
        // 404 to a passive declaration is the answer "it does not exist", not a failure.
        if case .inspect = step, code == 404 {
            finish(.success(nil))
        } else {
            finish(.failure(.channelClosed(code: code, text: text)))
        }
    }

    private mutating func finish(_ outcome: Result<QueueDepth?, AMQPError>) {
        guard let operation = operations.popFirst() else { return }
        if case .success = outcome, !operation.ticket.isFinished { operation.completed() }
        operation.ticket.finish(outcome)
    }

    /// A request whose caller gave up is still unanswered: its channel cannot be used again.
    private mutating func abandonExpired() {
        guard state == .waiting || state == .opening, operations.first?.ticket.isFinished == true else { return }
        operations.removeFirst()
        channel += 1
        state = .closed
    }
}
