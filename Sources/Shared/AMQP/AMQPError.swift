// What can go wrong between this process and the broker.

/// Why an operation did not succeed.
public enum AMQPError: Error, Sendable, Equatable {
    /// No connection could be made: address, TCP, TLS or handshake.
    case connectFailed(String)
    /// The broker refused user, password or virtual host (replies 403 and 530).
    case accessRefused(String)
    /// The broker closed the channel, with its reply code (404: not there, 406: declared with other arguments).
    case channelClosed(code: Int, text: String)
    /// The connection is gone. Of what was in flight it is not known whether the broker has it.
    case connectionClosed(String)
    /// No answer in time. It is not known whether the broker has it.
    case timedOut(String)
    /// Too many callers wait already; nothing was sent.
    case queueFull
    /// The broker takes no messages at present (`connection.blocked`), for the reason it gave.
    case blocked(reason: String)
    /// The calling task was cancelled.
    case cancelled
    /// The broker sent what the protocol forbids; the connection was given up.
    case protocolViolation(String)
    /// The arguments cannot be put on the wire.
    case invalid(String)
    /// The operating system refused a thread or a descriptor.
    case system(String)
}

extension AMQPError: CustomStringConvertible {
    /// A sentence for logs.
    public var description: String {
        switch self {
        case .connectFailed(let text): "cannot connect: \(text)"
        case .accessRefused(let text): "the broker refuses access: \(text)"
        case .channelClosed(let code, let text): "the broker closed the channel: \(code) \(text)"
        case .connectionClosed(let text): "connection closed: \(text)"
        case .timedOut(let text): "timed out: \(text)"
        case .queueFull: "too many messages wait to be published"
        case .blocked(let reason): "the broker takes no messages: \(reason)"
        case .cancelled: "cancelled"
        case .protocolViolation(let text): "the broker broke the protocol: \(text)"
        case .invalid(let text): "invalid: \(text)"
        case .system(let text): "system: \(text)"
        }
    }
}
