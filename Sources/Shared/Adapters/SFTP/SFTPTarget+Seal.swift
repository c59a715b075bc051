// The last look at a part file, and what it gets, before it has its name.

public import Core
internal import Glibc
internal import SFTP

/// A sealed part file, held open by its handle.
struct SealedSFTPFile: SealedPartFile {
    let target: SFTPTarget
    let file: PartFile
    let handle: SFTPFile
    let facts: FileFacts
    let isUntouched: Bool
    let flushes: Bool
    /// The attributes that it gets once it has its name.
    let rest: FileAttributes

    func settle() async throws(TargetError) {
        guard flushes || !rest.isEmpty else { return }
        let task = Task { () async throws -> Void in
            if !rest.isEmpty { _ = try await target.set(rest, of: handle, file) }
            if flushes { try await handle.fsync() }
        }
        // Also where the merge was cancelled: what it has begun to show is worth another moment.
        do { try await task.value } catch { throw TargetError(any: error) }
    }

    /// For OpenSSH, whose two ways to rename are one step each.
    func renameAndSettle(overwrite: Overwrite) async throws(TargetError) -> SettledRename? {
        let capabilities = handle.capabilities
        let isReplacing = overwrite == .replace
        guard capabilities.isOpenSSH, flushes, rest.isEmpty, handle.isAlive,
            !isReplacing || capabilities.supports(SFTPExtension.posixRename)
        else { return nil }
        do throws(SFTPError) {
            let refusal = try await handle.renameAndClose(to: target.absolute(file.path), isReplacing: isReplacing)
            return SettledRename(.renamed(atomic: true), isSettled: refusal == nil)
        } catch {
            // Why, and what else can be done, is found out step by step.
            if error.isUnexplained { return nil }
            throw TargetError(any: SFTPTarget.explained(error, ofRenaming: file))
        }
    }

    /// Nothing depends on the server's word.
    func close() async { handle.release() }
}

extension SFTPTarget {
    /// The time that a part file carries from when a part is written until somebody writes into it again: the last full
    /// hour. It is young enough for those who sweep old files away, and only what is written in that very second can be
    /// taken for it.
    static func mark() -> FileAttributes {
        let now = UInt32(clamping: time(nil))
        let hour = now - now % secondsOfMark
        return FileAttributes(accessTime: hour, modificationTime: hour)
    }

    private static let secondsOfMark: UInt32 = 3_600

    static func isMark(_ modified: Int64) -> Bool { modified % Int64(secondsOfMark) == 0 }

    /// Checks the part file's size and its time, sets its time and all that it can have by now, flushes it and keeps it
    /// open.
    public func seal(
        _ file: PartFile,
        size: Int64,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> any SealedPartFile {
        if let stream = streams.look(file) {
            return try await seal(stream, file, size: size, modified: modified, attributes)
        }
        let name = absolute(file)
        let wantsFlush = options.flushes
        return try await withSession { session in
            let flushes = wantsFlush && session.capabilities.supports(SFTPExtension.fsync)
            let (handle, seen) = try await self.openToSeal(name, file, on: session)
            do {
                let time = UInt32(clamping: modified)
                let hasPlace = seen.map(FileFacts.init).map { $0.kind == .file && $0.size == size } ?? false
                let (found, facts, rest) = try await self.settle(
                    handle,
                    file,
                    size: size,
                    modified: time,
                    attributes,
                    flushes: flushes,
                    atOnce: hasPlace,
                    on: session
                )
                let keepsTimes = facts.modified == Int64(time)
                return SealedSFTPFile(
                    target: self,
                    file: file,
                    handle: handle,
                    facts: facts,
                    isUntouched: !keepsTimes || Self.isMark(found.modified),
                    flushes: flushes,
                    rest: rest
                )
            } catch {
                try? await handle.close()
                throw error
            }
        }
    }

    /// Checks a part file's size, sets what it can have by now, and flushes it.
    ///
    /// - Parameter isAtOnce: whether OpenSSH, which does what it is asked for in that order, has said that the name is that of
    ///   a file of this size.
    /// - Returns: what the file was, what it is, and the attributes that it gets later.
    private func settle(
        _ handle: SFTPFile,
        _ file: PartFile,
        size: Int64,
        modified: UInt32,
        _ attributes: FinalAttributes,
        flushes: Bool,
        atOnce isAtOnce: Bool,
        on session: SFTPSession
    ) async throws -> (found: FileFacts, facts: FileFacts, rest: FileAttributes) {
        var atOnce: SettledFile?
        if isAtOnce, options.owner == nil, options.group == nil {
            atOnce = try await handle.settle(beforeRename(modified: modified, attributes), flushes: flushes)
        }
        let before: FileAttributes
        if let atOnce { before = atOnce.before } else { before = try await handle.fstat() }
        let found = FileFacts(before)
        guard found.size == size else {
            throw TargetError(.partFileLost, "\(file.name) has \(found.size) bytes instead of \(size)")
        }
        if let atOnce, atOnce.refusal == nil { return (found, FileFacts(atOnce.after), rest(attributes)) }
        let rest = try await setBeforeRename(handle, file, from: before, modified: modified, attributes, on: session)
        if flushes { try await handle.fsync() }
        return (found, FileFacts(try await handle.fstat()), rest)
    }

    /// Opens what is to be sealed; what OpenSSH said of the name just before.
    private func openToSeal(
        _ name: String,
        _ file: PartFile,
        on session: SFTPSession
    ) async throws -> (SFTPFile, seen: FileAttributes?) {
        let flags = Self.sealFlags(of: file)
        do throws(SFTPError) {
            guard session.capabilities.isOpenSSH else { return (try await session.open(name, flags), nil) }
            let opened = try await session.open(name, flags, resolving: directory(of: file.path), lookingAt: name)
            return (opened.file, try? opened.neighbour.get())
        } catch {
            guard case .status(let code, _, _, _) = error else { throw error }
            // Given to another owner by a worker that died before it could look.
            let isGiven = code == .permissionDenied && options.owner != nil
            guard code == .noSuchFile || isGiven else { throw error }
            throw TargetError(.partFileLost, "\(name) \(isGiven ? "cannot be opened any more" : "is gone")")
        }
    }

    /// A gateway may take opening for writing as a wish for other content. Attributes and flush need none of it.
    static func sealFlags(of file: PartFile) -> OpenFlags { file.strategy.shipsInMerge ? .read : [.read, .write] }
}
