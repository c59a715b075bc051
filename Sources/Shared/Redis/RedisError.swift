// What can go wrong between a caller and a Redis server.

/// An error reply: what the server itself said.
public struct RedisServerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The first word of the reply if it is in capitals (`NOSCRIPT`, `OOM`, `LOADING`, `WRONGTYPE`), else `ERR`.
    public let code: String
    /// The rest of the reply.
    public let message: String

    /// An error of the given code and message.
    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// Takes an error line apart: by convention its first word, in capitals, is the code ("RESP protocol
    /// description", Simple errors).
    public init(line: String) {
        let code = line.prefix { $0 != " " }
        let isCode = code.utf8.allSatisfy { (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
        if isCode, !code.isEmpty {
            self.init(code: String(code), message: String(line.dropFirst(code.count + 1)))
        } else {
            self.init(code: "ERR", message: line)
        }
    }

    /// The line that the server sent, without its leading `-`.
    public var description: String { message.isEmpty ? code : "\(code) \(message)" }
}

/// Why a command has no reply. No case carries arguments of a command, so none can carry a secret.
public enum RedisError: Error, Sendable, Equatable {
    /// There was no connection to send on; the command was not sent.
    case notConnected(reason: String)
    /// A connection could not be made, or was not accepted (TLS, login, database).
    case connectFailed(reason: String)
    /// The command was sent and no reply came in time. Its connection is closed, for the reply may still come.
    case timedOut(command: String)
    /// As many commands are waiting as are allowed; the command was not sent.
    case queueFull
    /// The connection ended before the reply came; the command may have been executed.
    case connectionClosed(command: String)
    /// The server replied with an error.
    case server(RedisServerError, command: String)
    /// The peer sent what is not RESP2, or more than the limits allow. The connection is closed.
    case protocolViolation(String)
    /// The calling task was cancelled; the command may have been executed.
    case cancelled
    /// The server replied with another kind of value than the command is documented to have.
    case unexpectedReply(command: String, expected: String)

    /// Whether the server may have executed the command, so that sending it again could do it twice.
    public var mayHaveBeenExecuted: Bool {
        switch self {
        case .notConnected, .connectFailed, .queueFull: false
        case .timedOut, .connectionClosed, .protocolViolation, .cancelled, .unexpectedReply: true
        // A script can fail after its first write, so an error proves nothing but for the refusals that come
        // before anything is run.
        case .server(let error, _): !Self.refusals.contains(error.code)
        }
    }

    private static let refusals: Set<String> = ["BUSY", "LOADING", "MASTERDOWN", "NOAUTH", "NOSCRIPT", "WRONGPASS"]
}

extension RedisError: CustomStringConvertible {
    /// What happened, in words.
    public var description: String {
        switch self {
        case .notConnected(let reason): "not connected to Redis: \(reason)"
        case .connectFailed(let reason): "connecting to Redis failed: \(reason)"
        case .timedOut(let command): "Redis did not answer \(command) in time"
        case .queueFull: "too many Redis commands are waiting already"
        case .connectionClosed(let command): "the connection to Redis closed before \(command) was answered"
        case .server(let error, let command): "Redis answered \(command) with: \(error)"
        case .protocolViolation(let what): "the peer does not speak RESP2 as it should: \(what)"
        case .cancelled: "the Redis command was cancelled"
        case .unexpectedReply(let command, let expected):
            "Redis answered \(command) with something else than \(expected)"
        }
    }
}
