// A target over SFTP: where its files are, how parts get there, and how each is proven.

public import Core
internal import Logging
internal import NIOCore
internal import SFTP

/// How a target is used, from configuration.
public struct SFTPTargetOptions: Hashable, Sendable {
    /// How shipped bytes are proven.
    public enum Verify: String, Hashable, Sendable {
        /// The strongest way that the target allows at no great cost.
        case auto
        /// By a SHA-256 taken on the target.
        case digest
        /// By size, the transport's MAC and fsync.
        case size
        /// By reading back.
        case readback
    }

    /// The directory that all paths are relative to; absolute.
    public var root: String
    /// Whether the target is asked to flush.
    public var flushes: Bool
    /// How shipped bytes are proven.
    public var verify: Verify
    /// How files are built; nil leaves it to what the target can do.
    public var merge: MergeStrategy?
    /// The mode of final files whose client asked for none; nil for `FileMode.standard`.
    public var mode: FileMode?
    /// The numeric owner of final files; nil for the account's own.
    public var owner: UInt32?
    /// The numeric group of final files; nil for the one that the target gives them.
    public var group: UInt32?
    /// What the names of hidden files end with by which the target is tried, `.ferry-probe.<…>`. Whoever has the same in
    /// its next life finds what it left when it was killed.
    public var probe = String(UInt64.random(in: .min ... .max), radix: 36)

    /// The options.
    public init(root: String, flushes: Bool = true, verify: Verify = .auto, merge: MergeStrategy? = nil) {
        self.root = root
        self.flushes = flushes
        self.verify = verify
        self.merge = merge
    }
}

/// A target that is reached over SFTP, with a pool of sessions and, where it runs commands, a helper that takes
/// digests.
public final class SFTPTarget: TargetSession {
    /// Files up to this size are read back where no digest can be taken: one round trip more, at most.
    static let readBackSize: Int64 = 1 << 20

    let options: SFTPTargetOptions
    let pool: SFTPPool
    let digests: DigestHelper
    let scripts: MergeScript
    let probes: ProbeMemory
    let streams = OpenStreams()
    let homes = KnownDirectories()
    let account: SSHConfiguration
    let gate: (any ConnectionGate)?
    let logger: Logger
    /// Told of every step of an assembly; what it throws ends the assembly there.
    let reached: AssemblyWatch
    /// How many bytes may be in their places without being recorded.
    let recordedEvery: Int64

    /// A target with a pool of so many sessions and helpers of its own; nothing is connected yet.
    init(
        _ ssh: SSHConfiguration,
        options: SFTPTargetOptions,
        sessions: Int,
        gate: (any ConnectionGate)? = nil,
        logger: Logger,
        recordedEvery: Int64 = SFTPTarget.unrecorded.bytes,
        reached: @escaping AssemblyWatch
    ) {
        self.options = options
        pool = SFTPPool(configuration: ssh, limits: PoolLimits(sessions: sessions), gate: gate, logger: logger)
        digests = DigestHelper(configuration: ssh, gate: gate, logger: logger)
        scripts = MergeScript(configuration: ssh, gate: gate, logger: logger)
        probes = ProbeMemory(configuration: ssh, gate: gate, logger: logger)
        account = ssh
        self.gate = gate
        self.logger = logger
        self.recordedEvery = recordedEvery
        self.reached = reached
    }

    /// Whether the target is left alone now.
    public var breaker: BreakerState {
        switch pool.breakerState {
        case .closed: .closed
        case .open: .open
        case .halfOpen: .halfOpen
        }
    }

    /// Closes all sessions.
    public func shutdown() async {
        await streams.abandonAll()
        await digests.shutdown()
        await pool.shutdown()
    }

    // MARK: Names

    func absolute(_ path: TargetPath) -> String { join(options.root, path.description) }

    func directory(of path: TargetPath) -> String {
        path.directory.isEmpty ? options.root : join(options.root, path.directory.joined(separator: "/"))
    }

    func absolute(_ file: PartFile) -> String { join(directory(of: file.path), file.name) }

    /// The directory of parts that lie apart.
    func partsDirectory(_ file: PartFile) -> String { join(directory(of: file.path), file.directoryName) }

    func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    // MARK: Sessions

    /// Runs work on a session, in the domain's words.
    func withSession<Answer: Sendable>(
        _ body: @Sendable (SFTPSession) async throws -> Answer
    ) async throws(TargetError) -> Answer {
        do { return try await pool.withSession(body) } catch { throw TargetError(any: error) }
    }

    /// Attributes of a name, not following a link; nil for nothing there.
    static func lstat(_ path: String, on session: SFTPSession) async throws(SFTPError) -> FileAttributes? {
        do {
            return try await session.lstat(path)
        } catch .status(.noSuchFile, _, _, _) {
            return nil
        } catch {
            guard error.isUnexplained, try await !isDirectory(above: path, on: session) else { throw error }
            return nil
        }
    }

    /// Attributes of what a path leads to; nil for nothing there.
    static func stat(_ path: String, on session: SFTPSession) async throws(SFTPError) -> FileAttributes? {
        do {
            return try await session.stat(path)
        } catch .status(.noSuchFile, _, _, _) {
            return nil
        } catch {
            // Below what is no directory there is nothing, and a link in a circle leads to nothing. OpenSSH says so;
            // ProFTPD has one code for this and for whatever else goes wrong.
            guard error.isUnexplained else { throw error }
            if try await !isDirectory(above: path, on: session) { return nil }
            guard try await lstat(path, on: session)?.isSymbolicLink == true else { throw error }
            return nil
        }
    }

    /// Whether what a path lies in is a directory. The root lies in itself.
    private static func isDirectory(above path: String, on session: SFTPSession) async throws(SFTPError) -> Bool {
        let components = path.split(separator: "/")
        guard components.count > 1 else { return true }
        let parent = "/" + components.dropLast().joined(separator: "/")
        return try await stat(parent, on: session)?.isDirectory == true
    }

    /// Whether a resolved path is the resolved root or lies in it, compared component by component, so that
    /// `/srv/incoming2` does not pass for `/srv/incoming`.
    static func isInside(_ path: String, _ root: String) -> Bool {
        path.split(separator: "/").starts(with: root.split(separator: "/"))
    }

    /// What lies at a path; nil for nothing.
    public func facts(of path: TargetPath) async throws(TargetError) -> FileFacts? {
        let name = absolute(path)
        return try await withSession { try await Self.lstat(name, on: $0).map(FileFacts.init) }
    }

    /// What lies at a part file's name; nil for nothing.
    public func facts(of file: PartFile) async throws(TargetError) -> FileFacts? {
        let name = absolute(file)
        return try await withSession { try await Self.lstat(name, on: $0).map(FileFacts.init) }
    }
}

extension FileFacts {
    init(_ attributes: FileAttributes) {
        let kind: Kind =
            if attributes.isSymbolicLink {
                .symbolicLink
            } else if attributes.isDirectory {
                .directory
            } else if attributes.isRegular || attributes.permissions == nil {
                .file
            } else {
                .other
            }
        self.init(
            kind: kind,
            size: Int64(clamping: attributes.size ?? 0),
            modified: Int64(attributes.modificationTime ?? 0)
        )
    }
}
