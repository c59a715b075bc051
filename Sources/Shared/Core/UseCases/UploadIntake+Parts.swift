// Parts: bytes are staged, made durable and recorded before they are acknowledged.

/// Where a part belongs, in an upload that takes it.
public struct PartPlace: Sendable {
    /// Parts of at most so many bytes are better held whole until they are all there: the steps in staging cost more than
    /// that memory.
    public static let small: Int64 = 65_536

    let upload: Upload
    let number: Int64
    let offset: Int64
    /// In bytes.
    public let length: Int64
    let declared: SHA256Digest?
}

/// A part on its way in. Whoever begins one ends it by `finish` or `abandon`.
public struct PartIntake: Sendable {
    let intake: UploadIntake
    let upload: Upload
    let number: Int64
    let declared: SHA256Digest?
    let writer: any PartWriter

    /// What became of it.
    public enum Outcome: Hashable, Sendable {
        /// It is durable now.
        case stored(Part)
        /// The same bytes were there already.
        case alreadyStored(Part)
    }

    /// Takes the next bytes of the body.
    public func write(_ chunk: some ByteChunk) async throws(IntakeError) {
        try await staged { () throws(StagingError) in try await writer.write(chunk) }
    }

    /// Checks length and digest, makes the part durable, and records it with its ship job. On an error nothing of it
    /// is left, but where the index could not be told: then the bytes stay, and the same request succeeds later.
    public func finish() async throws(IntakeError) -> Outcome {
        let part: Part
        do {
            part = try await writer.seal()
        } catch {
            await writer.discard()
            throw IntakeError(error)
        }
        if let declared, declared != part.digest {
            await writer.discard()
            throw .digestMismatch(declared: declared, received: part.digest)
        }
        let published: PublishResult
        do {
            published = try await writer.publish()
        } catch {
            await writer.discard()
            throw try await intake.refusal(of: upload, error)
        }
        if case .stored = published {} else { await writer.discard() }
        return try await intake.record(published, number: number, of: upload)
    }

    /// Removes every trace of a part whose body did not come whole.
    public func abandon() async { await writer.discard() }
}

extension UploadIntake {
    /// Begins a part of the native protocol; for the parameters see `place`.
    public func beginPart(
        _ number: Int64,
        of id: UploadID,
        length: Int64,
        digest: SHA256Digest?,
        for principal: Principal
    ) async throws(IntakeError) -> PartIntake {
        try await beginPart(at: place(number, of: id, length: length, digest: digest, for: principal))
    }

    /// Begins a part whose bytes come piece by piece.
    public func beginPart(at place: PartPlace) async throws(IntakeError) -> PartIntake {
        let writer: any PartWriter
        do {
            writer = try await staging.beginPart(of: place.upload.id, offset: place.offset, size: place.length)
        } catch {
            throw try await refusal(of: place.upload, error)
        }
        return PartIntake(
            intake: self,
            upload: place.upload,
            number: place.number,
            declared: place.declared,
            writer: writer
        )
    }

    /// Takes a small part with all its bytes: what `beginPart` and `PartIntake.finish` do, with one step in staging.
    ///
    /// - Parameter bytes: as many as were announced; at most `PartPlace.small` are worth it.
    public func storePart(_ bytes: some ByteChunk, at place: PartPlace) async throws(IntakeError) -> PartIntake.Outcome
    {
        guard Int64(bytes.count) == place.length else {
            throw IntakeError(.wrongLength(expected: place.length, received: Int64(bytes.count)))
        }
        let result: StoreResult
        do {
            result = try await staging.store(
                bytes,
                at: place.offset,
                of: place.upload.id,
                declared: place.declared
            )
        } catch {
            throw try await refusal(of: place.upload, error)
        }
        switch result {
        case .differs(let found):
            throw .digestMismatch(declared: place.declared ?? found.digest, received: found.digest)
        case .published(let published):
            return try await record(published, number: place.number, of: place.upload)
        }
    }

    /// Where a part of the native protocol belongs.
    ///
    /// - Parameters:
    ///   - number: the part's number, from 1.
    ///   - length: the body's length in bytes, as announced.
    ///   - digest: the SHA-256 that the request declares, if any (RFC 9530 §2).
    public func place(
        _ number: Int64,
        of id: UploadID,
        length: Int64,
        digest: SHA256Digest?,
        for principal: Principal
    ) async throws(IntakeError) -> PartPlace {
        let upload = try await upload(of: id, for: principal)
        guard !upload.state.isEnded else { throw .gone(upload.state) }
        let layout = upload.record.layout
        guard let offset = layout.offset(of: number), let sizes = layout.sizes(of: number) else {
            throw .partOutOfRange(number: number, count: layout.count ?? PartLayout.maximumParts)
        }
        guard sizes.contains(length) else { throw .wrongPartSize(expected: sizes, received: length) }
        guard offset + length <= limits.maximumSize else { throw .tooLarge(limit: limits.maximumSize) }
        if upload.record.size == nil { try await checkOrder(of: number, at: offset, length: length, in: upload) }
        return PartPlace(upload: upload, number: number, offset: offset, length: length, declared: digest)
    }

    /// The upload of a part, as the index had it a moment ago or has it now.
    private func upload(of id: UploadID, for principal: Principal) async throws(IntakeError) -> Upload {
        if let recent = recent.upload(id, at: surroundings.now()) {
            guard principal.maySee(recent.record.owner) else { throw .notFound }
            return recent
        }
        return try await upload(id, for: principal)
    }

    /// Where the file's size is not known yet, any part may turn out to be the last, and only the last may be shorter
    /// than the others: a short one before a part that is there, and any part after a short one, would leave a gap that
    /// nothing can fill. What is there already stays what it is. Of two that are on their way at once neither sees the
    /// other; then `complete` says so.
    private func checkOrder(
        of number: Int64,
        at offset: Int64,
        length: Int64,
        in upload: Upload
    ) async throws(IntakeError) {
        let partSize = upload.record.partSize
        let received = upload.received
        let hasShortPart = received.bytes < received.parts * partSize
        guard received.parts > 0, hasShortPart || length < partSize else { return }
        if hasShortPart, let short = try await knownShortPart(of: upload) {
            guard short.offset != offset, try await !hasPart(at: offset, of: upload.id) else { return }
            // One is enough: the others were held against it when they came.
            guard offset < short.offset else {
                throw .partAfterLast(number: number, last: upload.record.layout.number(at: short.offset))
            }
            guard length == partSize else { throw .wrongPartSize(expected: partSize...partSize, received: length) }
            return
        }
        let parts = try await asking { () throws(StoreError) in try await store.parts(of: upload.id) }.map(\.part)
        if let short = parts.first(where: { $0.size < partSize }) { shortParts.note(short.offset, of: upload.id) }
        guard !parts.contains(where: { $0.offset == offset }) else { return }
        if let short = parts.first(where: { $0.size < partSize && $0.offset < offset }) {
            throw .partAfterLast(number: number, last: upload.record.layout.number(at: short.offset))
        }
        guard length == partSize || !parts.contains(where: { $0.offset > offset }) else {
            throw .wrongPartSize(expected: partSize...partSize, received: length)
        }
    }

    /// The short part that was seen before, if it still is there: so that the last part may come first, and not all parts
    /// are read again for each that follows.
    private func knownShortPart(of upload: Upload) async throws(IntakeError) -> Part? {
        guard let offset = shortParts.offset(of: upload.id) else { return nil }
        let state = try await asking { () throws(StoreError) in
            try await store.shipState(of: upload.id, offset: offset)
        }
        guard let part = state?.part?.part, part.size < upload.record.partSize else { return nil }
        return part
    }

    private func hasPart(at offset: Int64, of id: UploadID) async throws(IntakeError) -> Bool {
        try await asking { () throws(StoreError) in try await store.shipState(of: id, offset: offset) }?.part != nil
    }

    /// What to answer where staging did not take a part of an upload: the upload may have ended while its bytes came, and
    /// be cleaned away.
    func refusal(of upload: Upload, _ error: StagingError) async throws(IntakeError) -> IntakeError {
        if error == .notFound, let now = try await known(upload.id), now.state.isEnded { return .gone(now.state) }
        return IntakeError(error)
    }

    /// Records what an offset holds now, if it is what came.
    func record(
        _ published: PublishResult,
        number: Int64,
        of upload: Upload
    ) async throws(IntakeError) -> PartIntake.Outcome {
        switch published {
        case .conflict: throw .partConflict(number: number)
        case .stored(let part):
            try await record(part, number: number, of: upload)
            return .stored(part)
        case .alreadyStored(let part):
            try await record(part, number: number, of: upload)
            return .alreadyStored(part)
        }
    }

    /// Records a durable part.
    func record(_ part: Part, number: Int64, of upload: Upload) async throws(IntakeError) {
        var change = try await asking { () throws(StoreError) in try await store.receive(part, of: upload.id) }
        if case .unknown = change, try await known(upload.id) != nil {
            change = try await asking { () throws(StoreError) in try await store.receive(part, of: upload.id) }
        }
        switch change {
        case .applied(let now, let entries):
            follow(now, entries, .partReceived)
        case .refused(.conflict):
            throw .partConflict(number: number)
        case .refused(.state(let state)):
            // The upload took no more parts by the time the bytes were here; a rebuild leaves late ones out.
            if state.isEnded { throw .gone(state) }
            throw .wrongState(state)
        case .unknown:
            throw .notFound
        }
    }
}
