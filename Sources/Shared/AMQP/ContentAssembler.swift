// A method with content comes as three kinds of frames; this puts them together.

/// Assembles deliveries and returns of one channel (AMQP 0-9-1 §4.2.6: method, header, bodies, nothing between).
struct ContentAssembler {
    /// A whole message.
    struct Content: Equatable {
        var method: InboundFrame.Method
        var message: AMQPMessage
    }

    /// What the peer must not send.
    enum Violation: Error, Equatable {
        case unexpectedHeader
        case unexpectedBody
        case methodWithinContent
        case tooLarge(UInt64)
        case moreThanAnnounced
    }

    private enum State {
        case idle
        case expectsHeader(InboundFrame.Method)
        case expectsBody(Content, size: Int)
    }

    private let sizeLimit: Int
    private var state = State.idle

    init(sizeLimit: Int) { self.sizeLimit = sizeLimit }

    /// A `basic.deliver` or `basic.return`.
    mutating func begin(_ method: InboundFrame.Method) throws(Violation) {
        guard case .idle = state else { throw .methodWithinContent }
        state = .expectsHeader(method)
    }

    /// Any other method: it must not come within content.
    func other() throws(Violation) {
        guard case .idle = state else { throw .methodWithinContent }
    }

    mutating func header(_ message: AMQPMessage, bodySize: UInt64) throws(Violation) -> Content? {
        guard case .expectsHeader(let method) = state else { throw .unexpectedHeader }
        guard bodySize <= UInt64(sizeLimit) else { throw .tooLarge(bodySize) }
        let content = Content(method: method, message: message)
        guard bodySize > 0 else {
            state = .idle
            return content
        }
        state = .expectsBody(content, size: Int(bodySize))
        return nil
    }

    mutating func body(_ bytes: [UInt8]) throws(Violation) -> Content? {
        guard case .expectsBody(var content, let size) = state else { throw .unexpectedBody }
        guard bytes.count <= size - content.message.body.count else { throw .moreThanAnnounced }
        if content.message.body.isEmpty {
            content.message.body = bytes
        } else {
            // Out of `state` first, so that appending does not copy what is there.
            state = .idle
            content.message.body += bytes
        }
        guard content.message.body.count < size else {
            state = .idle
            return content
        }
        state = .expectsBody(content, size: size)
        return nil
    }
}
