// From a target's settings to a target that can be used.

internal import Core
public import Logging
public import SFTP

extension SFTPTarget {
    /// A target with a pool of so many sessions and helpers of its own; nothing is connected yet.
    ///
    /// - Parameter gate: what all processes may do together; nil for a process that is alone.
    public convenience init(
        _ ssh: SSHConfiguration,
        options: SFTPTargetOptions,
        sessions: Int,
        gate: (any ConnectionGate)? = nil,
        logger: Logger
    ) {
        self.init(ssh, options: options, sessions: sessions, gate: gate, logger: logger) { _ in }
    }
}
