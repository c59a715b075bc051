// What the janitor changes in the index.

internal import Core

extension InMemoryIndex {
    static let sweepPauses: [Duration] = [.seconds(20), .seconds(40), .seconds(600), .seconds(3_600)]
    static let poisonLimit = 3

    /// Loses an upload with all that leads to it.
    mutating func forget(_ id: UploadID) {
        guard let record = entries.removeValue(forKey: id)?.upload.record else { return }
        paths = paths.filter { $0.value != id }
        repeats = repeats.filter { $0.value.value != id }
        for job in (outbox[record.target] ?? [:]).keys where job.upload == id { forget(job, record.target) }
    }

    mutating func revive(_ id: UploadID, idleFor idle: Duration, _ now: Timestamp) -> Change<WorkRefusal> {
        guard var entry = find(id, now) else { return .unknown }
        let upload = entry.upload
        guard isUnfinished(entry) else { return .refused(.state(upload.state)) }
        let job: Job = upload.state.isEnded ? .clean(id) : .merge(id)
        let isWaiting = upload.state == .receiving && upload.received.parts == upload.shipped.parts
        let isMoving = max(upload.updatedAt, entry.quietUntil ?? upload.updatedAt) + idle > now
        let isHeld = entry.lease.map { $0.until > now } ?? false
        let isRecorded = outbox[upload.record.target]?[job] != nil
        if isWaiting || isMoving || isHeld || isRecorded { return .applied(upload, []) }
        entry.upload.updatedAt = now
        let recorded = record(job, upload.record.target, now + Self.grace)
        return .applied(save(entry), [recorded])
    }

    func isUnfinished(_ entry: Entry) -> Bool {
        entry.upload.state.isActive || entry.upload.state.isEnded && entry.cleanedAt == nil
    }

    mutating func tries(_ job: Job, by worker: String) -> [String] {
        let others = tries[job, default: []].filter { $0 != worker }
        tries[job, default: []].insert(worker)
        return others.sorted()
    }

    mutating func tried(_ job: Job) { tries[job] = nil }

    mutating func forbid(_ id: UploadID, _ now: Timestamp) -> Bool {
        guard find(id, now) == nil else { return false }
        forbidden[id] = now + .seconds(3_600)
        return true
    }

    func dueSweeps(of target: TargetID, limit: Int, _ now: Timestamp) -> [UploadID] {
        let due = (sweeps[target] ?? [:]).filter { $0.value <= now }.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
        return Array(due.map(\.key).prefix(min(max(limit, 1), 500)))
    }

    mutating func swept(_ id: UploadID, of target: TargetID, _ now: Timestamp) {
        guard var entry = find(id, now), entry.sweeps < Self.sweepPauses.count else {
            sweeps[target]?[id] = nil
            return
        }
        sweeps[target, default: [:]][id] = now + Self.sweepPauses[entry.sweeps]
        entry.sweeps += 1
        _ = save(entry)
    }
}
