// What every index does for workers: generations, ships, claims, commits, failures and retries.

import Core
import Testing

@Suite("Upload store, for workers")
struct UploadStoreWorkConformance {
    // MARK: Generations

    @Test("Numbers of generations and claims never repeat", arguments: StoreUnderTest.allCases)
    func numbersGrow(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        var last: UInt64 = try #require(upload.generation).number
        for _ in 0..<3 {
            let fence = try await index.claimed(upload.id)
            #expect(fence.number > last)
            try await index.store.release(upload.id, fence: fence)
            let next = try #require(try await index.store.nextGeneration(of: upload.id))
            #expect(next.generation.number > fence.number)
            last = next.generation.number
        }
        // An index that was wiped begins no lower.
        let record = upload.record
        try await index.pass(.milliseconds(1))
        try await index.wipe()
        try await index.store.adopt(epoch: "epoch")
        try await index.created(record)
        #expect(try #require(try await index.store.nextGeneration(of: record.id)).generation.number > last)
    }

    @Test("Of two prepared generations the first to be said becomes current", arguments: StoreUnderTest.allCases)
    func startOnce(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let first = try #require(try await index.store.nextGeneration(of: upload.id))
        let second = try #require(try await index.store.nextGeneration(of: upload.id))
        #expect(second.upload.preparations == 2)
        let started = try applied(
            try await index.store.startGeneration(first.generation, of: upload.id, replacing: nil)
        )
        #expect(
            refusal(try await index.store.startGeneration(second.generation, of: upload.id, replacing: nil))
                == .staleGeneration(first.generation)
        )
        #expect(
            try await index.store.startGeneration(first.generation, of: upload.id, replacing: nil)
                == .applied(started.upload, [])
        )
        let replaced = try applied(
            try await index.store.startGeneration(second.generation, of: upload.id, replacing: first.generation)
        )
        #expect(replaced.upload.generation == second.generation)
        // Late: an older number never follows a newer one.
        #expect(
            refusal(
                try await index.store.startGeneration(
                    first.generation,
                    of: upload.id,
                    replacing: second.generation
                )
            ) == .staleGeneration(second.generation)
        )
    }

    @Test("A new generation counts every part as unshipped", arguments: StoreUnderTest.allCases)
    func restart(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        let old = try #require(upload.generation)
        let fence = try await index.claimed(upload.id)
        let new = try await index.begun(upload.id, replacing: old)
        let restarted = try #require(try await index.store.upload(upload.id))
        #expect(restarted.state == .shipping)
        #expect(restarted.shipped == Upload.Tally())
        #expect(restarted.verification == nil)
        #expect(try await index.store.parts(of: upload.id).map(\.shippedIn) == [old, old, old])
        // The claim of the merge is over, and so is the old generation.
        #expect(
            refusal(try await index.store.claim(upload.id, holder: "w2", for: .seconds(1))) == .state(.shipping)
        )
        let late = try await index.store.shipped(offset: 0, of: upload.id, in: old, verification: .digest)
        #expect(refusal(late) == .staleGeneration(new))
        let requeued = try await index.store.requeueShips(of: upload.id, from: 0, limit: 500)
        #expect(requeued.entries.map(\.job) == [0, 10, 20].map { .ship(upload.id, offset: $0) })
        #expect(requeued.next == nil)
        #expect(try await index.ship(upload.id, [20, 0, 10], in: new)?.state == .merging)
        let commit = try await index.store.beginCommit(
            upload.id,
            fence: fence,
            generation: new,
            finalFile: index.finalFile
        )
        #expect(refusal(commit) == .staleFence)
    }

    // MARK: Ships

    @Test("A thousand reports of the same ship count once", arguments: StoreUnderTest.allCases)
    func concurrentShips(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.completed()
        let generation = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [0, 10], in: generation)
        let merges = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<1_000 {
                group.addTask {
                    let change = try await index.store.shipped(
                        offset: 20,
                        of: upload.id,
                        in: generation,
                        verification: .digest
                    )
                    return try applied(change).entries.count
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(merges == 1)
        #expect(try await index.store.upload(upload.id)?.shipped == Upload.Tally(bytes: 30, parts: 3))
    }

    @Test("A ship counts only for a known part in the current generation", arguments: StoreUnderTest.allCases)
    func shipRefused(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let upload = try await index.received()
        let early = try await store.shipped(offset: 0, of: upload.id, in: Generation(5), verification: .size)
        #expect(refusal(early) == .staleGeneration(nil))
        let generation = try await index.begun(upload.id)
        let absent = try await store.shipped(offset: 30, of: upload.id, in: generation, verification: .size)
        #expect(refusal(absent) == .noSuchPart)
        let failure = Failure(.permissionDenied, "no")
        _ = try applied(try await store.fail(upload.id, fence: nil, failure: failure))
        let late = try await store.shipped(offset: 0, of: upload.id, in: generation, verification: .size)
        #expect(refusal(late) == .state(.failed))
    }

    @Test("The weakest proof of any part is the upload's", arguments: StoreUnderTest.allCases)
    func weakestProof(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let generation = try await index.begun(upload.id)
        var seen: [Verification?] = []
        for (offset, verification) in [(0, Verification.digest), (10, .size), (20, .readback)] {
            let change = try await index.store.shipped(
                offset: Int64(offset),
                of: upload.id,
                in: generation,
                verification: verification
            )
            seen.append(try applied(change).upload.verification)
        }
        #expect(seen == [.digest, .size, .size])
    }

    // MARK: Damage

    @Test("A damaged part is missing again before complete", arguments: StoreUnderTest.allCases)
    func strikeBefore(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let generation = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [0, 10], in: generation)
        #expect(refusal(try await index.store.strike(part(10, seed: 9), of: upload.id)) == .noSuchPart)
        let struck = try applied(try await index.store.strike(part(10), of: upload.id)).upload
        #expect(struck.state == .receiving)
        #expect(struck.received == Upload.Tally(bytes: 20, parts: 2))
        #expect(struck.shipped == Upload.Tally(bytes: 10, parts: 1))
        #expect(refusal(try await index.store.strike(part(10), of: upload.id)) == .noSuchPart)
        // Other bytes may come in its place.
        let again = try applied(try await index.store.receive(part(10, seed: 9), of: upload.id))
        #expect(again.entries.map(\.job) == [.ship(upload.id, offset: 10)])
    }

    @Test("A damaged part stops the upload after complete until it is sent again", arguments: StoreUnderTest.allCases)
    func strikeAfter(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        for isShipped in [false, true] {
            let upload = isShipped ? try await index.merging() : try await index.completed()
            let generation = isShipped ? try #require(upload.generation) : try await index.begun(upload.id)
            let struck = try applied(try await index.store.strike(part(10), of: upload.id)).upload
            #expect(struck.state == .failed)
            #expect(struck.failure == .damaged(part(10)))
            // A second one too.
            let twice = try applied(try await index.store.strike(part(20), of: upload.id)).upload
            #expect(twice.failure == .damaged(part(20)))
            #expect(twice.received == Upload.Tally(bytes: 10, parts: 1))
            #expect(refusal(try await index.store.replay(upload.id, overwrite: nil)) == .noSuchPart)

            let first = try applied(try await index.store.receive(part(10), of: upload.id))
            #expect(first.upload.state == .failed)
            let second = try applied(try await index.store.receive(part(20), of: upload.id))
            #expect(second.upload.state == .shipping)
            #expect(second.upload.failure == nil)
            #expect(second.entries.map(\.job) == [.ship(upload.id, offset: 20)])
            #expect(try await index.ship(upload.id, [0, 10, 20], in: generation)?.state == .merging)
        }
        let (committing, _) = try await index.committing()
        #expect(refusal(try await index.store.strike(part(0), of: committing.id)) == .state(.committing))
    }

    // MARK: Claims

    @Test("One claims a merge, others wait for the end of the lease", arguments: StoreUnderTest.allCases)
    func claim(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        let first = try await index.claimed(upload.id)
        // A duplicate delivery in the same process is another, too.
        for holder in ["w1", "w2"] {
            guard
                case .leased(let until) = refusal(
                    try await index.store.claim(upload.id, holder: holder, for: .seconds(9))
                )
            else {
                Issue.record("claimed twice")
                continue
            }
            #expect(until.isNear(index.now() + .seconds(60)))
        }
        // A renewal may shorten it, too.
        _ = try applied(try await index.store.renew(upload.id, fence: first, for: .milliseconds(30)))
        var second: Fence?
        try await index.eventually("the lease runs out") {
            let change = try await index.store.claim(upload.id, holder: "w2", for: .seconds(60))
            guard case .applied(let upload, let entries) = change else { return false }
            #expect(entries.isEmpty)
            second = upload.fence
            return true
        }
        let newer = try #require(second)
        #expect(newer > first)

        // Whoever holds the older claim can change nothing.
        let generation = try #require(upload.generation)
        #expect(refusal(try await index.store.renew(upload.id, fence: first, for: .seconds(60))) == .staleFence)
        let failure = Failure(.targetFailed, "late")
        #expect(refusal(try await index.store.fail(upload.id, fence: first, failure: failure)) == .staleFence)
        #expect(refusal(try await index.store.fail(upload.id, fence: nil, failure: failure)) == .staleFence)
        let late = try await index.store.beginCommit(
            upload.id,
            fence: first,
            generation: generation,
            finalFile: index.finalFile
        )
        #expect(refusal(late) == .staleFence)
        try await index.store.release(upload.id, fence: first)
        #expect(refusal(try await index.store.renew(upload.id, fence: newer, for: .seconds(60))) == nil)
        #expect(try await index.store.dueEntries(of: target(), limit: 500).isEmpty)
        let commit = try await index.store.beginCommit(
            upload.id,
            fence: newer,
            generation: generation,
            finalFile: index.finalFile
        )
        #expect(try applied(commit).upload.state == .committing)
        #expect(refusal(try await index.store.finish(upload.id, fence: first, atomic: true)) == .staleFence)
    }

    @Test("A claim can be renewed until it is another's or given up", arguments: StoreUnderTest.allCases)
    func renew(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        let fence = try await index.claimed(upload.id, for: .milliseconds(100))
        _ = try applied(try await index.store.renew(upload.id, fence: fence, for: .seconds(60)))
        try await index.pass(.milliseconds(150))
        guard
            case .leased(let until) = refusal(try await index.store.claim(upload.id, holder: "w2", for: .seconds(9)))
        else { return #expect(Bool(false), "the renewed lease ran out") }
        #expect(until.isNear(index.now() + .seconds(60)))

        try await index.store.release(upload.id, fence: fence)
        let due = try await index.store.dueEntries(of: target(), limit: 500)
        #expect(due.map(\.job) == [.merge(upload.id)])
        #expect(refusal(try await index.store.renew(upload.id, fence: fence, for: .seconds(60))) == .staleFence)
        _ = try await index.claimed(upload.id, by: "w2")
    }

    @Test("A claim leaves a merge job that is due after it", arguments: StoreUnderTest.allCases)
    func safetyJob(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.completed()
        let generation = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [0, 10], in: generation)
        let last = try await index.store.shipped(offset: 20, of: upload.id, in: generation, verification: .size)
        let sent = try applied(last).entries
        _ = try await index.claimed(upload.id, for: .milliseconds(50))
        // The confirm of the first job, coming late, does not take the safety job away.
        try await index.store.confirm(sent)
        try await index.eventually("the safety job is due a second after the lease") {
            try await index.store.dueEntries(of: target(), limit: 500).map(\.job).contains(.merge(upload.id))
        }
    }

    // MARK: Commit

    @Test("The commit wants the current claim and generation", arguments: StoreUnderTest.allCases)
    func commit(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        let generation = try #require(upload.generation)
        let fence = try await index.claimed(upload.id)
        #expect(refusal(try await index.store.finish(upload.id, fence: fence, atomic: true)) == .state(.merging))
        let stale = try await index.store.beginCommit(
            upload.id,
            fence: fence,
            generation: Generation(generation.number + 1),
            finalFile: index.finalFile
        )
        #expect(refusal(stale) == .staleGeneration(generation))
        let finalFile = FinalFile(size: 30, digest: digest(7), modified: -1)
        for _ in 0..<2 {
            let change = try await index.store.beginCommit(
                upload.id,
                fence: fence,
                generation: generation,
                finalFile: finalFile
            )
            #expect(try applied(change).upload.finalFile == finalFile)
        }
        let done = try applied(try await index.store.finish(upload.id, fence: fence, atomic: true))
        #expect(done.upload.atomic == true)
        #expect(try await index.store.finish(upload.id, fence: fence, atomic: true) == .applied(done.upload, []))
        let other = Fence(fence.number + 1)
        #expect(refusal(try await index.store.finish(upload.id, fence: other, atomic: true)) == .state(.done))
        #expect(refusal(try await index.store.claim(upload.id, holder: "w", for: .seconds(1))) == .state(.done))
    }

    // MARK: Failures and replays

    @Test("A failed upload waits with its reason", arguments: StoreUnderTest.allCases)
    func fail(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let failed = try await index.failed(.targetExists)
        #expect(failed.state == .failed)
        #expect(failed.failure == Failure(.targetExists, "no"))
        #expect(failed.endedAt == nil)
        #expect(try await index.store.uploads(UploadQuery(owner: nil, state: .failed)).uploads == [failed])
        let again = Failure(.poison, "again")
        #expect(try await index.store.fail(failed.id, fence: nil, failure: again) == .applied(failed, []))
        #expect(try await index.store.holder(of: failed.record.path, on: failed.record.target) == failed)
        let done = try await index.done()
        #expect(refusal(try await index.store.fail(done.id, fence: nil, failure: again)) == .state(.done))
    }

    @Test("A replay goes on where the upload can", arguments: StoreUnderTest.allCases)
    func replay(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let failure = Failure(.targetExists, "taken")
        let receiving = try await index.failed()
        let replayed = try applied(try await store.replay(receiving.id, overwrite: nil))
        #expect(replayed.upload.state == .receiving)
        #expect(replayed.upload.failure == nil)
        #expect(replayed.entries.isEmpty)
        // A thousand at once start one.
        #expect(refusal(try await store.replay(receiving.id, overwrite: nil)) == .state(.receiving))

        let shipping = try await index.completed()
        _ = try applied(try await store.fail(shipping.id, fence: nil, failure: failure))
        #expect(try applied(try await store.replay(shipping.id, overwrite: nil)).upload.state == .shipping)
        #expect(try await store.requeueShips(of: shipping.id, from: 0, limit: 500).entries.count == 3)

        let merging = try await index.merging()
        let fence = try await index.claimed(merging.id)
        _ = try applied(try await store.fail(merging.id, fence: fence, failure: failure))
        let merge = try applied(try await store.replay(merging.id, overwrite: .replace))
        #expect(merge.upload.state == .merging)
        #expect(merge.upload.record.overwrite == .replace)
        #expect(merge.entries.map(\.job) == [.merge(merging.id)])
        // The claim from before the failure is no claim any more.
        #expect(refusal(try await store.renew(merging.id, fence: fence, for: .seconds(1))) == .staleFence)

        let (committing, held) = try await index.committing()
        _ = try applied(try await store.fail(committing.id, fence: held, failure: failure))
        let commit = try applied(try await store.replay(committing.id, overwrite: nil))
        #expect(commit.upload.state == .committing)
        #expect(commit.upload.finalFile == index.finalFile)
        #expect(commit.entries.map(\.job) == [.merge(committing.id)])
        #expect(try await store.uploads(UploadQuery(owner: nil, state: .failed)).uploads.isEmpty)
    }

    // MARK: Retries

    private func request(
        _ job: Job,
        _ attempt: Int,
        fence: Fence? = nil,
        limit: Int? = 2,
        delay: Duration = .seconds(100)
    ) -> RetryRequest {
        let failure = Failure(.targetUnreachable, "attempt \(attempt)")
        return RetryRequest(job: job, attempt: attempt, fence: fence, limit: limit, delay: delay, failure: failure)
    }

    @Test("A ship job's attempts are counted, once each, and end", arguments: StoreUnderTest.allCases)
    func retryShip(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let upload = try await index.received()
        let job = Job.ship(upload.id, offset: 10)
        for attempt in 0..<2 {
            #expect(try await store.attempt(of: job) == attempt)
            guard case .scheduled(let after, let due) = try await store.retry(request(job, attempt)) else {
                return #expect(Bool(false), "not scheduled")
            }
            #expect(after.failure?.detail == "attempt \(attempt)")
            #expect(due.isNear(index.now() + .seconds(100)))
            #expect(try await store.retry(request(job, attempt)) == .stale)
        }
        let state = try #require(try await store.shipState(of: upload.id, offset: 10))
        #expect(state.attempt == 2)
        #expect(state.part == PartState(part: part(10)))
        // One that is not counted is scheduled all the same.
        guard case .scheduled = try await store.retry(request(job, 2, limit: nil)) else {
            return #expect(Bool(false), "not scheduled")
        }
        #expect(try await store.attempt(of: job) == 2)
        guard case .exhausted(let failed) = try await store.retry(request(job, 2)) else {
            return #expect(Bool(false), "not exhausted")
        }
        #expect(failed.state == .failed)
        #expect(failed.failure?.detail == "attempt 2")
        #expect(try await store.retry(request(job, 2)) == .stale)
        // A replay begins to count anew.
        _ = try applied(try await store.replay(upload.id, overwrite: nil))
        #expect(try await store.attempt(of: job) == 0)
        guard case .scheduled = try await store.retry(request(job, 0)) else {
            return #expect(Bool(false), "not scheduled")
        }
        let generation = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [10], in: generation)
        #expect(try await store.retry(request(job, 1)) == .stale)
        #expect(try await store.retry(request(.ship(upload.id, offset: 99), 0)) == .stale)
    }

    @Test("A merge's retry ends its claim and keeps the delay", arguments: StoreUnderTest.allCases)
    func retryMerge(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let upload = try await index.merging()
        let job = Job.merge(upload.id)
        let fence = try await index.claimed(upload.id)
        #expect(try await store.retry(request(job, 0, fence: Fence(1))) == .stale)
        guard case .scheduled(let after, _) = try await store.retry(request(job, 0, fence: fence)) else {
            return #expect(Bool(false), "not scheduled")
        }
        #expect(after.attempts == 1)
        #expect(try await store.attempt(of: job) == 1)
        // Giving up what was given up does not bring the job forward.
        try await store.release(upload.id, fence: fence)
        #expect(try await store.dueEntries(of: target(), limit: 500).isEmpty)
        let second = try await index.claimed(upload.id, by: "w2")
        #expect(try await store.retry(request(job, 0, fence: second)) == .stale)
        guard case .exhausted(let failed) = try await store.retry(request(job, 1, fence: second, limit: 1)) else {
            return #expect(Bool(false), "not exhausted")
        }
        #expect(failed.state == .failed)
        let replayed = try applied(try await store.replay(upload.id, overwrite: nil)).upload
        #expect(replayed.attempts == 0)
    }

    @Test("A clean job is retried for ever", arguments: StoreUnderTest.allCases)
    func retryClean(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.done()
        let job = Job.clean(upload.id)
        for attempt in 0..<5 {
            guard
                case .scheduled(let after, _) = try await index.store.retry(request(job, attempt, delay: .zero))
            else { return #expect(Bool(false), "not scheduled") }
            #expect(after.state == .done)
            #expect(after.failure == nil)
            #expect(try await index.store.retry(request(job, attempt)) == .stale)
        }
        #expect(try await index.store.attempt(of: job) == 5)
        #expect(try await index.store.dueEntries(of: target(), limit: 500).map(\.job) == [job])
        try await index.store.cleaned(upload.id)
        #expect(try await index.store.retry(request(job, 5)) == .stale)
        #expect(try await index.store.dueEntries(of: target(), limit: 500).isEmpty)
        let receiving = try await index.received()
        #expect(try await index.store.retry(request(.clean(receiving.id), 0)) == .stale)
        #expect(try await index.store.retry(request(.merge(receiving.id), 0)) == .stale)
    }
}
