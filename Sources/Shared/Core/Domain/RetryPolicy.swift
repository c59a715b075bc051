// When a job is tried again, and when it is not.

/// What an error means for the job that met it.
public enum ErrorClass: Hashable, Sendable {
    /// It may pass by itself: try again later, a limited number of times.
    case transient(Failure)
    /// The target has no room, or none for this account: try again later, fewer times.
    case diskFull(Failure)
    /// The target cannot be reached: wait without spending attempts.
    case unreachable(Failure)
    /// It does not pass by itself: a dead letter at once.
    case permanent(Failure)
    /// The part file on the target is gone or wrong: build it anew.
    case rebuild(Failure)

    /// What is told to an operator.
    public var failure: Failure {
        switch self {
        case .transient(let failure), .diskFull(let failure), .unreachable(let failure), .permanent(let failure),
            .rebuild(let failure):
            failure
        }
    }
}

/// The limits of retrying, from configuration.
public struct RetryPolicy: Hashable, Sendable {
    /// The delay before the first retry.
    public var base: Duration
    /// The longest delay.
    public var maximum: Duration
    /// How often a job is tried again after a transient error.
    public var attempts: Int
    /// How often it is tried again when the target has no room.
    public var diskFullAttempts: Int

    /// How often an upload is begun anew on its target because its part file was lost or wrong.
    static let restarts = 3

    /// The limits; the defaults keep a job trying for about an hour.
    public init(
        base: Duration = .seconds(2),
        maximum: Duration = .seconds(600),
        attempts: Int = 12,
        diskFullAttempts: Int = 3
    ) {
        self.base = base
        self.maximum = maximum
        self.attempts = attempts
        self.diskFullAttempts = diskFullAttempts
    }

    /// The delay before a retry: doubled each time up to the maximum, of which a random half to whole is taken, so
    /// that jobs that failed together do not come back together.
    ///
    /// - Parameters:
    ///   - attempt: how many attempts have failed already, 1 for the first.
    ///   - random: 64 random bits.
    public func delay(afterAttempt attempt: Int, random: UInt64) -> Duration {
        let doublings = min(max(attempt, 1) - 1, 30)
        let full = min(base.microseconds << Int64(doublings), maximum.microseconds)
        let half = max(full / 2, 1)
        return .microseconds(half + Int64(random % UInt64(half + 1)))
    }

    /// How often a job may fail with an error of this class before it becomes a dead letter; nil for without limit.
    public func limit(for errorClass: ErrorClass) -> Int? {
        switch errorClass {
        case .transient, .rebuild: attempts
        case .diskFull: diskFullAttempts
        case .unreachable: nil
        case .permanent: 0
        }
    }
}
