// What every index does at the end of a worker's way: commits, failures, replays and retries.

import Core
import CoreTesting
import Testing

@Suite("Upload store, commits and failures")
struct UploadStoreFailureConformance {
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
        // What is to be shipped, the merge job finds.
        #expect(replayed.entries.map(\.job) == [.merge(receiving.id)])
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
