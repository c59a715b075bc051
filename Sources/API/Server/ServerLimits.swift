// ServerLimits: the bounds that every connection lives within.

/// Bounds of the HTTP server.
struct ServerLimits: Sendable {
    /// Connections at a time; more wait in the kernel's backlog.
    var maximumConnections = 10_000
    /// How long a connection may be without a byte, outside of a response that is being made.
    var idleTimeout: Duration = .seconds(60)
    /// The least rate of a body in bytes a second; 0 for none.
    var minimumRate: Int64 = 1_024
    /// The time over which that rate is measured.
    var rateWindow: Duration = .seconds(10)
    /// How long a client that was refused may still send before the connection is cut.
    var lingerTime: Duration = .seconds(5)
    /// How much a client that was refused may still send, in bytes.
    var lingerBytes: Int64 = 16 << 20
    /// The memory for bytes that were read from connections and not yet staged, in bytes, over all of them.
    var memoryBudget = 32 << 20
}

/// The body came slower than the least rate.
struct BodyTooSlow: Error {}

/// Sent down the pipeline by a route that wants a body which the client holds back (RFC 9110 §10.1.1).
struct BodyWelcome: Sendable {}
