// What clients change in the index.

internal import Core

extension InMemoryIndex {
    mutating func create(_ record: UploadRecord, _ now: Timestamp) -> CreateResult {
        if let known = find(record.id, now) { return .created(known.upload) }
        if let until = forbidden[record.id], until > now { return .forbidden }
        if let key = record.idempotencyKey, let earlier = repeats[RepeatKey(owner: record.owner, key: key)],
            earlier.until > now, let repeated = find(earlier.value, now)?.upload, repeated.state != .cancelled,
            repeated.state != .expired
        {
            // One that was given up, perhaps because this very request could not be served, is no answer to it.
            return .repeated(repeated)
        }
        if let holder = holder(of: record.path, on: record.target, now) { return .held(by: holder) }
        var entry = Entry(record)
        move(&entry, to: .receiving, now)
        enroll(record, until: record.expiresAt, takesPath: true)
        entry.note(.created, now, by: record.owner.description)
        return .created(save(entry))
    }

    mutating func receive(_ part: Part, of id: UploadID, _ now: Timestamp) -> Change<ReceiveRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        let isDamaged = entry.upload.state == .failed && entry.upload.failure?.reason == .partDamaged
        guard !entry.upload.state.isEnded else { return .refused(.state(entry.upload.state)) }
        // What is known stays acknowledged, however far the upload is by now.
        if let known = entry.parts[part.offset]?.state.part {
            return known == part ? .applied(entry.upload, []) : .refused(.conflict(known))
        }
        // One that has failed before its end takes the rest: it goes on once it is replayed.
        let isStopped = entry.upload.state == .failed && !entry.isComplete
        guard entry.upload.state.isShippable || isDamaged || isStopped else {
            return .refused(.state(entry.upload.state))
        }
        guard entry.upload.state != .shipping else { return .refused(.state(.shipping)) }
        entry.insert(part)
        countMoved(received: part.size, now)
        entry.upload.updatedAt = now
        entry.upload.record.expiresAt = now + entry.lifetime
        let record = entry.upload.record
        if let key = record.idempotencyKey {
            let repeatKey = RepeatKey(owner: record.owner, key: key)
            if let known = repeats[repeatKey], known.value == id, known.until > now {
                repeats[repeatKey]?.until = record.expiresAt
            }
        }
        if isDamaged, entry.isWhole, let state = entry.upload.state.after(.replay) {
            entry.note(.replayed, now, by: record.owner.description)
            move(&entry, to: state, now)
            entry.upload.failure = nil
            entry.round += 1
            // The jobs of other parts were dropped while it had failed: the merge job records them anew.
            _ = recordMerge(entry, now)
        }
        if isStopped { return .applied(save(entry), []) }
        let due = now + Self.grace
        return .applied(save(entry), [self.record(.ship(id, offset: part.offset), record.target, due)])
    }

    mutating func submit(_ part: Part, of id: UploadID, _ now: Timestamp) -> Change<ReceiveRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard entry.upload.state == .receiving, entry.upload.received.parts == 0,
            entry.upload.record.size == part.size,
            let state = entry.upload.state.after(.complete)?.after(.allShipped)
        else { return .refused(.state(entry.upload.state)) }
        entry.insert(part)
        countMoved(received: part.size, now)
        entry.upload.whole = part
        entry.isComplete = true
        entry.note(.completed, now, by: entry.upload.record.owner.description)
        move(&entry, to: state, now)
        let job = recordMerge(entry, now)
        return .applied(save(entry), [job])
    }

    mutating func complete(
        _ id: UploadID,
        size: Int64,
        digest: SHA256Digest?,
        _ now: Timestamp
    ) -> Change<CompleteRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        let state = entry.upload.state
        switch state {
        case .receiving: break
        case .shipping, .merging, .committing: break
        case .failed: break
        case .done where entry.isComplete: break
        case .done, .cancelled, .expired: return .refused(.state(state))
        }
        let isFresh = state == .receiving || state == .failed && !entry.isComplete
        let known = entry.upload.record
        if let fixed = known.size, fixed != size { return .refused(.contradicts(entry.upload)) }
        if let digest, digest != known.digest, !isFresh || known.digest != nil {
            return .refused(.contradicts(entry.upload))
        }
        guard isFresh else { return .applied(entry.upload, []) }
        guard entry.upload.received.bytes == size else { return .refused(.partsMissing(entry.upload)) }
        entry.upload.record.size = size
        if let digest { entry.upload.record.digest = digest }
        entry.isComplete = true
        entry.note(.completed, now, by: known.owner.description)
        guard let next = state.after(.complete) else {
            entry.upload.updatedAt = now
            return .applied(save(entry), [])
        }
        move(&entry, to: next, now)
        let entries = mergeIfShipped(&entry, now)
        return .applied(save(entry), entries)
    }

    mutating func cancel(
        _ id: UploadID,
        by: String,
        only condition: CancelCondition,
        _ now: Timestamp
    ) -> Change<EndRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard !entry.upload.state.isEnded else { return .refused(.ended(entry.upload)) }
        let isUntouched = entry.upload.state == .receiving && entry.upload.received.parts == 0
        let isFit =
            switch condition {
            case .any: true
            case .untouched: isUntouched
            case .failed: entry.upload.state == .failed
            }
        guard isFit else { return .refused(.unfit(entry.upload)) }
        guard let state = entry.upload.state.after(.cancel) else { return .refused(.committing) }
        entry.note(.cancelled, now, by: by)
        let clean = end(&entry, state, at: now, now)
        return .applied(save(entry), [clean])
    }

    mutating func expire(_ id: UploadID, _ now: Timestamp) -> Change<ExpireRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard let state = entry.upload.state.after(.expire), !entry.isComplete else {
            return .refused(.state(entry.upload.state))
        }
        guard entry.upload.record.expiresAt <= now else { return .refused(.notDue(entry.upload)) }
        entry.note(.expired, now)
        let clean = end(&entry, state, at: now, now)
        return .applied(save(entry), [clean])
    }

    mutating func replay(
        _ id: UploadID,
        by: String,
        overwrite: Overwrite?,
        after delay: Duration,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard entry.upload.state.after(.replay) != nil else { return .refused(.state(entry.upload.state)) }
        if entry.upload.beginsAnew {
            entry.upload.generation = nil
            entry.upload.strategy = nil
            entry.upload.finalFile = nil
            entry.upload.sealedBy = nil
            entry.upload.verification = nil
            entry.upload.shipped = Upload.Tally()
        }
        let state = UploadState.resumed(entry.upload, isComplete: entry.isComplete)
        // A damaged part was struck: only receiving it again brings the upload back.
        if state == .shipping || state == .merging, !entry.isWhole { return .refused(.noSuchPart) }
        if let overwrite { entry.upload.record.overwrite = overwrite }
        move(&entry, to: state, now)
        entry.upload.failure = nil
        entry.upload.attempts = 0
        entry.upload.restarts = 0
        entry.round += 1
        entry.note(.replayed, now, by: by)
        // Where parts are to be shipped, the merge job records their jobs. What is to wait is left to the relay.
        guard delay > .zero else {
            let job = recordMerge(entry, now)
            return .applied(save(entry), [job])
        }
        _ = record(.merge(id), entry.upload.record.target, now + delay)
        return .applied(save(entry), [])
    }
}

// Questions.
extension InMemoryIndex {
    mutating func holder(of path: TargetPath, on target: TargetID, _ now: Timestamp) -> Upload? {
        paths[PathKey(target: target, path: path)].flatMap { find($0, now)?.upload }
    }

    mutating func history(of id: UploadID, _ now: Timestamp) -> [HistoryEntry] { find(id, now)?.history ?? [] }

    mutating func parts(of id: UploadID, _ now: Timestamp) -> [PartState] {
        (find(id, now)?.parts.values.map(\.state) ?? []).sorted { $0.part.offset < $1.part.offset }
    }

    mutating func uploads(_ query: UploadQuery, _ now: Timestamp) -> UploadPage {
        for id in entries.keys { _ = find(id, now) }
        func cursor(_ upload: Upload) -> UploadCursor {
            let time = query.state == .failed ? failedAt[upload.id] : upload.record.createdAt
            return UploadCursor(time: time ?? upload.updatedAt, id: upload.id)
        }
        func position(_ cursor: UploadCursor) -> (Timestamp, UploadID) { (cursor.time, cursor.id) }
        var found = entries.values.filter { !query.isUnfinished || isUnfinished($0) }.map(\.upload).filter { upload in
            (query.state == nil || query.state == upload.state)
                && (query.owner == nil || query.owner == upload.record.owner)
                && (query.reason == nil || query.reason == upload.failure?.reason)
                && (query.target == nil || query.target == upload.record.target)
        }
        if let last = query.cursor { found.removeAll { position(cursor($0)) >= position(last) } }
        found.sort { position(cursor($0)) > position(cursor($1)) }
        let limit = min(max(query.limit, 1), 1_000)
        let page = Array(found.prefix(limit))
        let next = found.count > limit ? page.last.map(cursor) : nil
        return UploadPage(uploads: page, next: next)
    }

    mutating func attempt(of job: Job, _ now: Timestamp) -> Int {
        guard let entry = find(job.upload, now) else { return 0 }
        switch job {
        case .ship(_, let offset):
            guard let part = entry.parts[offset], part.round == entry.round else { return 0 }
            return part.attempts
        case .merge: return entry.upload.attempts
        case .clean: return entry.cleanAttempts
        }
    }

    mutating func shipState(of id: UploadID, offset: Int64, _ now: Timestamp) -> ShipState? {
        guard let entry = find(id, now) else { return nil }
        let attempt = attempt(of: .ship(id, offset: offset), now)
        return ShipState(upload: entry.upload, part: entry.parts[offset]?.state, attempt: attempt)
    }
}
