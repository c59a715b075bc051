// Who decides, for all processes together, whether a session may be opened.

/// What a gate tells a pool while it holds sessions.
public struct GateNews: Sendable, Equatable {
    /// How many sessions the process should have at most; nil for no bound.
    public var allowance: Int?
    /// Sessions that may not go on: their place was given away while the process was not heard of.
    public var lost: [String]

    /// News.
    public init(allowance: Int?, lost: [String]) {
        self.allowance = allowance
        self.lost = lost
    }
}

/// The limits on one server's sessions that no process can keep alone. A pool without a gate knows its own limits only.
///
/// A session is named by its user; names are unique in the process.
public protocol ConnectionGate: Sendable {
    /// Asks for one more session, before it is connected.
    ///
    /// Throws ``SFTPError/breakerOpen(retryAfter:cause:)`` while the server is left alone by all, and
    /// ``SFTPError/noSeat(retryAfter:)`` while there are as many sessions or handshakes as there may be.
    func enter(_ session: String) async throws(SFTPError)
    /// The session was opened.
    func opened(_ session: String) async
    /// The session could not be opened.
    func failed(_ session: String, _ error: SFTPError) async
    /// The session has ended, or was not tried after all. Returns at once.
    func left(_ session: String)
    /// Where news goes; replaces whoever listened before.
    func listen(_ listener: @escaping @Sendable (GateNews) -> Void)
    /// Gives up all that is held.
    func shutdown() async
}
