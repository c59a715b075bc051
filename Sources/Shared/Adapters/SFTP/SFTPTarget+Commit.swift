// From a complete part file to the final one: seal, rename, and the removal of what is left.

public import Core
internal import SFTP

/// A sealed part file, held open by its handle.
private struct SealedSFTPFile: SealedPartFile {
    let handle: SFTPFile
    let facts: FileFacts
    let flushes: Bool

    func sync() async throws(TargetError) {
        guard flushes else { return }
        do { try await handle.fsync() } catch { throw TargetError(error) }
    }

    func close() async { try? await handle.close() }
}

extension SFTPTarget {
    /// Checks the part file's size, sets its time and mode, flushes it and keeps it open.
    public func seal(
        _ file: PartFile,
        size: Int64,
        modified: Int64
    ) async throws(TargetError) -> any SealedPartFile {
        let name = absolute(file)
        let wantsFlush = options.flushes
        return try await withSession { session in
            let flushes = wantsFlush && session.capabilities.supports(SFTPExtension.fsync)
            let handle: SFTPFile
            do {
                handle = try await session.open(name, [.read, .write], permissions: nil)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                throw TargetError(.partFileLost, "the part file \(file.name) is gone")
            }
            do {
                let found = FileFacts(try await handle.fstat())
                guard found.size == size else {
                    throw TargetError(.partFileLost, "\(file.name) has \(found.size) bytes instead of \(size)")
                }
                // Best effort: a target that refuses attributes still gets its file.
                let time = UInt32(clamping: modified)
                try? await handle.setAttributes(
                    FileAttributes(permissions: 0o644, accessTime: time, modificationTime: time)
                )
                if flushes { try await handle.fsync() }
                let facts = FileFacts(try await handle.fstat())
                return SealedSFTPFile(handle: handle, facts: facts, flushes: flushes)
            } catch {
                try? await handle.close()
                throw error
            }
        }
    }

    /// Gives the part file its final name: in one step wherever the target can.
    public func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult {
        let part = absolute(file)
        let final = absolute(file.path)
        return try await withSession { session in
            do {
                if overwrite == .replace, session.capabilities.supports(SFTPExtension.posixRename) {
                    try await session.posixRename(part, to: final)
                    return .renamed(atomic: true)
                }
                return try await Self.plainRename(part, to: final, overwrite: overwrite, on: session)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                // Renamed by somebody, or lost: only a look at both names tells.
                throw TargetError(.interrupted, "the part file \(file.name) vanished during the rename")
            }
        }
    }

    /// Version 3's rename fails if the new name is taken (draft-ietf-secsh-filexfer-02 §6.5).
    private static func plainRename(
        _ part: String,
        to final: String,
        overwrite: Overwrite,
        on session: SFTPSession
    ) async throws -> RenameResult {
        do {
            try await session.rename(part, to: final)
            return .renamed(atomic: true)
        } catch SFTPError.status(.failure, let message, let operation, let path) {
            guard try await lstat(final, on: session) != nil else {
                throw SFTPError.status(code: .failure, message: message, operation: operation, path: path)
            }
            guard overwrite == .replace else { return .taken }
            let backup = part + ".old"
            try await session.rename(final, to: backup)
            try await session.rename(part, to: final)
            try? await session.remove(backup)
            return .renamed(atomic: false)
        }
    }

    /// The SHA-256 of a final file: taken on the target, or by reading all of it.
    public func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest? {
        let name = absolute(path)
        if await digests.isAvailable { return try await digests.digest(of: name, offset: 0, size: size) }
        return try await withSession { session in
            let handle = try await session.open(name, .read, permissions: nil)
            do {
                let digest = try await Self.sha256(of: handle, at: 0, length: size)
                try? await handle.close()
                return digest
            } catch {
                try? await handle.close()
                throw error
            }
        }
    }

    /// Flushes a final file whose part file somebody else renamed.
    public func sync(_ path: TargetPath) async throws(TargetError) {
        guard options.flushes else { return }
        let name = absolute(path)
        try await withSession { session in
            guard session.capabilities.supports(SFTPExtension.fsync) else { return }
            let handle = try await session.open(name, .read, permissions: nil)
            do { try await handle.fsync() } catch {
                try? await handle.close()
                throw error
            }
            try? await handle.close()
        }
    }

    // MARK: Removing

    /// Removes one part file; none is no error.
    public func remove(_ file: PartFile) async throws(TargetError) {
        let name = absolute(file)
        try await withSession { try await Self.remove(name, on: $0) }
    }

    /// Removes an upload's part files beside a final path, found by listing.
    public func removePartFiles(
        of upload: UploadID,
        beside path: TargetPath,
        before generation: Generation?
    ) async throws(TargetError) -> Int {
        let directory = directory(of: path)
        let prefix = PartFile.prefix(of: upload)
        return try await withSession { session in
            let entries: [DirectoryEntry]
            do {
                entries = try await session.list(directory, limit: 1_000_000)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                return 0
            }
            var removed = 0
            for entry in entries where entry.name.hasPrefix(prefix) {
                if let generation {
                    let found = PartFile.generation(inName: entry.name, of: upload)
                    guard let found, found < generation else { continue }
                }
                try await Self.remove("\(directory)/\(entry.name)", on: session)
                removed += 1
            }
            return removed
        }
    }

    private static func remove(_ name: String, on session: SFTPSession) async throws(SFTPError) {
        do { try await session.remove(name) } catch .status(.noSuchFile, _, _, _) { return }
    }

    // MARK: Inspecting

    /// Connects if need be, and says what the target can do.
    public func inspect() async throws(TargetError) -> [String: String] {
        let root = options.root
        let takesDigests = await digests.isAvailable
        return try await withSession { session in
            let capabilities = session.capabilities
            guard FileFacts(try await session.stat(root)).kind == .directory else {
                throw TargetError(.pathRefused, "the root \(root) is not a directory")
            }
            var facts = [
                "server": capabilities.transport.serverIdent,
                "cipher": capabilities.transport.cipher,
                "mac": capabilities.transport.mac,
                "hostKey": capabilities.transport.hostKeyFingerprint,
                "extensions": capabilities.extensions.keys.sorted().joined(separator: " "),
                "writeLength": String(session.writeLength),
                "merge": "in-place",
                "verify": takesDigests
                    ? "digest" : capabilities.supports(SFTPExtension.fsync) ? "size" : "readback",
                "exec": takesDigests ? "yes" : "no",
            ]
            if capabilities.supports(SFTPExtension.statvfs) {
                facts["freeBytes"] = String(try await session.statvfs(root).availableBytes)
            }
            return facts
        }
    }
}
