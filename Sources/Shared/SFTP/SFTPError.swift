// The one error type of the SFTP client: every failure says what was being done to what.

/// Why an SSH or SFTP operation failed.
public enum SFTPError: Error, Sendable, Equatable {
    /// No TCP connection, or the peer did not speak SSH in time.
    case connectFailed(host: String, port: Int, reason: String)
    /// The server's host key is none of the pinned ones. Nothing was sent that identifies the user.
    case hostKeyMismatch(expected: [String], found: String)
    /// The server refused the login, or the credential could not be used. `methods` is what the server offers.
    case authenticationFailed(user: String, methods: [String], reason: String)
    /// Client and server share no allowed algorithm: of which kinds, where that is known, and what else there is to
    /// say. Nothing was sent that identifies the user.
    case noCommonAlgorithm(_ mismatches: [AlgorithmMismatch], reason: String)
    /// The server answered a request with an error status.
    case status(code: SFTPStatus, message: String, operation: String, path: String)
    /// The session ended, by the peer or the network, while `operation` was under way.
    case disconnected(reason: String, operation: String)
    /// No progress within the configured time. The session is closed afterwards.
    case timedOut(operation: String)
    /// The server broke the protocol; the session is closed afterwards.
    case protocolViolation(String)
    /// The calling task was cancelled.
    case cancelled
    /// The server does not offer this extension.
    case unsupported(extension: String)
    /// The server does not run commands for this account.
    case execRefused(reason: String)
    /// An argument that cannot be sent, such as a path with a NUL byte.
    case invalidArgument(String)
    /// More data than the caller's bound allows.
    case limitExceeded(String)
    /// The pool's circuit breaker is open; a new attempt is made after `retryAfter`.
    case breakerOpen(retryAfter: Duration, cause: String)
    /// There are as many sessions or handshakes, of all processes together, as there may be.
    case noSeat(retryAfter: Duration)
    /// The session or pool was closed by its owner.
    case closed

    /// Whether the connection, not the request, failed: the same request may succeed on a new session.
    public var isConnectionLoss: Bool {
        switch self {
        case .connectFailed, .disconnected, .timedOut, .protocolViolation, .breakerOpen, .noSeat, .closed:
            true
        case .status(let code, _, _, _):
            code == .noConnection || code == .connectionLost
        default:
            false
        }
    }

    /// Whether the server refused and gave no reason that version 3 has a code for; a name that is taken is one.
    public var isUnexplained: Bool {
        if case .status(let code, _, _, _) = self { code == .failure || code == .fileAlreadyExists } else { false }
    }

    /// Whether the server refused a write, for whatever reason.
    public var isRefusedWrite: Bool {
        guard case .status(let code, _, "write", _) = self else { return false }
        return code == .failure || code == .operationUnsupported || code == .permissionDenied
    }

    /// Whether trying again with the same configuration cannot help.
    public var isRefusal: Bool {
        switch self {
        case .hostKeyMismatch, .authenticationFailed, .noCommonAlgorithm: true
        default: false
        }
    }
}

extension SFTPError: CustomStringConvertible {
    /// One line for operators.
    public var description: String {
        switch self {
        case .connectFailed(let host, let port, let reason): "cannot connect to \(host) port \(port): \(reason)"
        case .hostKeyMismatch(let expected, let found):
            "host key is \(found), but \(expected.joined(separator: " or ")) is pinned"
        case .authenticationFailed(let user, let methods, let reason):
            "login as \(user) refused: \(reason) (server offers: \(methods.joined(separator: ", ")))"
        case .noCommonAlgorithm(let mismatches, let reason):
            mismatches.isEmpty
                ? "no algorithm in common with the server: \(reason)"
                : mismatches.map(\.description).joined(separator: "; ") + "; \(reason)"
        case .status(let code, let message, let operation, let path):
            "\(operation) \(path): \(code)\(message.isEmpty ? "" : " (\(message))")"
        case .disconnected(let reason, let operation): "connection lost during \(operation): \(reason)"
        case .timedOut(let operation): "no progress during \(operation)"
        case .protocolViolation(let what): "the server broke the protocol: \(what)"
        case .cancelled: "cancelled"
        case .unsupported(let name): "the server does not offer \(name)"
        case .execRefused(let reason): "the server does not run commands: \(reason)"
        case .invalidArgument(let what): "invalid argument: \(what)"
        case .limitExceeded(let what): "limit exceeded: \(what)"
        case .breakerOpen(let retryAfter, let cause):
            "too many failed connections, the last: \(cause); next attempt in \(retryAfter.components.seconds + 1) s"
        case .noSeat:
            "all sessions that the target may have are in use, or as many logins as it may have at once are under way"
        case .closed: "closed"
        }
    }
}

/// Algorithms of one kind, none of which both sides of a handshake know (RFC 4253 §7.1).
public struct AlgorithmMismatch: Sendable, Hashable, CustomStringConvertible {
    /// What is agreed on in a handshake.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// How keys are agreed on.
        case keyExchange = "key exchange method"
        /// The kinds of keys that the server proves itself with.
        case hostKey = "host key algorithm"
        /// What encrypts.
        case cipher
        /// What protects from changes.
        case mac = "MAC"
        /// What makes data smaller.
        case compression = "compression method"
    }

    /// Which kind.
    public let kind: Kind
    /// What the server offers.
    public let offered: [String]
    /// What this side offers.
    public let allowed: [String]

    /// A kind without agreement.
    public init(_ kind: Kind, offered: [String], allowed: [String]) {
        self.kind = kind
        self.offered = offered
        self.allowed = allowed
    }

    /// Both lists; of a long one the beginning.
    public var description: String {
        "no \(kind.rawValue) in common: the server offers \(Self.text(offered)); this side \(Self.text(allowed))"
    }

    private static func text(_ names: [String]) -> String {
        guard !names.isEmpty else { return "none" }
        let shown = names.prefix(16).map { String($0.unicodeScalars.prefix(64)) }.joined(separator: ", ")
        return names.count > 16 ? "\(shown) and \(names.count - 16) more" : shown
    }
}

/// A status code of draft-ietf-secsh-filexfer-02 §7.
public struct SFTPStatus: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The code on the wire.
    public let rawValue: UInt32

    /// Any code, known or not.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// SSH_FX_OK
    public static let ok = Self(rawValue: 0)
    /// SSH_FX_EOF
    public static let endOfFile = Self(rawValue: 1)
    /// SSH_FX_NO_SUCH_FILE
    public static let noSuchFile = Self(rawValue: 2)
    /// SSH_FX_PERMISSION_DENIED
    public static let permissionDenied = Self(rawValue: 3)
    /// SSH_FX_FAILURE: version 3 has no finer code for most failures, a full disk and a taken name included.
    public static let failure = Self(rawValue: 4)
    /// SSH_FX_BAD_MESSAGE
    public static let badMessage = Self(rawValue: 5)
    /// SSH_FX_NO_CONNECTION
    public static let noConnection = Self(rawValue: 6)
    /// SSH_FX_CONNECTION_LOST
    public static let connectionLost = Self(rawValue: 7)
    /// SSH_FX_OP_UNSUPPORTED
    public static let operationUnsupported = Self(rawValue: 8)
    /// SSH_FX_FILE_ALREADY_EXISTS of draft-ietf-secsh-filexfer-13 §9.1, which ProFTPD sends to clients of version 3, too.
    public static let fileAlreadyExists = Self(rawValue: 11)
    /// The file system is full (version 6 and later; some servers send it anyway).
    public static let noSpaceOnFileSystem = Self(rawValue: 14)
    /// The account's quota is used up (version 6 and later; some servers send it anyway).
    public static let quotaExceeded = Self(rawValue: 15)

    /// The draft's words for the code.
    public var description: String {
        switch rawValue {
        case 0: "ok"
        case 1: "end of file"
        case 2: "no such file"
        case 3: "permission denied"
        case 4: "failure"
        case 5: "bad message"
        case 6: "no connection"
        case 7: "connection lost"
        case 8: "operation unsupported"
        case 11: "file already exists"
        case 14: "no space on file system"
        case 15: "quota exceeded"
        default: "status \(rawValue)"
        }
    }
}
