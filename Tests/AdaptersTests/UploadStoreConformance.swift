// What every index does: the life of an upload as its clients and workers see it. Runs on the fake and on the real one.

import Core
import CoreTesting
import Testing

@Suite("Upload store")
struct UploadStoreConformance {
    @Test("An upload goes from creation to its history record", arguments: StoreUnderTest.allCases)
    func wholeLife(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let record = try index.record(size: nil, digest: digest(9), metadata: ["name": "a b"])
        let created = try await index.created(record)
        #expect(created.record == record)
        #expect(created.state == .receiving)
        #expect(created.updatedAt.isNear(index.now()))
        #expect(try await store.upload(record.id) == created)
        #expect(try await store.holder(of: record.path, on: record.target) == created)

        let first = try applied(try await store.receive(part(0), of: record.id))
        #expect(first.upload.received == Upload.Tally(bytes: 10, parts: 1))
        #expect(first.entries.map(\.job) == [.ship(record.id, offset: 0)])
        #expect(first.entries.allSatisfy { $0.due.isNear(index.now() + .seconds(5)) && $0.target == record.target })
        let second = try applied(try await store.receive(part(10, 5), of: record.id)).upload
        #expect(second.received == Upload.Tally(bytes: 15, parts: 2))
        #expect(try await store.parts(of: record.id) == [PartState(part: part(0)), PartState(part: part(10, 5))])

        let next = try #require(try await store.nextGeneration(of: record.id))
        #expect(next.upload.preparations == 1)
        let started = try applied(try await store.startGeneration(next.generation, of: record.id, replacing: nil))
        #expect(started.upload.generation == next.generation)
        #expect(started.entries.isEmpty)
        let shipped = try #require(try await index.ship(record.id, [0], in: next.generation))
        #expect(shipped.shipped == Upload.Tally(bytes: 10, parts: 1))
        #expect(shipped.state == .receiving)

        let complete = try applied(try await store.complete(record.id, size: 15, digest: nil))
        #expect(complete.upload.state == .shipping)
        #expect(complete.upload.record.size == 15)
        #expect(complete.upload.record.digest == digest(9))
        #expect(complete.entries.isEmpty)
        let last = try applied(
            try await store.shipped(offset: 10, of: record.id, in: next.generation, verification: .digest)
        )
        #expect(last.upload.state == .merging)
        #expect(last.entries.map(\.job) == [.merge(record.id)])
        #expect(last.entries.allSatisfy { $0.due.isNear(index.now() + .seconds(5)) })

        let claim = try applied(try await store.claim(record.id, holder: "w1", for: .seconds(60)))
        let fence = try #require(claim.upload.fence)
        let finalFile = FinalFile(size: 15, digest: digest(9), modified: 1_790_000_000)
        let commit = try applied(
            try await store.beginCommit(record.id, fence: fence, generation: next.generation, finalFile: finalFile)
        )
        #expect(commit.upload.state == .committing)
        #expect(commit.upload.finalFile == finalFile)
        let done = try applied(try await store.finish(record.id, fence: fence, atomic: false))
        #expect(done.upload.state == .done)
        #expect(done.upload.atomic == false)
        #expect(done.upload.endedAt?.isNear(index.now()) == true)
        #expect(done.upload.mergedBytes == 15)
        #expect(done.entries.map(\.job) == [.clean(record.id)])

        try await store.cleaned(record.id)
        #expect(try await store.holder(of: record.path, on: record.target) == nil)
        #expect(try await store.parts(of: record.id) == [])
        #expect(try await store.upload(record.id)?.state == .done)
        try await store.cleaned(record.id)
    }

    @Test("What nobody created is unknown", arguments: StoreUnderTest.allCases)
    func unknown(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let id = uploadID()
        #expect(try await store.upload(id) == nil)
        #expect(try await store.receive(part(0), of: id) == .unknown)
        #expect(try await store.complete(id, size: 1, digest: nil) == .unknown)
        #expect(try await store.cancel(id) == .unknown)
        #expect(try await store.expire(id) == .unknown)
        #expect(try await store.replay(id, overwrite: nil) == .unknown)
        #expect(try await store.nextGeneration(of: id) == nil)
        #expect(try await store.startGeneration(Generation(1), of: id, replacing: nil) == .unknown)
        #expect(try await store.shipped(offset: 0, of: id, in: Generation(1), verification: .size) == .unknown)
        #expect(try await store.strike(part(0), of: id) == .unknown)
        #expect(try await store.claim(id, holder: "w", for: .seconds(1)) == .unknown)
        #expect(try await store.renew(id, fence: Fence(1), for: .seconds(1)) == .unknown)
        #expect(try await store.finish(id, fence: Fence(1), atomic: true) == .unknown)
        #expect(try await store.fail(id, fence: nil, failure: Failure(.poison, "")) == .unknown)
        #expect(try await store.shipState(of: id, offset: 0) == nil)
        #expect(try await store.attempt(of: .merge(id)) == 0)
        #expect(try await store.parts(of: id) == [])
        #expect(try await store.requeueShips(of: id, from: 0, limit: 10).next == nil)
        try await store.release(id, fence: Fence(1))
        try await store.cleaned(id)
        #expect(try await store.upload(id) == nil)
    }

    // MARK: Creation

    @Test("A path is held by one unfinished upload", arguments: StoreUnderTest.allCases)
    func pathLock(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let first = try await index.created(try index.record(path: "a/b"))
        let second = try index.record(owner: "bob", path: "a/b")
        #expect(try await index.store.create(second) == .held(by: first))
        #expect(try await index.store.upload(second.id) == nil)
        // Another target's path of the same name is another path.
        try await index.created(try index.record(target: "web-2", path: "a/b"))

        // An ended upload holds it until its leftovers are cleaned away; then it is free.
        let cancelled = try applied(try await index.store.cancel(first.id)).upload
        #expect(try await index.store.create(second) == .held(by: cancelled))
        try await index.store.cleaned(first.id)
        try await index.created(second)
        // Cleaned up again, late: the path is the second's now.
        try await index.store.cleaned(first.id)
        #expect(try await index.store.holder(of: second.path, on: second.target)?.id == second.id)
    }

    @Test("A creation said twice happens once", arguments: StoreUnderTest.allCases)
    func createdTwice(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(key: "k")
        let created = try await index.created(record)
        #expect(try await index.store.create(record) == .created(created))
        // The same key of the same owner finds it again, whatever else is said; another owner's key is another key.
        let again = try index.record(key: "k")
        #expect(try await index.store.create(again) == .repeated(created))
        try await index.created(try index.record(owner: "bob", key: "k"))
        // One that was given up is no answer: the key leads to the next one from there on.
        _ = try applied(try await index.store.cancel(record.id))
        let next = try await index.created(again)
        #expect(try await index.store.create(try index.record(key: "k")) == .repeated(next))
    }

    @Test("A creation said again after its file has arrived is answered with it", arguments: StoreUnderTest.allCases)
    func createdTwiceAfterwards(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(size: 0, key: "k")
        try await index.created(record)
        _ = try applied(try await index.store.complete(record.id, size: 0, digest: nil))
        let generation = try await index.begun(record.id)
        let fence = try await index.claimed(record.id)
        let finalFile = FinalFile(size: 0, digest: nil, modified: 1)
        let commit = try await index.store.beginCommit(
            record.id,
            fence: fence,
            generation: generation,
            finalFile: finalFile
        )
        _ = try applied(commit)
        let done = try applied(try await index.store.finish(record.id, fence: fence, atomic: true)).upload
        #expect(try await index.store.create(try index.record(key: "k")) == .repeated(done))
    }

    @Test("Of a hundred creations at once for one path, one succeeds", arguments: StoreUnderTest.allCases)
    func concurrentCreations(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let records = try (0..<100).map { _ in try index.record(path: "one/path") }
        let created = try await withThrowingTaskGroup(of: Bool.self) { group in
            for record in records {
                group.addTask {
                    if case .created = try await index.store.create(record) { true } else { false }
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(created == 1)
    }

    // MARK: Parts

    @Test("The same part again changes nothing, other bytes are a conflict", arguments: StoreUnderTest.allCases)
    func receiveTwice(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record()
        let once = try await index.received(record, [part(0)])
        #expect(try await index.store.receive(part(0), of: record.id) == .applied(once, []))
        #expect(try await index.store.receive(part(0, seed: 2), of: record.id) == .refused(.conflict(part(0))))
        #expect(try await index.store.receive(part(0, 9), of: record.id) == .refused(.conflict(part(0))))
        #expect(try await index.store.upload(record.id) == once)
    }

    @Test("A part puts the expiry off", arguments: StoreUnderTest.allCases)
    func expiryMoves(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(createdAt: index.now() - .seconds(100), lifetime: .seconds(1_000))
        let upload = try await index.received(record, [part(0)])
        #expect(upload.record.expiresAt.isNear(index.now() + .seconds(1_000)))
    }

    @Test(
        "New parts are taken only while the upload receives; known ones stay acknowledged",
        arguments: StoreUnderTest.allCases
    )
    func receiveLate(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let shipping = try await index.completed()
        #expect(try await index.store.receive(part(10), of: shipping.id) == .applied(shipping, []))
        #expect(try await index.store.receive(part(30), of: shipping.id) == .refused(.state(.shipping)))
        let merging = try await index.merging()
        #expect(try await index.store.receive(part(0), of: merging.id) == .applied(merging, []))
        #expect(try await index.store.receive(part(30), of: merging.id) == .refused(.state(.merging)))
        let done = try await index.done()
        #expect(try await index.store.receive(part(0), of: done.id) == .refused(.state(.done)))
        let failed = try await index.failed()
        #expect(try await index.store.receive(part(0), of: failed.id) == .applied(failed, []))
        // The rest of one that has failed before its end is kept for when it is replayed; no job follows yet.
        let more = try applied(try await index.store.receive(part(30), of: failed.id))
        #expect(more.upload.state == .failed && more.upload.received.parts == 4 && more.entries.isEmpty)
    }

    @Test("What nobody was told of can be taken back; what was acknowledged cannot", arguments: StoreUnderTest.allCases)
    func takenBack(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let touched = try await index.received(try index.record(), [part(0)])
        #expect(try await index.store.cancel(touched.id, by: "", only: .untouched) == .refused(.unfit(touched)))
        let shipping = try await index.completed()
        #expect(try await index.store.cancel(shipping.id, by: "", only: .untouched) == .refused(.unfit(shipping)))
        let record = try index.record()
        _ = try await index.store.create(record)
        guard case .applied(let upload, let entries) = try await index.store.cancel(record.id, by: "", only: .untouched)
        else {
            Issue.record("an upload without parts was not taken back")
            return
        }
        #expect(upload.state == .cancelled && entries.map(\.job) == [.clean(record.id)])
    }

    // MARK: Complete

    @Test("Complete wants all parts, and what was said before", arguments: StoreUnderTest.allCases)
    func completeRefused(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let record = try index.record(digest: digest(3))
        let partial = try await index.received(record, [part(0), part(20)])
        #expect(try await store.complete(record.id, size: 30, digest: nil) == .refused(.partsMissing(partial)))
        #expect(try await store.complete(record.id, size: 20, digest: nil) == .refused(.contradicts(partial)))
        #expect(
            try await store.complete(record.id, size: 30, digest: digest(4)) == .refused(.contradicts(partial))
        )
        _ = try applied(try await store.receive(part(10), of: record.id))
        let complete = try applied(try await store.complete(record.id, size: 30, digest: digest(3))).upload
        #expect(complete.state == .shipping)
        // Again, as it was said or with less: nothing changes. Otherwise: refused.
        #expect(try await store.complete(record.id, size: 30, digest: digest(3)) == .applied(complete, []))
        #expect(try await store.complete(record.id, size: 30, digest: nil) == .applied(complete, []))
        #expect(
            try await store.complete(record.id, size: 30, digest: digest(4)) == .refused(.contradicts(complete))
        )
        #expect(try await store.complete(record.id, size: 31, digest: nil) == .refused(.contradicts(complete)))

        // A digest that was never declared comes too late once the upload is on its way.
        let other = try await index.completed()
        #expect(try await store.complete(other.id, size: 30, digest: digest(1)) == .refused(.contradicts(other)))
        let cancelled = try applied(try await store.cancel(other.id)).upload
        #expect(try await store.complete(other.id, size: 30, digest: nil) == .refused(.state(cancelled.state)))
        let failed = try await index.failed()
        // It stays failed, and comes to its end once it is replayed.
        let asked = try applied(try await store.complete(failed.id, size: 30, digest: digest(1)))
        #expect(asked.upload.state == .failed && asked.upload.isComplete && asked.entries.isEmpty)
        #expect(try await store.complete(failed.id, size: 30, digest: nil) == .applied(asked.upload, []))
        #expect(try applied(try await store.replay(failed.id, overwrite: nil)).upload.state == .shipping)
        let done = try await index.done()
        #expect(try await store.complete(done.id, size: 30, digest: nil) == .applied(done, []))
    }

    @Test("Complete goes straight to the merge where all is shipped", arguments: StoreUnderTest.allCases)
    func completeAfterShipping(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let generation = try await index.begun(upload.id)
        let shipped = try #require(try await index.ship(upload.id, [0, 10, 20], in: generation))
        #expect(shipped.state == .receiving)
        let complete = try applied(try await index.store.complete(upload.id, size: 30, digest: nil))
        #expect(complete.upload.state == .merging)
        #expect(complete.entries.map(\.job) == [.merge(upload.id)])
    }

    @Test("An empty file without parts goes straight to the merge", arguments: StoreUnderTest.allCases)
    func emptyFile(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(size: 0)
        try await index.created(record)
        let complete = try applied(try await index.store.complete(record.id, size: 0, digest: nil))
        #expect(complete.upload.state == .merging)
        #expect(complete.upload.generation == nil)
        #expect(complete.entries.map(\.job) == [.merge(record.id)])
        // The merge's holder prepares it, and keeps its claim.
        let fence = try await index.claimed(record.id)
        let generation = try await index.begun(record.id)
        _ = try applied(try await index.store.renew(record.id, fence: fence, for: .seconds(60)))
        // A restart ends the claim; the merge begins again.
        let next = try #require(try await index.store.nextGeneration(of: record.id))
        let restart = try applied(
            try await index.store.startGeneration(next.generation, of: record.id, replacing: generation)
        )
        #expect(restart.upload.state == .merging)
        #expect(restart.entries.map(\.job) == [.merge(record.id)])
        #expect(refusal(try await index.store.renew(record.id, fence: fence, for: .seconds(60))) == .staleFence)

        // A failed one comes back to the merge.
        let second = try await index.claimed(record.id)
        let failure = Failure(.targetExists, "taken")
        _ = try applied(try await index.store.fail(record.id, fence: second, failure: failure))
        let replayed = try applied(try await index.store.replay(record.id, overwrite: .replace))
        #expect(replayed.upload.state == .merging)
        #expect(replayed.entries.map(\.job) == [.merge(record.id)])
    }

    @Test("An empty file's one empty part must be shipped", arguments: StoreUnderTest.allCases)
    func emptyPart(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(size: 0)
        _ = try await index.received(record, [part(0, 0)])
        let complete = try applied(try await index.store.complete(record.id, size: 0, digest: nil))
        #expect(complete.upload.state == .shipping)
        let generation = try await index.begun(record.id)
        #expect(try await index.ship(record.id, [0], in: generation)?.state == .merging)
    }

    // MARK: Endings

    @Test("Cancel ends what can still be given up", arguments: StoreUnderTest.allCases)
    func cancel(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        for upload in [
            try await index.received(), try await index.completed(), try await index.merging(),
            try await index.failed(),
        ] {
            let cancelled = try applied(try await index.store.cancel(upload.id))
            #expect(cancelled.upload.state == .cancelled)
            #expect(cancelled.upload.endedAt?.isNear(index.now()) == true)
            #expect(cancelled.entries.map(\.job) == [.clean(upload.id)])
            #expect(refusal(try await index.store.cancel(upload.id)) == .ended(cancelled.upload))
        }
        let (committing, fence) = try await index.committing()
        #expect(refusal(try await index.store.cancel(committing.id)) == .committing)
        // A failure after the commit had begun can be given up.
        let failure = Failure(.commitUnknown, "gone")
        _ = try applied(try await index.store.fail(committing.id, fence: fence, failure: failure))
        #expect(try applied(try await index.store.cancel(committing.id)).upload.state == .cancelled)
        let done = try await index.done()
        #expect(refusal(try await index.store.cancel(done.id)) == .ended(done))
        #expect(try await index.store.uploads(UploadQuery(owner: nil, state: .failed)).uploads.isEmpty)
    }

    @Test("Nothing works on a cancelled upload", arguments: StoreUnderTest.allCases)
    func cancelledWork(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let merging = try await index.merging()
        let generation = try #require(merging.generation)
        let fence = try await index.claimed(merging.id)
        _ = try applied(try await index.store.cancel(merging.id))
        let commit = try await index.store.beginCommit(
            merging.id,
            fence: fence,
            generation: generation,
            finalFile: index.finalFile
        )
        #expect(refusal(commit) == .state(.cancelled))
        #expect(
            refusal(try await index.store.renew(merging.id, fence: fence, for: .seconds(1))) == .state(.cancelled)
        )
        #expect(try await index.store.nextGeneration(of: merging.id) == nil)
        #expect(
            refusal(try await index.store.startGeneration(Generation(.max), of: merging.id, replacing: generation))
                == .state(.cancelled)
        )
        try await index.store.release(merging.id, fence: fence)
        #expect(try await index.store.upload(merging.id)?.state == .cancelled)
    }
}
