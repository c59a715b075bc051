// From a sealed part file to the final one: the rename, and the removal of what is left.

public import Core
internal import SFTP

extension SFTPTarget {
    /// Gives the part file its final name: in one step wherever the target can.
    public func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult {
        if let stream = streams.take(file) { return try await publish(stream, file, overwrite: overwrite) }
        let part = absolute(file)
        let final = absolute(file.path)
        return try await withSession { session in
            do {
                if overwrite == .replace, session.capabilities.supports(SFTPExtension.posixRename) {
                    let hadLink = try await Self.removeLink(final, on: session)
                    try await session.posixRename(part, to: final)
                    return .renamed(atomic: !hadLink)
                }
                return try await Self.plainRename(part, to: final, overwrite: overwrite, on: session)
            } catch let error as SFTPError {
                throw Self.explained(error, ofRenaming: file)
            }
        }
    }

    /// What a rename's error says: that nothing has the old name is no answer.
    static func explained(_ error: SFTPError, ofRenaming file: PartFile) -> any Error {
        guard case .status(.noSuchFile, _, _, _) = error else { return error }
        // Renamed by somebody, or lost: only a look at both names tells.
        return TargetError(.interrupted, "the part file \(file.name) vanished during the rename")
    }

    /// ProFTPD's rename replaces what a link leads to, wherever that is. So where the server is not OpenSSH, a link that
    /// appeared at the final name goes first; whether there was one.
    private static func removeLink(_ final: String, on session: SFTPSession) async throws(SFTPError) -> Bool {
        guard !session.capabilities.isOpenSSH, try await lstat(final, on: session)?.isSymbolicLink == true else {
            return false
        }
        try await remove(final, on: session)
        return true
    }

    /// Version 3's rename fails if the new name is taken (draft-ietf-secsh-filexfer-02 §6.5).
    private static func plainRename(
        _ part: String,
        to final: String,
        overwrite: Overwrite,
        on session: SFTPSession
    ) async throws -> RenameResult {
        do throws(SFTPError) {
            try await renameToFreeName(part, to: final, on: session)
        } catch {
            guard error.isUnexplained, try await lstat(final, on: session) != nil else { throw error }
            // ProFTPD looks at the new name first: what is taken says nothing about the part file.
            guard try await lstat(part, on: session) != nil else {
                throw SFTPError.status(code: .noSuchFile, message: "", operation: "rename", path: part)
            }
            guard overwrite == .replace else { return .taken }
            // A cancelled commit must not stop between the two renames.
            return try await Task { try await replaceByBackup(part, final, on: session) }.value
        }
        // An attempt that was interrupted between its two renames left the name free, and a backup.
        let backup = part + backupSuffix
        guard overwrite == .replace, (try? await lstat(backup, on: session)) != nil else {
            return .renamed(atomic: true)
        }
        try? await session.remove(backup)
        return .renamed(atomic: false)
    }

    /// Gives a file a name, or fails where the name is taken, even by what appears this very moment.
    ///
    /// OpenSSH's rename makes a link and removes the old name. Other servers look at the new name and then rename, which
    /// replaces what has appeared in between: for them the two steps are done from here, where they make links. Whoever
    /// is interrupted between the two leaves both names, with OpenSSH as from here; the commit that comes next sees it.
    private static func renameToFreeName(
        _ part: String,
        to final: String,
        on session: SFTPSession
    ) async throws(SFTPError) {
        guard !session.capabilities.isOpenSSH, session.capabilities.supports(SFTPExtension.hardlink) else {
            return try await session.rename(part, to: final)
        }
        do throws(SFTPError) {
            try await session.hardlink(part, to: final)
        } catch .status(.noSuchFile, let message, let operation, let path) {
            throw .status(code: .noSuchFile, message: message, operation: operation, path: path)
        } catch {
            // A file system without hard links, or a name that is taken.
            guard !error.isConnectionLoss, error != .cancelled, try await lstat(final, on: session) == nil else {
                throw error
            }
            return try await session.rename(part, to: final)
        }
        try await session.remove(part)
    }

    /// For servers that cannot replace in one step: the old file steps aside, and comes back if the new one cannot
    /// take its place.
    private static func replaceByBackup(
        _ part: String,
        _ final: String,
        on session: SFTPSession
    ) async throws -> RenameResult {
        if let found = try await lstat(final, on: session), found.isDirectory {
            throw TargetError(.pathRefused, "\(final) is a directory")
        }
        let backup = part + backupSuffix
        // One that an interrupted attempt left; the final name is taken by something newer.
        try await remove(backup, on: session)
        try await session.rename(final, to: backup)
        do {
            try await session.rename(part, to: final)
        } catch {
            try? await session.rename(backup, to: final)
            throw error
        }
        try? await session.remove(backup)
        return .renamed(atomic: false)
    }

    /// Removes the old file of a replacement that was interrupted after its second rename.
    public func removeBackup(of file: PartFile) async throws(TargetError) -> Bool {
        let backup = absolute(file) + Self.backupSuffix
        return try await withSession { session in
            guard !session.capabilities.supports(SFTPExtension.posixRename),
                try await Self.lstat(backup, on: session) != nil
            else { return false }
            try await Self.remove(backup, on: session)
            return true
        }
    }

    /// What the name of a replaced file ends with until the new one has its place.
    static let backupSuffix = ".old"

    /// The SHA-256 of a final file, taken on the target or by reading all of it; nil where no regular file is.
    public func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest? {
        let name = absolute(path)
        guard try await facts(of: path)?.kind == .file else { return nil }
        if await digests.isAvailable { return try await digests.digest(of: name, offset: 0, size: size) }
        return try await withSession { session in
            let handle: SFTPFile
            do {
                handle = try await session.open(name, .read, permissions: nil)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                return nil
            }
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

    // MARK: Removing

    /// Removes one part file, and its directory of parts; none is no error.
    public func remove(_ file: PartFile) async throws(TargetError) {
        let name = absolute(file)
        let parts = partsDirectory(file)
        try await withSession { session in
            try await Self.remove(name, on: session)
            guard file.strategy.keepsPartsApart, try await Self.lstat(parts, on: session)?.isDirectory == true else {
                return
            }
            try await Self.removeParts(parts, on: session)
        }
    }

    /// Removes a directory of parts. What is not Ferry's own in it stays, and it with it.
    private static func removeParts(_ directory: String, on session: SFTPSession) async throws(SFTPError) {
        // A late worker may put a part into it meanwhile.
        for attempt in 1... {
            let entries: [DirectoryEntry]
            do throws(SFTPError) {
                entries = try await session.list(directory, limit: 1_000_000)
            } catch .status(.noSuchFile, _, _, _) {
                return
            }
            var isForeign = false
            for entry in entries {
                let name = "\(directory)/\(entry.name)"
                if entry.attributes.isDirectory, entry.name == PartsDirectory.lockDirectory {
                    try? await session.rmdir(name)
                } else if !entry.attributes.isDirectory, PartsDirectory.isOwn(entry.name) {
                    try await remove(name, on: session)
                } else {
                    isForeign = true
                }
            }
            if isForeign { return }
            do throws(SFTPError) { return try await session.rmdir(directory) } catch {
                if case .status(.noSuchFile, _, _, _) = error { return }
                guard case .status(.failure, _, _, _) = error, attempt < 3 else { throw error }
            }
        }
    }

    /// Removes an upload's part files and directories of parts beside a final path, found by listing.
    public func removePartFiles(
        of upload: UploadID,
        beside path: TargetPath,
        before generation: Generation?
    ) async throws(TargetError) -> Int {
        let directory = directory(of: path)
        let final = absolute(path)
        let root = options.root
        return try await withSession { session in
            let entries: [DirectoryEntry]
            do {
                // A directory that became a link to elsewhere holds nothing of this upload.
                let home = try await session.realpath(root)
                guard Self.isInside(try await session.realpath(directory), home) else { return 0 }
                entries = try await session.list(directory, limit: 1_000_000)
            } catch SFTPError.status(.noSuchFile, _, _, _) {
                return 0
            }
            var removed = 0
            for entry in entries {
                if entry.attributes.isDirectory {
                    guard let found = PartFile.generation(inDirectoryName: entry.name, of: upload) else { continue }
                    if let generation, found >= generation { continue }
                    try await Self.removeParts("\(directory)/\(entry.name)", on: session)
                    removed += 1
                } else if let found = PartFile.generation(inName: entry.name, of: upload) {
                    if let generation, found >= generation { continue }
                    try await Self.remove("\(directory)/\(entry.name)", on: session)
                    removed += 1
                } else if generation == nil, Self.isBackup(entry.name, of: upload) {
                    // Where nothing has taken its place, the backup is the only copy of somebody's file.
                    guard try await Self.lstat(final, on: session) != nil else { continue }
                    try await Self.remove("\(directory)/\(entry.name)", on: session)
                }
            }
            return removed
        }
    }

    private static func isBackup(_ name: String, of upload: UploadID) -> Bool {
        name.hasSuffix(backupSuffix)
            && PartFile.generation(inName: String(name.dropLast(backupSuffix.count)), of: upload) != nil
    }

    private static func remove(_ name: String, on session: SFTPSession) async throws(SFTPError) {
        do { try await session.remove(name) } catch .status(.noSuchFile, _, _, _) { return }
    }
}
