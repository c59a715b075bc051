// How a command ends when it does not end well.

/// A failure with the exit code that the contract gives it.
struct CommandFailure: Error, Equatable {
    /// The contract's exit codes.
    enum Code: Int32 {
        case failed = 1
        case usage = 2
        case notFound = 3
        case conflict = 4
        case unavailable = 5
        case interrupted = 130
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
