// Reading the index anew from staging, and the roll of those who are there.

internal import Core

extension InMemoryIndex {
    mutating func restore(_ staged: StagedUpload, _ now: Timestamp) -> Change<WorkRefusal> {
        let record = staged.record
        let ending = Self.ending(staged.markers)
        let holder = holder(of: record.path, on: record.target, now).flatMap { $0.id == record.id ? nil : $0 }
        var entry: Entry
        if let known = find(record.id, now) {
            entry = known
            // A known upload that lost its lock takes it back.
            if holder == nil, !known.upload.state.isEnded {
                paths[PathKey(target: record.target, path: record.path)] = record.id
            }
            // An index that lost its last second may not know of a part file that was begun in it.
            if !entry.upload.state.isEnded, staged.mayBeOnTarget { entry.upload.preparations += 1 }
        } else {
            // An ended upload only waits to be cleaned away: it neither needs the path nor keeps another from it.
            if let holder, !holder.state.isEnded, ending == nil {
                // Of two, one was never answered; it is not the one that anything came for.
                guard var empty = find(holder.id, now), holder.state == .receiving, holder.received.parts == 0,
                    !empty.isComplete, staged.mayBeOnTarget
                else { return .refused(.pathHeld(by: holder.id)) }
                empty.note(.cancelled, now)
                _ = end(&empty, .cancelled, at: now, now)
                _ = save(empty)
            }
            entry = Entry(record)
            entry.upload.record.expiresAt = max(record.expiresAt, now + entry.lifetime)
            entry.upload.preparations = staged.mayBeOnTarget ? 1 : 0
            move(&entry, to: .receiving, now)
            let earlier = record.idempotencyKey.flatMap { repeats[RepeatKey(owner: record.owner, key: $0)] }
            enroll(
                record,
                until: entry.upload.record.expiresAt,
                takesPath: holder == nil || ending == nil
            )
            if let key = record.idempotencyKey, let earlier, earlier.until > now {
                repeats[RepeatKey(owner: record.owner, key: key)] = earlier
            }
        }
        if !entry.upload.state.isEnded {
            for part in staged.parts {
                if let known = entry.parts[part.offset], known.state.part != part { entry.remove(known) }
                if entry.parts[part.offset] == nil { entry.insert(part) }
            }
        }
        restoreComplete(&entry, staged, now)
        restoreEnding(&entry, ending, now)
        let upload = save(entry)
        // Where the job that must follow is not in the outbox, it may be nowhere.
        let job: Job? =
            switch upload.state {
            case .done, .cancelled, .expired: .clean(upload.id)
            case .merging, .committing: .merge(upload.id)
            // A merge job that finds unshipped parts records their jobs.
            case .receiving, .shipping: upload.received.parts == upload.shipped.parts ? nil : .merge(upload.id)
            case .failed: nil
            }
        guard let job else { return .applied(upload, []) }
        if let lease = entry.lease, lease.until > now {
            recordIfMissing(job, record.target, lease.until + .seconds(1))
            return .applied(upload, [])
        }
        let due = outbox[record.target]?[job] ?? now + Self.grace
        return .applied(upload, [self.record(job, record.target, due)])
    }

    private mutating func restoreComplete(_ entry: inout Entry, _ staged: StagedUpload, _ now: Timestamp) {
        for case .complete(let size, let digest, _) in staged.markers
        where Manifest(staged.parts).covers(size) && !entry.upload.state.isEnded && entry.upload.received.bytes == size
        {
            entry.upload.record.size = size
            if let digest { entry.upload.record.digest = digest }
            guard !entry.isComplete else { continue }
            entry.isComplete = true
            if let state = entry.upload.state.after(.complete) {
                move(&entry, to: state, now)
                _ = mergeIfShipped(&entry, now)
            }
        }
    }

    private mutating func restoreEnding(_ entry: inout Entry, _ ending: Marker?, _ now: Timestamp) {
        guard !entry.upload.state.isEnded else { return }
        switch ending {
        case .done(let finalFile, let time):
            entry.upload.finalFile = finalFile
            if entry.upload.record.size == nil { entry.upload.record.size = finalFile.size }
            entry.upload.failure = nil
            _ = end(&entry, .done, at: time, now)
        case .cancelled(_, let time) where entry.upload.state.after(.cancel) != nil:
            _ = end(&entry, .cancelled, at: time, now)
        case .expired(let time) where entry.upload.state.after(.cancel) != nil:
            _ = end(&entry, .expired, at: time, now)
        case .complete, .cancelled, .expired, nil: break
        }
    }

    /// The ending that counts: a rename that is known to have happened outdoes everything.
    private static func ending(_ markers: [Marker]) -> Marker? {
        for kind in [Marker.Kind.done, .cancelled, .expired] {
            if let marker = markers.first(where: { $0.kind == kind }) { return marker }
        }
        return nil
    }

    mutating func announce(_ worker: WorkerPresence, lifetime: Duration, _ now: Timestamp) {
        var worker = worker
        worker.seenAt = now
        workers = workers.filter { $0.value.until > now }
        workers[worker.name] = Expiring(value: worker, until: now + lifetime)
    }

    mutating func announce(_ target: TargetPresence, lifetime: Duration, _ now: Timestamp) {
        var target = target
        target.seenAt = now
        targets = targets.filter { $0.value.until > now }
        targets[target.target] = Expiring(value: target, until: now + lifetime)
    }

    func presentWorkers(_ now: Timestamp) -> [WorkerPresence] {
        workers.values.filter { $0.until > now }.map(\.value).sorted { $0.name < $1.name }
    }

    func presentTargets(_ now: Timestamp) -> [TargetPresence] {
        targets.values.filter { $0.until > now }.map(\.value).sorted { $0.target < $1.target }
    }
}
