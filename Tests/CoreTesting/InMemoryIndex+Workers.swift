// What workers change in the index, the outbox, and short locks.

internal import Core

extension InMemoryIndex {
    mutating func nextGeneration(
        of id: UploadID,
        _ now: Timestamp
    ) -> (generation: Generation, upload: Upload)? {
        guard var entry = find(id, now), entry.upload.state.isActive else { return nil }
        let generation = Generation(entry.nextNumber(now))
        entry.upload.preparations += 1
        return (generation, save(entry))
    }

    mutating func startGeneration(
        _ generation: Generation,
        of id: UploadID,
        replacing previous: Generation?,
        by strategy: MergeStrategy,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard let state = entry.upload.state.after(.restart) else { return .refused(.state(entry.upload.state)) }
        let current = entry.upload.generation
        if current == generation { return .applied(entry.upload, []) }
        guard current == previous, current.map({ $0 < generation }) ?? true else {
            return .refused(.staleGeneration(current))
        }
        entry.upload.generation = generation
        entry.upload.strategy = strategy
        entry.upload.shipped = Upload.Tally()
        entry.upload.verification = nil
        entry.upload.restarts += previous == nil ? 0 : 1
        entry.upload.updatedAt = now
        // An empty file has nothing to ship: its merge goes on, or begins again.
        if entry.upload.state == .merging {
            if entry.upload.received.parts > 0 { move(&entry, to: state, now) }
            if entry.upload.received.parts > 0 || previous != nil { entry.revoke() }
        }
        if previous != nil { entry.note(.restarted, now) }
        // Brings the restart to its end if its worker dies before the ship jobs are recorded.
        let entries = previous == nil ? [] : [recordMerge(entry, now)]
        return .applied(save(entry), entries)
    }

    mutating func requeueShips(
        of id: UploadID,
        from offset: Int64,
        limit: Int,
        _ now: Timestamp
    ) -> (entries: [OutboxEntry], next: Int64?) {
        guard let entry = find(id, now), entry.upload.state.isShippable else { return ([], nil) }
        let waiting = entry.parts.values.filter { $0.state.part.offset >= offset && !entry.isShipped($0) }
            .map(\.state.part.offset).sorted()
        let target = entry.upload.record.target
        let limit = min(max(limit, 1), 500)
        let entries = waiting.prefix(limit).map { offset in
            let job = Job.ship(id, offset: offset)
            // An entry that is due sooner stays as it is.
            return record(job, target, min(outbox[target]?[job] ?? now + Self.grace, now + Self.grace))
        }
        return (entries, waiting.count > limit ? waiting[limit] : nil)
    }

    mutating func shipped(
        offset: Int64,
        of id: UploadID,
        in generation: Generation,
        verification: Verification,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard entry.upload.generation == generation else {
            return .refused(.staleGeneration(entry.upload.generation))
        }
        let part = entry.parts[offset]
        if let part, entry.isShipped(part) { return .applied(entry.upload, []) }
        guard entry.upload.state.isShippable else { return .refused(.state(entry.upload.state)) }
        guard let part else { return .refused(.noSuchPart) }
        entry.parts[offset] = StoredPart(state: PartState(part: part.state.part, shippedIn: generation))
        entry.upload.shipped.bytes += part.state.part.size
        countMoved(shipped: part.state.part.size, now)
        entry.upload.shipped.parts += 1
        entry.upload.verification = min(entry.upload.verification ?? verification, verification)
        entry.upload.updatedAt = now
        let entries = mergeIfShipped(&entry, now)
        return .applied(save(entry), entries)
    }

    mutating func strike(_ part: Part, of id: UploadID, by: String, _ now: Timestamp) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        let state = entry.upload.state
        guard state != .committing, !state.isEnded else { return .refused(.state(state)) }
        guard let known = entry.parts[part.offset], known.state.part == part else { return .refused(.noSuchPart) }
        entry.remove(known)
        entry.upload.updatedAt = now
        let job = Job.ship(id, offset: part.offset)
        if entry.isComplete {
            fail(&entry, .damaged(part), job, attempt: 0, by: by, now)
        } else {
            entry.note(.damaged, now, by: by, job: job, attempt: 0, failure: .damaged(part))
        }
        return .applied(save(entry), [])
    }

    mutating func claim(
        _ id: UploadID,
        holder: String,
        for duration: Duration,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard entry.upload.state.isMergeable else { return .refused(.state(entry.upload.state)) }
        if let lease = entry.lease, lease.until > now {
            recordIfMissing(.merge(id), entry.upload.record.target, lease.until + .seconds(1))
            return .refused(.leased(until: lease.until))
        }
        // Neither given back nor worked off: its worker died of it, or was away for longer than the lease.
        if let fence = entry.upload.fence, entry.releasedFence != fence {
            entry.lapses += 1
            if entry.lapses >= Self.poisonLimit {
                let detail = "its merge was begun \(entry.lapses) times, and no worker came back from it"
                let (attempt, holder) = (entry.upload.attempts, entry.holder)
                fail(&entry, Failure(.poison, detail), .merge(id), attempt: attempt, by: holder, now)
                return .refused(.poisoned(save(entry)))
            }
        }
        let fence = Fence(entry.nextNumber(now))
        // It may leave a part file of its own behind.
        if entry.upload.carriedPart != nil { entry.upload.preparations += 1 }
        entry.upload.fence = fence
        entry.upload.updatedAt = now
        entry.lease = Lease(fence: fence, holder: holder, until: now + duration)
        entry.holder = holder
        _ = record(.merge(id), entry.upload.record.target, now + duration + .seconds(1))
        return .applied(save(entry), [])
    }

    mutating func renew(
        _ id: UploadID,
        fence: Fence,
        for duration: Duration,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard entry.upload.state.isMergeable else { return .refused(.state(entry.upload.state)) }
        guard holds(entry, fence) else { return .refused(.staleFence) }
        entry.lease = Lease(fence: fence, holder: entry.lease?.holder ?? "", until: now + duration)
        _ = record(.merge(id), entry.upload.record.target, now + duration + .seconds(1))
        return .applied(save(entry), [])
    }

    mutating func release(_ id: UploadID, fence: Fence, _ now: Timestamp) {
        guard var entry = find(id, now), holds(entry, fence), entry.upload.state.isMergeable else { return }
        entry.revoke()
        _ = save(entry)
        _ = record(.merge(id), entry.upload.record.target, now)
    }

    mutating func beginCommit(
        _ id: UploadID,
        fence: Fence,
        generation: Generation,
        finalFile: FinalFile,
        verification: Verification?,
        _ now: Timestamp
    ) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        guard let state = entry.upload.state.after(.beginCommit) else { return .refused(.state(entry.upload.state)) }
        guard holds(entry, fence) else { return .refused(.staleFence) }
        if entry.upload.carriedPart != nil {
            guard let part = entry.parts[0]?.state.part else { return .refused(.staleGeneration(nil)) }
            // The claim has built a generation of its own: it is the current one from here.
            entry.parts[0] = StoredPart(state: PartState(part: part, shippedIn: generation))
            entry.upload.generation = generation
            entry.upload.strategy = .inPlace
            entry.upload.shipped = entry.upload.received
            countMoved(shipped: part.size, now)
        }
        guard entry.upload.generation == generation else {
            return .refused(.staleGeneration(entry.upload.generation))
        }
        if entry.upload.state != state { entry.note(.committing, now, by: entry.holder) }
        move(&entry, to: state, now)
        entry.upload.finalFile = finalFile
        entry.upload.sealedBy = fence
        if let verification { entry.upload.verification = verification }
        return .applied(save(entry), [])
    }

    mutating func finish(_ id: UploadID, fence: Fence, atomic: Bool, _ now: Timestamp) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        if entry.upload.state == .done, entry.upload.fence == fence { return .applied(entry.upload, []) }
        guard let state = entry.upload.state.after(.finish) else { return .refused(.state(entry.upload.state)) }
        guard holds(entry, fence) else { return .refused(.staleFence) }
        entry.upload.atomic = atomic
        entry.note(.done, now, by: entry.holder)
        entry.upload.failure = nil
        let clean = end(&entry, state, at: now, now)
        return .applied(save(entry), [clean])
    }

    mutating func fail(_ request: FailRequest, _ now: Timestamp) -> Change<WorkRefusal> {
        guard var entry = find(request.job.upload, now) else { return .unknown }
        if entry.upload.state == .failed { return .applied(entry.upload, []) }
        guard entry.upload.state.after(.fail) != nil else { return .refused(.state(entry.upload.state)) }
        let isAllowed = request.fence.map { holds(entry, $0) } ?? entry.upload.state.isShippable
        guard isAllowed else { return .refused(.staleFence) }
        fail(&entry, request.failure, request.job, attempt: request.attempt, by: request.worker, now)
        return .applied(save(entry), [])
    }

    mutating func retry(_ request: RetryRequest, _ now: Timestamp) -> RetryResult {
        let id = request.job.upload
        guard var entry = find(id, now), isCurrent(request, entry), attempt(of: request.job, now) == request.attempt
        else { return .stale }
        entry.upload.updatedAt = now
        if case .clean = request.job {
            if request.limit != nil { entry.cleanAttempts += 1 }
        } else {
            if let limit = request.limit, request.attempt >= limit {
                fail(&entry, request.failure, request.job, attempt: request.attempt, by: request.worker, now)
                return .exhausted(save(entry))
            }
            entry.upload.failure = request.failure
            if entry.first == nil { entry.first = (request.failure, now) }
            if request.limit != nil {
                if case .ship(_, let offset) = request.job {
                    entry.parts[offset]?.attempts = request.attempt + 1
                    entry.parts[offset]?.round = entry.round
                } else {
                    entry.upload.attempts += 1
                }
            }
            // The claim ends with the attempt; a merge without a claim leaves that of another alone.
            if case .merge = request.job, request.fence != nil { entry.revoke() }
        }
        // While a target is away all jobs come again and again: noted once.
        let newest = entry.history.last
        if request.limit != nil || newest?.kind != .retried || newest?.failure?.reason != request.failure.reason {
            entry.note(
                .retried,
                now,
                by: request.worker,
                job: request.job,
                attempt: request.attempt,
                failure: request.failure
            )
        }
        let due = record(request.job, entry.upload.record.target, now + request.delay).due
        entry.quietUntil = max(entry.quietUntil ?? due, due)
        return .scheduled(save(entry), due: due)
    }

    private func isCurrent(_ request: RetryRequest, _ entry: Entry) -> Bool {
        switch request.job {
        case .ship(_, let offset):
            guard entry.upload.state.isShippable, let part = entry.parts[offset] else { return false }
            return !entry.isShipped(part)
        case .merge: return entry.upload.state.isMergeable && (request.fence.map { holds(entry, $0) } ?? true)
        case .clean: return entry.upload.state.isEnded && entry.cleanedAt == nil
        }
    }

    mutating func cleaned(_ id: UploadID, _ now: Timestamp) {
        guard var entry = find(id, now), entry.upload.state.isEnded else { return }
        let record = entry.upload.record
        let path = PathKey(target: record.target, path: record.path)
        if paths[path] == id { paths[path] = nil }
        entry.parts = [:]
        entry.lease = nil
        forget(.clean(id), record.target)
        forget(.merge(id), record.target)
        tries = tries.filter { $0.key.upload != id }
        if entry.cleanedAt == nil {
            entry.cleanedAt = now
            let preparations = entry.upload.preparations
            // A worker that was away meanwhile may still make a part file.
            let isAlone =
                entry.upload.state == .done && (entry.upload.strategy ?? .inPlace) == .inPlace
                && entry.upload.atomic != false
            if preparations > 1 || preparations == 1 && !isAlone {
                entry.sweeps = 1
                sweeps[record.target, default: [:]][id] = now + Self.sweepPauses[0]
            }
        }
        _ = save(entry)
    }
}

extension InMemoryIndex {
    private func holds(_ entry: Entry, _ fence: Fence) -> Bool { !checksFences || entry.holds(fence) }
}

extension UploadState {
    fileprivate var isMergeable: Bool { self == .merging || self == .committing }
}

// Outbox.
extension InMemoryIndex {
    func dueEntries(of target: TargetID, limit: Int, _ now: Timestamp) -> [OutboxEntry] {
        let due = (outbox[target] ?? [:]).filter { $0.value <= now }
            .map { OutboxEntry(job: $0.key, target: target, due: $0.value) }
            .sorted { ($0.due, $0.job.description) < ($1.due, $1.job.description) }
        return Array(due.prefix(min(max(limit, 1), 500)))
    }

    mutating func confirm(_ entries: [OutboxEntry]) {
        for entry in entries where outbox[entry.target]?[entry.job] == entry.due { forget(entry.job, entry.target) }
    }

    mutating func postpone(_ entries: [OutboxEntry], by delay: Duration, _ now: Timestamp) {
        for entry in entries where outbox[entry.target]?[entry.job] == entry.due {
            _ = record(entry.job, entry.target, now + delay)
        }
    }
}

// Short locks.
extension InMemoryIndex {
    mutating func acquire(_ name: String, holder: String, for duration: Duration, _ now: Timestamp) -> Bool {
        if let lock = locks[name], lock.until > now, lock.value != holder { return false }
        locks[name] = Expiring(value: holder, until: now + duration)
        return true
    }

    mutating func release(_ name: String, holder: String) {
        if locks[name]?.value == holder { locks[name] = nil }
    }
}
