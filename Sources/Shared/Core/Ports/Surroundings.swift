// Time, chance and identifiers, injected, so that a simulation can own them.

/// What use cases take from the world around them.
public struct Surroundings: Sendable {
    /// The wall clock.
    public var now: @Sendable () -> Timestamp
    /// Waits; ends early by throwing when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void
    /// 64 random bits.
    public var random: @Sendable () -> UInt64

    /// Injected surroundings.
    public init(
        now: @escaping @Sendable () -> Timestamp,
        sleep: @escaping @Sendable (Duration) async throws -> Void,
        random: @escaping @Sendable () -> UInt64
    ) {
        self.now = now
        self.sleep = sleep
        self.random = random
    }

    /// A fresh upload identifier.
    public func newUploadID() -> UploadID { UploadID(high: random(), low: random()) }
}
