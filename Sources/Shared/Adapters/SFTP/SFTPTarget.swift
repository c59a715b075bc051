// A target over SFTP: where its files are, how parts get there, and how each is proven.

public import Core
internal import NIOCore
public import SFTP

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

    /// The options.
    public init(root: String, flushes: Bool = true, verify: Verify = .auto) {
        self.root = root
        self.flushes = flushes
        self.verify = verify
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

    /// A target with its sessions. The pool and the helper are the target's from here on.
    public init(options: SFTPTargetOptions, pool: SFTPPool, digests: DigestHelper) {
        self.options = options
        self.pool = pool
        self.digests = digests
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
        await digests.shutdown()
        await pool.shutdown()
    }

    // MARK: Names

    func absolute(_ path: TargetPath) -> String { join(options.root, path.description) }

    func directory(of path: TargetPath) -> String {
        path.directory.isEmpty ? options.root : join(options.root, path.directory.joined(separator: "/"))
    }

    func absolute(_ file: PartFile) -> String { join(directory(of: file.path), file.name) }

    private func join(_ directory: String, _ name: String) -> String {
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

    // MARK: Shipping

    /// Writes a part into the part file, flushes it, and proves that it arrived.
    public func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification {
        let name = absolute(file)
        let part = reader.part
        let flushes = options.flushes
        let written = try await withSession { session in
            let method = await self.verification(on: session, size: part.size)
            let flags: OpenFlags = method == .readback ? [.read, .write] : .write
            let handle: SFTPFile
            do {
                // Never CREAT: a late worker must not bring a finished part file back.
                handle = try await session.open(name, flags, permissions: nil)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                throw TargetError(.partFileLost, "the part file \(file.name) is gone")
            }
            do {
                try await Self.write(reader, to: handle, piece: session.writeLength)
                // Before the proof: what is written after it leaves another time.
                async let isMarked: Void? = try? handle.setAttributes(Self.mark())
                if flushes, session.capabilities.supports(SFTPExtension.fsync) { try await handle.fsync() }
                _ = await isMarked
                if method == .readback { try await Self.readBack(part, from: handle) }
                try await handle.close()
            } catch SFTPError.status(.failure, let message, let operation, let path) {
                let error = SFTPError.status(code: .failure, message: message, operation: operation, path: path)
                try? await handle.close()
                throw await self.explain(error, on: session, needed: part.size)
            } catch {
                try? await handle.close()
                throw error
            }
            return method
        }
        if written == .digest { try await proveByDigest(part, in: file) }
        return written
    }

    private func proveByDigest(_ part: Part, in file: PartFile) async throws(TargetError) {
        guard let found = try await digests.digest(of: absolute(file), offset: part.offset, size: part.size) else {
            throw TargetError(.partFileLost, "the part file \(file.name) is gone")
        }
        guard found == part.digest else {
            throw TargetError(
                .partFileLost,
                "\(file.name) at \(part.offset): expected \(part.digest), found \(found)"
            )
        }
    }

    /// Proves a part once more, by a digest taken on the target or by reading it back.
    public func prove(_ part: Part, in file: PartFile) async throws(TargetError) {
        if await digests.isAvailable { return try await proveByDigest(part, in: file) }
        let name = absolute(file)
        try await withSession { session in
            let handle: SFTPFile
            do {
                handle = try await session.open(name, .read, permissions: nil)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                throw TargetError(.partFileLost, "the part file \(file.name) is gone")
            }
            do { try await Self.readBack(part, from: handle) } catch {
                try? await handle.close()
                throw error
            }
            try? await handle.close()
        }
    }

    private static func write(_ reader: any PartReader, to handle: SFTPFile, piece: Int) async throws {
        var position: Int64 = 0
        let size = reader.part.size
        try await handle.write(at: UInt64(reader.part.offset)) {
            guard position < size else { return nil }
            let chunk = try await reader.read(at: position, count: piece)
            guard chunk.count > 0 else {
                throw StagingError.wrongLength(expected: size, received: position)
            }
            position += Int64(chunk.count)
            if let buffer = chunk as? ByteBuffer { return buffer }
            return chunk.withUnsafeBytes { ByteBuffer(bytes: $0) }
        }
    }

    private static func readBack(_ part: Part, from handle: SFTPFile) async throws {
        let found = try await sha256(of: handle, at: part.offset, length: part.size)
        guard found == part.digest else {
            throw TargetError(
                .partFileLost,
                "\(handle.path) at \(part.offset): expected \(part.digest), read back \(found)"
            )
        }
    }

    static func sha256(of handle: SFTPFile, at offset: Int64, length: Int64) async throws -> SHA256Digest {
        let hasher = try SHA256Hasher()
        try await handle.read(at: UInt64(offset), length: UInt64(length)) { piece in
            try piece.withUnsafeReadableBytes { try hasher.update($0) }
        }
        return try hasher.finish()
    }

    /// How a part will be proven: where nothing else is asked for, by a digest if the target runs commands, by reading
    /// back small parts and where nothing is flushed, else by size.
    private func verification(on session: SFTPSession, size: Int64) async -> Verification {
        switch options.verify {
        case .digest: return .digest
        case .size: return .size
        case .readback: return .readback
        case .auto:
            // Taking a digest costs two processes on the target: reading a few bytes back is cheaper.
            if size <= 65_536 { return .readback }
            if await digests.isAvailable { return .digest }
            let canFlush = session.capabilities.supports(SFTPExtension.fsync) || !options.flushes
            return size <= Self.readBackSize || !canFlush ? .readback : .size
        }
    }

    /// Version 3 has one code for most failures (draft-ietf-secsh-filexfer-02 §7): a full disk is told from the rest
    /// by looking at the space that is left.
    func explain(_ error: SFTPError, on session: SFTPSession, needed: Int64) async -> TargetError {
        if session.capabilities.supports(SFTPExtension.statvfs),
            let space = try? await session.statvfs(options.root), space.availableBytes < UInt64(max(needed, 1))
        {
            return TargetError(.diskFull, "\(space.availableBytes) bytes are left on the target: \(error)")
        }
        return TargetError(error)
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
