// A merge job: claim, prove, assemble, seal, commit. This file has the way up to the commit; the commit has its own.

/// Merges uploads: makes the final file appear, whole and verified, in one step.
public struct MergeUpload: Sendable {
    let ports: WorkPorts
    let cleaning: CleanUpload
    let generations: PrepareGeneration

    /// How long a claim lasts without being renewed. What a dead worker merged runs elsewhere a second or two later.
    public static let lease = Duration.seconds(10)

    /// What a claim answers.
    public enum Claim: Hashable, Sendable {
        /// The merge is this worker's: its delivery can be acknowledged, then `run` it.
        case claimed(Upload, Fence)
        /// Nothing to do, or somebody else does it.
        case nothing
        /// The index could not be asked.
        case later(Duration)
    }

    /// A use case over these ports.
    public init(_ ports: WorkPorts) {
        self.ports = ports
        cleaning = CleanUpload(ports)
        generations = PrepareGeneration(ports: ports)
    }

    /// Claims an upload's merge. From here a safety entry in the outbox brings it back if this worker dies.
    public func claim(_ id: UploadID) async -> Claim {
        do {
            switch try await ports.store.claim(id, holder: ports.worker, for: Self.lease) {
            case .applied(let upload, _):
                guard let fence = upload.fence else { return .nothing }
                return .claimed(upload, fence)
            case .refused(.state(let state)) where state.isShippable:
                // Whoever sent the upload back to shipping may have died before the jobs for it were recorded.
                do { try await ports.requeueShips(of: id) } catch { return .later(.seconds(1)) }
                return .nothing
            case .refused(.poisoned(let upload)):
                ports.tellFailed(upload)
                return .nothing
            case .refused, .unknown: return .nothing
            }
        } catch {
            return .later(.seconds(1))
        }
    }

    /// Works on a claimed merge until it is done, recorded to be done later, or failed; renews the claim meanwhile.
    public func run(_ upload: Upload, fence: Fence) async {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await merge(upload, fence: fence)
                return true
            }
            group.addTask { await renew(upload.id, fence: fence) }
            // Whichever ends first ends the other: a lost claim stops the work, finished work the renewal.
            _ = await group.next()
            group.cancelAll()
        }
    }

    private func renew(_ id: UploadID, fence: Fence) async -> Bool {
        while true {
            do { try await ports.surroundings.sleep(Self.lease / 3) } catch { return true }
            // An index that cannot be asked does not end the work: the fence decides in the end.
            if let change = try? await ports.store.renew(id, fence: fence, for: Self.lease) {
                guard case .applied = change else { return false }
            }
        }
    }

    private func merge(_ upload: Upload, fence: Fence) async {
        do throws(WorkError) {
            if upload.state == .committing {
                try await settleCommit(upload, fence: fence)
            } else {
                if let part = upload.carriedPart {
                    try await carry(part, of: upload, fence: fence)
                } else {
                    ports.events.publish(.uploadMerging, upload)
                    try await prove(upload)
                    try await sealAndCommit(upload, fence: fence)
                }
            }
        } catch {
            if case .target(let reason) = error, reason.kind == .cancelled {
                // Drained or fenced off: let the next one begin at once.
                try? await ports.store.release(upload.id, fence: fence)
                return
            }
            switch error {
            case .store(.unavailable), .store(.rebuilding): await giveBack(upload.id, fence: fence)
            case .store, .target, .staging, .permanent, .unwanted: await settle(error, of: upload, fence: fence)
            }
        }
    }

    private func settle(_ error: WorkError, of upload: Upload, fence: Fence) async {
        var loss: TargetError?
        if upload.state == .merging, case .target(let reason) = error, reason.kind == .partFileLost { loss = reason }
        let end = loss.flatMap { ports.endOfRestarts(upload, upload.generation, $0) }
        // Counted first, so that a target that loses file after file does not keep this up for ever.
        let (job, attempt) = (Job.merge(upload.id), upload.attempts)
        _ = await ports.settle(end ?? error, of: job, upload: upload, attempt: attempt, fence: fence)
        guard loss != nil, end == nil else { return }
        // Under a claim that another has followed, what is gone may be this claim's own file only.
        guard let now = try? await ports.store.upload(upload.id), now.fence == fence else { return }
        if let generation = upload.generation {
            // On an error the retry that was just recorded finds the same, and comes here again.
            try? await generations.restart(upload, replacing: generation)
        }
    }

    /// The index went away in the middle. As soon as it answers the claim is given up, so that no lease has to run out
    /// before the merge goes on, and this worker does not look like one that died of it.
    private func giveBack(_ id: UploadID, fence: Fence) async {
        let deadline = ports.surroundings.now() + Self.lease
        while ports.surroundings.now() < deadline,
            (try? await ports.surroundings.sleep(.milliseconds(500))) != nil,
            (try? await ports.store.release(id, fence: fence)) == nil
        {}
    }

    // MARK: Proving

    /// Proves a declared digest over the staged parts: what each of them has on the target is proven already.
    private func prove(_ upload: Upload) async throws(WorkError) {
        guard let declared = upload.record.digest else { return }
        let found: SHA256Digest?
        do throws(WorkError) { found = try await wholeDigest(of: upload) } catch {
            // A part that is not there at all is as good as damaged; which one shows below.
            guard case .staging(.notFound) = error else { throw error }
            found = nil
        }
        guard found != declared else { return }
        try await strikeDamaged(upload)
        guard let found else { throw .staging(.notFound) }
        throw .permanent(
            Failure(.digestMismatch, "the file's SHA-256 is \(found), but \(declared) was declared")
        )
    }

    /// Strikes the first part that staging no longer has as it was acknowledged; where there is one, this merge is over.
    func strikeDamaged(_ upload: Upload) async throws(WorkError) {
        for part in try await parts(of: upload) where try await !isIntact(part, of: upload) {
            try await ports.reading { () throws(StagingError) in try await ports.staging.strike(part, of: upload.id) }
            let change = try await ports.asking { () throws(StoreError) in
                try await ports.store.strike(part, of: upload.id, by: ports.worker)
            }
            if case .applied(let upload, _) = change { ports.tellFailed(upload) }
            throw .unwanted
        }
    }

    /// The SHA-256 of the whole file, from staging.
    func wholeDigest(of upload: Upload) async throws(WorkError) -> SHA256Digest {
        let parts = try await parts(of: upload)
        if parts.count == 1, let part = parts.first { return part.digest }
        return try await ports.reading { () throws(StagingError) in
            try await ports.staging.digest(of: parts, of: upload.id)
        }
    }

    private func parts(of upload: Upload) async throws(WorkError) -> [Part] {
        try await ports.asking { () throws(StoreError) in try await ports.store.parts(of: upload.id) }.map(\.part)
    }

    private func isIntact(_ part: Part, of upload: Upload) async throws(WorkError) -> Bool {
        let reader: any PartReader
        do {
            reader = try await ports.staging.openPart(part, of: upload.id)
        } catch .notFound {
            return false
        } catch {
            throw .staging(error)
        }
        do {
            let isIntact = try await reader.isIntact()
            await reader.close()
            return isIntact
        } catch {
            await reader.close()
            throw .staging(error)
        }
    }

    /// Proves all parts where they lie on the target once more: somebody has written into the part file.
    func proveAgain(_ upload: Upload, _ file: PartFile) async throws(WorkError) {
        let session = try ports.session(of: upload)
        for part in try await parts(of: upload) {
            try await ports.reaching { () throws(TargetError) in try await session.prove(part, in: file) }
        }
    }

    // MARK: Sealing

    private func sealAndCommit(_ upload: Upload, fence: Fence) async throws(WorkError) {
        let session = try ports.session(of: upload)
        let size = upload.record.size ?? 0
        // Only an empty file comes here without a generation: it has no part whose shipping would have begun one.
        let file = try await generations.current(of: upload).claimed(by: fence)
        let verification = try await assemble(upload, file, size: size)
        let sealed: any SealedPartFile
        do throws(WorkError) { sealed = try await seal(upload, file, size: size) } catch {
            await session.giveUp(file)
            throw error
        }
        try await commit(upload, file, sealed, size: size, verification: verification, fence: fence)
    }

    /// Commits what is sealed, and lets go of it.
    func commit(
        _ upload: Upload,
        _ file: PartFile,
        _ sealed: any SealedPartFile,
        size: Int64,
        verification: Verification?,
        fence: Fence
    ) async throws(WorkError) {
        do throws(WorkError) {
            if !sealed.isUntouched { try await proveAgain(upload, file) }
            let finalFile = FinalFile(size: size, digest: upload.record.digest, modified: sealed.facts.modified)
            let change = try await ports.asking { () throws(StoreError) in
                try await ports.store.beginCommit(
                    upload.id,
                    fence: fence,
                    generation: file.generation,
                    finalFile: finalFile,
                    verification: verification
                )
            }
            guard case .applied(let committing, _) = change else {
                // Nobody will ever call this file the current one, if it is the claim's own.
                if upload.carriedPart != nil { try? await ports.session(of: upload).remove(file) }
                throw .unwanted
            }
            try await commit(committing, file: file, finalFile: finalFile, fence: fence, sealed: sealed)
            await sealed.close()
        } catch {
            await sealed.close()
            throw error
        }
    }

    private func seal(_ upload: Upload, _ file: PartFile, size: Int64) async throws(WorkError) -> any SealedPartFile {
        let session = try ports.session(of: upload)
        let taken = try await ports.reaching { () throws(TargetError) in
            try await session.facts(of: upload.record.path)
        }
        var modified = ports.surroundings.now().seconds
        // A file that is there already must not be mistaken for this one by its size and time.
        if let taken, taken.modified == modified { modified -= 1 }
        return try await ports.reaching { () throws(TargetError) in
            try await session.seal(file, size: size, modified: modified, attributes: upload.record.attributes)
        }
    }

    /// Puts the parts together on the target, where they do not lie in their places already.
    private func assemble(_ upload: Upload, _ file: PartFile, size: Int64) async throws(WorkError) -> Verification? {
        guard file.strategy.keepsPartsApart || file.strategy.shipsInMerge else { return nil }
        let session = try ports.session(of: upload)
        let parts = try await parts(of: upload)
        var end: Int64 = 0
        for part in parts {
            guard part.offset == end else {
                throw .permanent(
                    Failure(.internalError, "the parts of \(upload.id) do not follow one another at \(end)")
                )
            }
            end = part.end
        }
        guard end == size else {
            throw .permanent(Failure(.internalError, "the parts of \(upload.id) end at \(end), its file at \(size)"))
        }
        do throws(TargetError) {
            return try await session.assemble(file, of: parts) { part throws(StagingError) in
                try await openIntact(part, of: upload)
            }
        } catch {
            if error.kind == .staging { try await strikeDamaged(upload) }
            throw .target(error)
        }
    }

    /// A staged part, hashed before its first byte is sent: a damaged one never reaches the target.
    private func openIntact(_ part: Part, of upload: Upload) async throws(StagingError) -> any PartReader {
        let reader = try await ports.staging.openPart(part, of: upload.id)
        do throws(StagingError) {
            guard try await reader.isIntact() else { throw .unreadable("\(part.size) bytes at \(part.offset)") }
            return reader
        } catch {
            await reader.close()
            throw error
        }
    }
}
