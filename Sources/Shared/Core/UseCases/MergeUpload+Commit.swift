// The commit: one rename, and how to find out whether it happened when its answer was lost.

extension MergeUpload {
    /// Renames for the first time: nobody can have done it yet, so a final file that is there is somebody else's.
    func commit(
        _ upload: Upload,
        file: PartFile,
        finalFile: FinalFile,
        fence: Fence,
        sealed: any SealedPartFile
    ) async throws(WorkError) {
        let session = try ports.session(of: upload)
        let overwrite = upload.record.overwrite
        let renamed: SettledRename
        do throws(TargetError) {
            if let atOnce = try await sealed.renameAndSettle(overwrite: overwrite) {
                renamed = atOnce
            } else {
                renamed = SettledRename(try await session.rename(file, overwrite: overwrite), isSettled: false)
            }
        } catch {
            // Whatever it said, it may have happened.
            if error.kind == .cancelled { throw .target(error) }
            if error.kind == .partFileLost { throw .permanent(Failure(.targetCorrupts, error.detail)) }
            return try await settleCommit(upload, fence: fence)
        }
        switch renamed.result {
        case .renamed(let atomic):
            // Carries the new name to disk on journalling file systems; directories cannot be flushed over SFTP.
            if !renamed.isSettled, (try? await sealed.settle()) == nil {
                try? await session.settle(file, found: sealed.facts, attributes: upload.record.attributes)
            }
            try await finish(upload, atomic: atomic, fence: fence)
        case .taken:
            try await settleTaken(upload, file: file, finalFile: finalFile, fence: fence)
        }
    }

    /// Goes on where a commit was left: by another worker, or by this one when an answer did not come. Looks at both
    /// names, and never delivers a second time what may have been delivered and taken away.
    func settleCommit(_ upload: Upload, fence: Fence) async throws(WorkError) {
        guard let finalFile = upload.finalFile, let file = upload.partFile else {
            throw .permanent(Failure(.internalError, "a commit was begun without a generation or a final file"))
        }
        let session = try ports.session(of: upload)
        let path = upload.record.path
        let part = try await ports.reaching { () throws(TargetError) in try await session.facts(of: file) }
        guard let part else {
            let found = try await ports.reaching { () throws(TargetError) in try await session.facts(of: path) }
            guard let found, try await isOurs(found, upload, finalFile) else {
                let seen = found.map { "a \($0.kind) of \($0.size) bytes" } ?? "nothing"
                // Whoever renamed may have said so in staging. A person decides now: the bytes are kept for that, even if
                // the index is lost meanwhile.
                try await ports.reading { () throws(StagingError) in
                    try await ports.staging.unmark(.done, on: upload.id)
                }
                throw .permanent(
                    Failure(
                        .commitUnknown,
                        "the part file is gone, and at the final path is \(seen): the file was renamed and then "
                            + "replaced or removed by somebody, or it was lost"
                    )
                )
            }
            try? await session.settle(file, found: found, attributes: upload.record.attributes)
            let wasOneStep = try await !ports.reaching { () throws(TargetError) in
                upload.record.overwrite == .replace ? try await session.removeBackup(of: file) : false
            }
            return try await finish(upload, atomic: wasOneStep, fence: fence)
        }
        if !part.matches(finalFile) { try await proveSealed(upload, file) }
        let result = try await ports.reaching { () throws(TargetError) in
            try await session.rename(file, overwrite: upload.record.overwrite)
        }
        switch result {
        case .renamed(let atomic):
            try? await session.settle(file, found: part, attributes: upload.record.attributes)
            try await finish(upload, atomic: atomic, fence: fence)
        case .taken:
            try await settleTaken(upload, file: file, finalFile: finalFile, fence: fence)
        }
    }

    /// Somebody has written into the part file since it was sealed. A commit that has begun cannot go back, so other
    /// bytes are a dead letter, whose replay builds the file anew.
    private func proveSealed(_ upload: Upload, _ file: PartFile) async throws(WorkError) {
        do throws(WorkError) { try await proveAgain(upload, file) } catch {
            guard case .target(let reason) = error, reason.kind == .partFileLost else { throw error }
            throw .permanent(Failure(.targetCorrupts, "the part file changed while it was committed: \(reason)"))
        }
    }

    /// The final path is taken and must not be replaced: by this upload, if a rename that links and unlinks died
    /// between the two, or if the index forgot a commit; by somebody else otherwise.
    private func settleTaken(
        _ upload: Upload,
        file: PartFile,
        finalFile: FinalFile,
        fence: Fence
    ) async throws(WorkError) {
        let session = try ports.session(of: upload)
        let found = try await ports.reaching { () throws(TargetError) in
            try await session.facts(of: upload.record.path)
        }
        guard let found, found.kind == .file, found.size == finalFile.size,
            try await hasOurContent(upload, finalFile)
        else {
            throw .permanent(
                Failure(.targetExists, "a file is at \(upload.record.path) already, and the upload must not replace it")
            )
        }
        try await ports.reaching { () throws(TargetError) in try await session.remove(file) }
        // One of the same content and another time may be a stranger's, whose attributes are his own.
        if found.matches(finalFile) {
            try? await session.settle(file, found: found, attributes: upload.record.attributes)
        }
        try await finish(upload, atomic: true, fence: fence)
    }

    private func isOurs(_ found: FileFacts, _ upload: Upload, _ finalFile: FinalFile) async throws(WorkError) -> Bool {
        guard found.kind == .file, found.size == finalFile.size else { return false }
        // A gateway's times may be anything. One that a client asked for is never taken for the mark of a file.
        if found.matches(finalFile), upload.strategy?.shipsInMerge != true { return true }
        return try await hasOurContent(upload, finalFile)
    }

    /// Whether the final file has this upload's bytes.
    private func hasOurContent(_ upload: Upload, _ finalFile: FinalFile) async throws(WorkError) -> Bool {
        let session = try ports.session(of: upload)
        let expected: SHA256Digest
        if let digest = finalFile.digest { expected = digest } else { expected = try await wholeDigest(of: upload) }
        return try await ports.reaching { () throws(TargetError) in
            try await session.digest(of: upload.record.path, size: finalFile.size)
        } == expected
    }

    /// Records the commit, then cleans up; a clean job in the outbox does it if this worker dies on the way. Staging
    /// comes first: should the index be lost in this moment, it learns there that the file has appeared.
    private func finish(_ upload: Upload, atomic: Bool, fence: Fence) async throws(WorkError) {
        if let finalFile = upload.finalFile {
            try await cleaning.mark(.done(finalFile, at: ports.surroundings.now()), on: upload.id)
        }
        let change: Change<WorkRefusal>
        do throws(StoreError) {
            change = try await ports.store.finish(upload.id, fence: fence, atomic: atomic)
        } catch .rebuilding {
            return ports.events.publish(.uploadDone, try await cleaning.tellEnd(of: upload.id))
        } catch {
            throw .store(error)
        }
        // Refused: another has taken the commit over, and settles it. That the file has appeared stays true.
        guard case .applied(let done, let entries) = change else { throw .unwanted }
        ports.events.publish(.uploadDone, done)
        do throws(WorkError) {
            try await cleaning.clean(done, isMarked: true)
        } catch {
            ports.relay.dispatch(entries)
        }
    }
}
