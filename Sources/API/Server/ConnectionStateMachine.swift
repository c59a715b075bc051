// ConnectionStateMachine: when a connection may go on after an answer and when it must end. No I/O; the connection
// guard does what it says.

/// What is known about the requests and responses of one connection.
///
/// A response can be written before its request has been read to the end. Then the rest of the body is either little
/// and certain, and is read to keep the connection; or the connection ends in an orderly way: the client is told
/// (`Connection: close`), and for a bounded time and number of bytes it may still send, because a connection that is
/// closed with unread bytes is reset, and the client would lose the answer (RFC 9112 §9.6).
struct ConnectionStateMachine {
    /// A remainder of a refused body up to this many bytes is read for the connection's sake.
    static let smallRemainder: Int64 = 65_536

    private enum Phase {
        case open
        /// A response that says so is being written.
        case closing
        /// It is written; what still comes is thrown away.
        case lingering(bytesLeft: Int64)
        case closed
    }

    private var phase = Phase.open
    private var heads: UInt64 = 0
    private var ends: UInt64 = 0
    private var responses: UInt64 = 0
    private var remaining: Int64?
    private var holdsBack = false
    private var isInputClosed = false
    private var isStreaming = false
    private let lingerBytes: Int64

    init(lingerBytes: Int64) { self.lingerBytes = lingerBytes }

    /// A body is on its way that the client does not hold back.
    var expectsBody: Bool { heads > ends && !holdsBack }
    /// No request is known that was not answered.
    var isIdle: Bool { heads == ends && heads == responses }
    /// Bytes of the connection concern nobody any more.
    var isDiscarding: Bool { if case .open = phase { false } else { true } }

    /// What to do with something that came in.
    enum Inbound: Equatable {
        case forward
        case discard
        case close
    }

    /// What to do with something that goes out.
    enum Outbound: Equatable {
        case forward
        /// Add `Connection: close`.
        case markClose
        /// Flush it, end the output, and linger.
        case finish
        /// Flush it and close.
        case close
        /// Drop it: a response has ended the connection already.
        case drop
    }

    /// A request's head: its announced length (nil where it is chunked) and whether the client waits to be asked.
    mutating func receivedHead(length: Int64?, holdsBack: Bool) -> Inbound {
        guard case .open = phase else { return .discard }
        heads += 1
        remaining = length
        self.holdsBack = holdsBack
        return .forward
    }

    /// Bytes of a body.
    mutating func receivedBody(_ count: Int) -> Inbound {
        switch phase {
        case .open:
            holdsBack = false
            remaining = remaining.map { max(0, $0 - Int64(count)) }
            return .forward
        case .closing:
            return .discard
        case .lingering(let left):
            let left = left - Int64(count)
            phase = left < 0 ? .closed : .lingering(bytesLeft: left)
            return left < 0 ? .close : .discard
        case .closed:
            return .discard
        }
    }

    /// The end of a request.
    mutating func receivedEnd() -> Inbound {
        ends += 1
        switch phase {
        case .open:
            remaining = nil
            return .forward
        case .closing:
            return .discard
        case .lingering:
            phase = .closed
            return .close
        case .closed:
            return .discard
        }
    }

    /// The body cannot be read to its end: it came too slowly, or is malformed. The next answer is the last.
    mutating func bodyFailed() { remaining = nil }

    /// The client will send nothing more.
    mutating func inputClosed() -> Inbound {
        isInputClosed = true
        if case .lingering = phase {
            phase = .closed
            return .close
        }
        // Nobody listens to a stream whose client has gone; an ordinary answer may still be wanted.
        return isStreaming ? .close : .forward
    }

    /// A route wants the body; true where the client must be told so.
    mutating func bodyIsWelcome() -> Bool {
        guard holdsBack, heads == responses + 1, case .open = phase else { return false }
        holdsBack = false
        return true
    }

    /// A final response's head.
    ///
    /// - Parameter isStream: it has no end of its own.
    mutating func sendingHead(isStream: Bool) -> Outbound {
        guard case .open = phase else { return .drop }
        isStreaming = isStream
        if isStream, isInputClosed { return .close }
        let isRead = ends > responses
        if isRead || (!holdsBack && (remaining.map { $0 <= Self.smallRemainder } ?? false)) { return .forward }
        phase = .closing
        return .markClose
    }

    /// Bytes of a response.
    func sendingBody() -> Outbound {
        switch phase {
        case .open, .closing: .forward
        case .lingering, .closed: .drop
        }
    }

    /// The end of a response.
    mutating func sendingEnd() -> Outbound {
        isStreaming = false
        switch phase {
        case .open:
            responses += 1
            return .forward
        case .closing:
            responses += 1
            guard ends < responses, !isInputClosed else {
                phase = .closed
                return .close
            }
            phase = .lingering(bytesLeft: lingerBytes)
            return .finish
        case .lingering, .closed:
            return .drop
        }
    }

    /// The guard itself answers a request that could not be parsed; true where it may.
    mutating func answersMalformedRequest() -> Bool {
        guard case .open = phase, isIdle else { return false }
        heads += 1
        phase = .closing
        return true
    }
}
