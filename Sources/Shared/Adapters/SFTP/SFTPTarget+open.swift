// From a target's settings to a target that can be used.

internal import Core
public import Logging
public import SFTP

extension SFTPTarget {
    /// A target with a pool of so many sessions and a digest helper of its own; nothing is connected yet.
    public convenience init(_ ssh: SSHConfiguration, options: SFTPTargetOptions, sessions: Int, logger: Logger) {
        self.init(
            options: options,
            pool: SFTPPool(configuration: ssh, sessions: sessions, logger: logger),
            digests: DigestHelper(configuration: ssh, logger: logger)
        )
    }
}
