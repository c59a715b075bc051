// Endings that a client asks for: complete and cancel. Each is durable in staging before it is answered.

extension UploadIntake {
    /// Says that every part has been sent. Asked twice, it happens once.
    ///
    /// - Parameter digest: the SHA-256 of the whole file, where the client has one; it must agree with what was
    ///   declared at creation.
    /// - Parameter count: how many parts there are, where the client says so: no more and no fewer are accepted.
    public func complete(
        _ id: UploadID,
        digest: SHA256Digest?,
        count: Int64? = nil,
        for principal: Principal
    ) async throws(IntakeError) -> Upload {
        var upload = try await upload(id, for: principal)
        if let digest, let declared = upload.record.digest, digest != declared { throw .differentContent(id) }
        switch upload.state {
        case .cancelled, .expired: throw .gone(upload.state)
        case .receiving where !upload.isComplete, .failed where !upload.isComplete:
            // One that failed on the way stays failed, and arrives once it is replayed.
            upload = try await caughtUp(upload)
        case .receiving, .shipping, .merging, .committing, .done, .failed:
            // It was asked before. A digest that comes only now would be taken for proven, and is not.
            guard digest == nil || upload.record.digest != nil else { throw .differentContent(id) }
            guard count == nil || count == upload.record.layout.count else { throw .differentContent(id) }
            return upload
        }
        let size = try await checkedSize(of: upload, count: count)
        var digest = digest ?? upload.record.digest
        // The marker goes first, because the merge job follows from the change of state at once.
        let marker = Marker.complete(size: size, digest: digest, at: surroundings.now())
        let standing = try await staged { () throws(StagingError) in try await staging.mark(marker, on: id) }
        if case .complete(let standingSize, let standingDigest, _) = standing {
            // What is durable counts: two that complete at once must have said the same, or one said less.
            if standingSize != size { throw .differentContent(id) }
            if let digest, digest != standingDigest { throw .differentContent(id) }
            digest = standingDigest
        }
        return try await recordComplete(id, size: size, digest: digest)
    }

    /// Lets the index know that the end was asked for.
    private func recordComplete(
        _ id: UploadID,
        size: Int64,
        digest: SHA256Digest?
    ) async throws(IntakeError) -> Upload {
        switch try await asking({ () throws(StoreError) in try await store.complete(id, size: size, digest: digest) }) {
        case .applied(let upload, let entries):
            follow(upload, entries, .partReceived)
            return upload
        case .refused(.partsMissing(let upload)):
            // A part was struck meanwhile. Nobody was told of the ending, so it is taken back.
            try? await staging.unmark(.complete, on: id)
            throw .partsMissing(try await missing(upload))
        case .refused(.contradicts):
            throw .differentContent(id)
        case .refused(.state(let state)):
            if state.isEnded { throw .gone(state) }
            throw .wrongState(state)
        case .unknown:
            throw .notFound
        }
    }

    /// The upload with all parts that staging has. An index that was set back knows fewer until it is read anew: parts
    /// would be asked for again, and a file without a size would be cut off.
    private func caughtUp(_ upload: Upload) async throws(IntakeError) -> Upload {
        guard let found = try await staged({ () throws(StagingError) in try await staging.read(upload.id) }),
            Manifest(found.parts).bytes > upload.received.bytes
        else { return upload }
        return try await restored(found) ?? upload
    }

    /// The file's size, if every part is there.
    private func checkedSize(of upload: Upload, count: Int64?) async throws(IntakeError) -> Int64 {
        if let size = upload.record.size {
            guard count == nil || count == upload.record.layout.count else { throw .differentContent(upload.id) }
            guard upload.received.bytes == size else { throw .partsMissing(try await missing(upload)) }
            return size
        }
        let parts = try await asking { () throws(StoreError) in try await store.parts(of: upload.id) }
        if let count { try check(parts, of: upload, against: count) }
        // Two parts that were on their way at once: neither can be taken back, for both were acknowledged.
        if let short = parts.dropLast().first(where: { $0.part.size < upload.record.partSize }) {
            throw .partTooShort(number: upload.record.layout.number(at: short.part.offset))
        }
        let size = parts.map(\.part.end).max() ?? 0
        // An index that was emptied between the two questions would cut the file off, down to nothing.
        guard parts.reduce(0, { $0 + $1.part.size }) >= upload.received.bytes else {
            throw .unavailable("the index changed while it was asked", retryAfter: .seconds(1))
        }
        // Asked after the index: a part is struck from staging first, so that what the index lacks is seen here.
        let struck = try await staged { () throws(StagingError) in try await staging.read(upload.id) }?.struck
        guard Manifest(parts.map(\.part)).covers(size), struck.map({ $0 < size }) ?? true else {
            throw .partsMissing(try await missing(upload, to: struck))
        }
        return size
    }

    /// Holds the parts that are there against the number that the client says.
    private func check(_ parts: [PartState], of upload: Upload, against count: Int64) throws(IntakeError) {
        let layout = upload.record.layout
        let present = Set(parts.map { layout.number(at: $0.part.offset) })
        if let last = present.max(), last > count { throw .partOutOfRange(number: last, count: count) }
        guard present.count < count else { return }
        guard count <= PartLayout.maximumParts else {
            throw .partOutOfRange(number: count, count: PartLayout.maximumParts)
        }
        throw .partsMissing(PartNumbers((1...count).filter { !present.contains($0) }))
    }

    /// The numbers of the parts that are not there.
    ///
    /// - Parameter offset: where there is a part at least, if the file's size does not tell.
    public func missing(_ upload: Upload, to offset: Int64? = nil) async throws(IntakeError) -> PartNumbers {
        let parts = try await asking { () throws(StoreError) in try await store.parts(of: upload.id) }
        let layout = upload.record.layout
        let present = Set(parts.map { layout.number(at: $0.part.offset) })
        let count = layout.count ?? max(present.max() ?? 0, offset.map { layout.number(at: $0) } ?? 0)
        return PartNumbers((count == 0 ? [] : Array(1...count)).filter { !present.contains($0) })
    }

    /// Gives an upload up; what it left in staging and on the target is cleaned away afterwards. Asked twice, it
    /// happens once.
    public func cancel(
        _ id: UploadID,
        only condition: CancelCondition = .any,
        for principal: Principal
    ) async throws(IntakeError) -> Upload {
        _ = try await upload(id, for: principal)
        let change = try await asking { () throws(StoreError) in
            try await store.cancel(id, by: principal.owner.description, only: condition)
        }
        switch change {
        case .applied(let upload, let entries):
            try await mark(.cancelled(by: principal.owner.description, at: surroundings.now()), on: id)
            follow(upload, entries, .uploadCancelled)
            return upload
        case .refused(.committing):
            throw .committing
        case .refused(.unfit(let upload)):
            throw .wrongState(upload.state)
        case .refused(.ended(let upload)):
            guard upload.state == .cancelled else { throw .gone(upload.state) }
            // The answer to the first request may have been lost before its marker was durable.
            try await mark(.cancelled(by: principal.owner.description, at: surroundings.now()), on: id)
            return upload
        case .unknown:
            throw .notFound
        }
    }

    /// Takes a creation back of which nothing was acknowledged, and frees its path at once; one that somebody else has
    /// sent anything for stays. Answers whether it is gone.
    @discardableResult
    public func takeBack(_ upload: Upload, for principal: Principal) async throws(IntakeError) -> Bool {
        let change = try await asking { () throws(StoreError) in
            try await store.cancel(upload.id, by: principal.owner.description, only: .untouched)
        }
        guard case .applied(let cancelled, let entries) = change else { return false }
        try await mark(.cancelled(by: principal.owner.description, at: surroundings.now()), on: upload.id)
        events.publish(.uploadCancelled, cancelled)
        // Nothing was ever begun on the target, so that no worker is needed to clean up.
        guard cancelled.preparations == 0 else {
            relay.dispatch(entries)
            return false
        }
        try await staged { () throws(StagingError) in try await staging.discard(upload.id) }
        try await asking { () throws(StoreError) in
            try await store.cleaned(upload.id)
            try await store.confirm(entries)
        }
        return true
    }

    /// Publishes an ending; an upload that is cleaned away already needs none.
    private func mark(_ marker: Marker, on id: UploadID) async throws(IntakeError) {
        do {
            _ = try await staging.mark(marker, on: id)
        } catch .notFound {
            return
        } catch {
            throw IntakeError(error)
        }
    }
}
