// What a final file has beside its bytes: mode, owner, group and time. What a target refuses of it is logged, and fails
// nothing.

public import Core
internal import Logging
internal import SFTP

/// Attributes that servers refuse apart from one another.
enum AttributeKind: String, CaseIterable {
    case mode, owner, time
}

extension FileAttributes {
    /// The attributes of one kind alone.
    func only(_ kind: AttributeKind) -> FileAttributes {
        switch kind {
        case .mode: FileAttributes(permissions: permissions)
        case .owner: FileAttributes(uid: uid, gid: gid)
        case .time: FileAttributes(accessTime: accessTime, modificationTime: modificationTime)
        }
    }

    /// Whether there is nothing to set.
    var isEmpty: Bool { self == FileAttributes() }
}

extension SFTPTarget {
    /// Sets attributes of an open file: all at once or, where that is refused, each kind on its own. Throws only where the
    /// server does not answer; answers what it refused.
    ///
    /// - Parameter asked: what a client or the operator asked for, and is told of.
    func set(
        _ attributes: FileAttributes,
        of handle: SFTPFile,
        _ file: PartFile,
        asked: [AttributeKind] = AttributeKind.allCases
    ) async throws(SFTPError) -> [AttributeKind] {
        let kinds = AttributeKind.allCases.filter { !attributes.only($0).isEmpty }
        if kinds.count > 1, try await Self.refusal(of: attributes, handle) == nil { return [] }
        var refused: [AttributeKind] = []
        for kind in kinds {
            guard let error = try await Self.refusal(of: attributes.only(kind), handle) else { continue }
            refused.append(kind)
            if asked.contains(kind) { note(kind.rawValue, of: file, "\(error)") }
        }
        return refused
    }

    private static func refusal(
        of attributes: FileAttributes,
        _ handle: SFTPFile
    ) async throws(SFTPError) -> SFTPError? {
        do throws(SFTPError) { try await handle.setAttributes(attributes) } catch {
            guard case .status = error, !error.isConnectionLoss else { throw error }
            return error
        }
        return nil
    }

    func note(_ what: String, of file: PartFile, _ reason: String) {
        logger.notice(
            "Attributes not set",
            metadata: [
                "upload": "\(file.upload)", "path": "\(file.path)", "attributes": "\(what)", "reason": "\(reason)",
            ]
        )
    }

    // MARK: Before the rename

    func mode(_ attributes: FinalAttributes) -> FileMode { attributes.mode ?? options.mode ?? .standard }

    /// What somebody asked for. The mode that all files get, and the time that Ferry knows its own by, nobody did.
    private func asked(_ attributes: FinalAttributes) -> [AttributeKind] {
        (attributes.mode ?? options.mode) == nil ? [.owner] : [.mode, .owner]
    }

    /// What a part file can have before it has its name, but for an owner.
    func beforeRename(modified: UInt32, _ attributes: FinalAttributes) -> FileAttributes {
        var wanted = FileAttributes(accessTime: modified, modificationTime: modified)
        wanted.permissions = mode(attributes).untilRenamed.bits
        return wanted
    }

    /// Sets what a part file can have before it has its name; answers what is left.
    ///
    /// - Parameter found: what it has so far.
    func setBeforeRename(
        _ handle: SFTPFile,
        _ file: PartFile,
        from found: FileAttributes,
        modified: UInt32,
        _ attributes: FinalAttributes,
        on session: SFTPSession
    ) async throws(SFTPError) -> FileAttributes {
        var wanted = beforeRename(modified: modified, attributes)
        let owner = owner(of: file, found)
        if owner?.uid == found.uid { (wanted.uid, wanted.gid) = (owner?.uid, owner?.gid) }
        let refused = try await set(wanted, of: handle, file, asked: asked(attributes))
        if let owner, owner.uid != found.uid { try await give(handle, file, to: owner, from: found, on: session) }
        var rest = rest(attributes)
        if refused.contains(.mode) { rest.permissions = nil }
        return rest
    }

    /// The configured owner and group; nil where the file has them. Version 3 sets both at once.
    private func owner(of file: PartFile, _ found: FileAttributes) -> FileAttributes? {
        guard options.owner != nil || options.group != nil else { return nil }
        guard let uid = found.uid, let gid = found.gid else {
            note(AttributeKind.owner.rawValue, of: file, "the target does not tell whose the file is")
            return nil
        }
        let owner = FileAttributes(uid: options.owner ?? uid, gid: options.group ?? gid)
        return owner == found.only(.owner) ? nil : owner
    }

    /// Some servers let an account give files away that it cannot open from then on. Whoever takes over must, so there
    /// the file stays the account's.
    private func give(
        _ handle: SFTPFile,
        _ file: PartFile,
        to owner: FileAttributes,
        from found: FileAttributes,
        on session: SFTPSession
    ) async throws(SFTPError) {
        guard try await set(owner, of: handle, file).isEmpty else { return }
        do throws(SFTPError) {
            try await session.open(absolute(file), Self.sealFlags(of: file)).close()
        } catch {
            guard case .status = error, !error.isConnectionLoss else { throw error }
            _ = try await set(found.only(.owner), of: handle, file)
            note(AttributeKind.owner.rawValue, of: file, "the account could not open it any more: \(error)")
        }
    }

    /// For a file that appears when it is closed: all that it is to have comes before.
    func setBeforeClosing(
        _ stream: OpenStream,
        _ file: PartFile,
        from found: FileAttributes,
        _ attributes: FinalAttributes
    ) async {
        var wanted = rest(attributes)
        wanted.permissions = mode(attributes).bits
        if let owner = owner(of: file, found) {
            // Nobody could look whether the account can still open it.
            if owner.uid == found.uid {
                (wanted.uid, wanted.gid) = (owner.uid, owner.gid)
            } else {
                note(AttributeKind.owner.rawValue, of: file, "the target shows a file only once it is closed")
            }
        }
        _ = try? await set(wanted, of: stream.handle, file, asked: asked(attributes) + [.time])
    }

    // MARK: After the rename

    /// What a file can have only once it has its name.
    func rest(_ attributes: FinalAttributes) -> FileAttributes {
        var rest = FileAttributes()
        let mode = mode(attributes)
        if mode.untilRenamed != mode { rest.permissions = mode.bits }
        if let time = attributes.modifiedAt {
            let seconds = UInt32(clamping: time.seconds)
            (rest.accessTime, rest.modificationTime) = (seconds, seconds)
        }
        return rest
    }

    /// Sets the rest of a final file that is not held open, if it is the one that was found, and flushes it.
    public func settle(
        _ file: PartFile,
        found: FileFacts,
        attributes: FinalAttributes
    ) async throws(TargetError) {
        let rest = rest(attributes)
        guard options.flushes || !rest.isEmpty else { return }
        let task = Task { try await self.pool.withSession { try await self.settle(file, found, rest, on: $0) } }
        // Also where the merge was cancelled: what it has begun to show is worth another moment.
        do { try await task.value } catch {
            if !rest.isEmpty { note("all", of: file, "\(error)") }
            throw TargetError(any: error)
        }
    }

    private func settle(
        _ file: PartFile,
        _ found: FileFacts,
        _ rest: FileAttributes,
        on session: SFTPSession
    ) async throws {
        let flushes = options.flushes && session.capabilities.supports(SFTPExtension.fsync)
        guard flushes || !rest.isEmpty else { return }
        let name = absolute(file.path)
        let handle = try await session.open(name, .read)
        do {
            if !rest.isEmpty {
                // What was opened may be what a link led to.
                let now = try await Self.lstat(name, on: session).map(FileFacts.init)
                if now == found, FileFacts(try await handle.fstat()) == found {
                    _ = try await set(rest, of: handle, file)
                } else {
                    note("all", of: file, "something else is at its path now")
                }
            }
            if flushes { try await handle.fsync() }
        } catch {
            try? await handle.close()
            throw error
        }
        try? await handle.close()
    }
}
