// Small files that come whole with their request: two steps in staging, two in the index, and no ship job.

extension UploadIntake {
    /// Takes a small file with all its bytes, where nothing is in the way; nil where anything is: then `create` and what
    /// follows it say what, and the bytes are still the caller's. To be called from a task that is not cancelled with its
    /// client: all bytes are here, and what is left to do is short.
    ///
    /// - Parameters:
    ///   - request: names a size, which is that of the bytes, and is for a whole file.
    ///   - bytes: 1 to `MergeUpload.largestWhole` of them.
    public func submit(
        _ request: CreateRequest,
        _ bytes: some ByteChunk,
        for principal: Principal
    ) async throws(IntakeError) -> Upload? {
        let record = try check(request, owner: principal.owner)
        guard request.isWhole, let size = record.size, size == Int64(bytes.count),
            1...min(MergeUpload.largestWhole, record.partSize) ~= size
        else { return nil }
        // What there is no room for is refused before anything is made of it.
        guard try await refusalForRoom(record) == nil else { return nil }
        guard case .created(let upload) = try await enroll(record) else {
            try? await staging.discard(record.id)
            return nil
        }
        guard !upload.state.isEnded else {
            throw .unavailable("the index was being read anew", retryAfter: .seconds(1))
        }
        do throws(IntakeError) {
            return try await fill(upload, bytes, declared: record.digest, for: principal)
        } catch {
            // Nobody was told of it. Where this does not work, the upload expires.
            _ = try? await takeBack(upload, for: principal)
            throw error
        }
    }

    private func fill(
        _ upload: Upload,
        _ bytes: some ByteChunk,
        declared: SHA256Digest?,
        for principal: Principal
    ) async throws(IntakeError) -> Upload {
        let result = try await staged { () throws(StagingError) in
            try await staging.fill(upload.id, with: bytes, declared: declared, at: surroundings.now())
        }
        let part: Part
        switch result {
        case .published(.stored(let stored)), .published(.alreadyStored(let stored)): part = stored
        case .published(.conflict): throw .partConflict(number: 1)
        case .differs(let found): throw .digestMismatch(declared: declared ?? found.digest, received: found.digest)
        }
        let change = try await asking { () throws(StoreError) in try await store.submit(part, of: upload.id) }
        if case .applied(let now, let entries) = change {
            // One event for all that has happened to it.
            follow(now, entries, .uploadCreated)
            return now
        }
        // Somebody has gone on with it meanwhile, or the index has just been read anew.
        events.publish(.uploadCreated, upload)
        try await record(part, number: 1, of: upload)
        return try await complete(upload.id, digest: declared, for: principal)
    }

    /// Makes an upload's record durable, and then takes its path. Of one that is not created, the record is the caller's
    /// to discard.
    func enroll(_ record: UploadRecord) async throws(IntakeError) -> CreateResult {
        // The record comes first: what the index knows, staging has. A refused creation takes it away again.
        try await staged { () throws(StagingError) in try await staging.create(record) }
        do {
            return try await store.create(record)
        } catch {
            // Whether the index has it is unknown: the record stays if it may, and is swept if nothing follows.
            if error == .rebuilding || error == .full { try? await staging.discard(record.id) }
            throw IntakeError(error)
        }
    }
}
