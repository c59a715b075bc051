// How every index is brought back from staging, and that nothing changes before it is.

import Core
import CoreTesting
import Testing

@Suite("Upload store, rebuild")
struct UploadStoreRebuildConformance {
    private let parts = [part(0), part(10), part(20)]
    private let finalFile = FinalFile(size: 30, digest: digest(1), modified: 5)

    private func time(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: 1_700_000_000_000_000 + seconds) }

    private func complete(_ size: Int64 = 30) -> Marker { .complete(size: size, digest: digest(1), at: time(1)) }

    @Test("Nothing changes in an index that is not staging's", arguments: StoreUnderTest.allCases)
    func refusedWhileForeign(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record()
        try await index.created(record)
        // Another process is attached to nothing yet.
        let other = index.another()
        await #expect(throws: StoreError.rebuilding) { try await other.receive(part(0), of: record.id) }
        #expect(try await other.condition(epoch: "another") == .foreign)
        await #expect(throws: StoreError.rebuilding) { try await other.receive(part(0), of: record.id) }
        #expect(try await other.upload(record.id) != nil)
        #expect(try await other.condition(epoch: "epoch") == .current)
        _ = try applied(try await other.receive(part(0), of: record.id))

        try await index.wipe()
        for store in [index.store, other] {
            await #expect(throws: StoreError.rebuilding) { try await store.create(record) }
            await #expect(throws: StoreError.rebuilding) { try await store.cancel(record.id) }
            await #expect(throws: StoreError.rebuilding) { try await store.dueEntries(of: target(), limit: 1) }
            await #expect(throws: StoreError.rebuilding) { try await store.cleaned(record.id) }
            #expect(try await store.condition(epoch: "epoch") == .foreign)
            #expect(try await store.upload(record.id) == nil)
        }
        let staged = StagedUpload(record: record, parts: [part(0)], markers: [])
        _ = try applied(try await other.restore(staged))
        await #expect(throws: StoreError.rebuilding) { try await other.cancel(record.id) }
        try await other.adopt(epoch: "epoch")
        #expect(try await index.store.condition(epoch: "epoch") == .current)
        _ = try applied(try await index.store.receive(part(10), of: record.id))
        _ = try applied(try await other.cancel(record.id))
    }

    @Test("Without endings an upload receives again", arguments: StoreUnderTest.allCases)
    func receiving(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        var record = try index.record(
            key: "k",
            metadata: ["a": "b"],
            createdAt: index.now() - .seconds(9_000),
            lifetime: .seconds(5_000)
        )
        record.attributes = FinalAttributes(mode: FileMode(octal: "0640"), modifiedAt: time(7))
        let staged = StagedUpload(record: record, parts: [part(0), part(20)], markers: [])
        let restored = try applied(try await index.store.restore(staged))
        #expect(restored.upload.state == .receiving)
        #expect(restored.upload.received == Upload.Tally(bytes: 20, parts: 2))
        #expect(restored.upload.preparations == 1)
        // Whoever restores may die before the ship jobs are recorded: this one records them.
        #expect(restored.entries.map(\.job) == [.merge(record.id)])
        // It had no chance to be used while the index was gone.
        #expect(restored.upload.record.expiresAt.isNear(index.now() + .seconds(5_000)))
        var known = restored.upload.record
        known.expiresAt = record.expiresAt
        #expect(known == record)
        #expect(try await index.store.parts(of: record.id).map(\.part) == [part(0), part(20)])
        #expect(try await index.store.create(try index.record(key: "k")) == .repeated(restored.upload))
        #expect(try await index.store.uploads(UploadQuery(owner: record.owner)).uploads == [restored.upload])
        #expect(try await index.store.requeueShips(of: record.id, from: 0, limit: 9).entries.count == 2)
        // Once more: nothing changes.
        #expect(try applied(try await index.store.restore(staged)).upload.received == restored.upload.received)
    }

    @Test("Complete counts only if the parts cover the size", arguments: StoreUnderTest.allCases)
    func completed(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(size: nil)
        let staged = StagedUpload(record: record, parts: parts, markers: [complete()])
        let whole = try applied(try await index.store.restore(staged))
        #expect(whole.upload.state == .shipping)
        #expect(whole.upload.record.size == 30)
        #expect(whole.upload.record.digest == digest(1))
        #expect(whole.entries.map(\.job) == [.merge(record.id)])

        for (parts, size) in [([part(0), part(20)], Int64(30)), ([part(0), part(20)], 20), ([part(0)], 30)] {
            let staged = StagedUpload(record: try index.record(size: nil), parts: parts, markers: [complete(size)])
            let upload = try applied(try await index.store.restore(staged)).upload
            #expect(upload.state == .receiving)
            #expect(upload.record.size == nil)
        }
        let empty = StagedUpload(record: try index.record(size: 0), parts: [], markers: [complete(0)])
        let merging = try applied(try await index.store.restore(empty))
        #expect(merging.upload.state == .merging)
        #expect(merging.entries.map(\.job) == [.merge(empty.record.id)])
    }

    @Test("Endings come back with their clean jobs", arguments: StoreUnderTest.allCases)
    func endings(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let cancelled = Marker.cancelled(by: "alice", at: time(2))
        let expired = Marker.expired(at: time(3))
        let done = Marker.done(finalFile, at: time(4))
        let table: [([Marker], UploadState, Timestamp)] = [
            ([cancelled], .cancelled, time(2)), ([complete(), cancelled], .cancelled, time(2)),
            ([expired], .expired, time(3)), ([expired, cancelled], .cancelled, time(2)),
            ([complete(), done], .done, time(4)), ([cancelled, done], .done, time(4)),
        ]
        for (markers, state, at) in table {
            let record = try index.record(size: nil)
            let staged = StagedUpload(record: record, parts: parts, markers: markers)
            let restored = try applied(try await index.store.restore(staged))
            #expect(restored.upload.state == state)
            #expect(restored.upload.endedAt == at)
            #expect(restored.upload.finalFile == (state == .done ? finalFile : nil))
            #expect(restored.entries.map(\.job) == [.clean(record.id)])
            // Nobody else may have the path before it is cleaned.
            #expect(try await index.store.holder(of: record.path, on: record.target)?.id == record.id)
            try await index.store.cleaned(record.id)
            #expect(try await index.store.holder(of: record.path, on: record.target) == nil)
            // Cleaned once more, if staging still has it.
            let again = try applied(try await index.store.restore(staged))
            #expect(again.upload.state == state)
            #expect(again.entries.map(\.job) == [.clean(record.id)])
        }
    }

    @Test("What the index knows beyond staging stays", arguments: StoreUnderTest.allCases)
    func keepsKnowledge(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let endings = [complete(), .cancelled(by: "alice", at: time(2)), .expired(at: time(3))]

        // A commit that began is not cancelled by a marker that nobody was told of, nor is a done one.
        let (committing, _) = try await index.committing()
        let staged = StagedUpload(record: committing.record, parts: parts, markers: endings)
        let kept = try applied(try await store.restore(staged))
        #expect(kept.upload.state == .committing)
        #expect(kept.upload.generation == committing.generation)
        #expect(kept.upload.finalFile == committing.finalFile)
        #expect(kept.upload.shipped == committing.shipped)
        // Its worker has it; sent now, the job that is due after the claim would be gone by then.
        #expect(kept.entries.isEmpty)
        let done = try await index.done()
        let kind = StagedUpload(record: done.record, parts: parts, markers: endings)
        #expect(try applied(try await store.restore(kind)).upload == done)

        // A tail was lost: the last part and complete are only in staging.
        let receiving = try await index.received(try index.record(), [part(0), part(10)])
        let generation = try await index.begun(receiving.id)
        _ = try await index.ship(receiving.id, [0], in: generation)
        let more = StagedUpload(record: receiving.record, parts: parts, markers: [complete()])
        let caughtUp = try applied(try await store.restore(more)).upload
        #expect(caughtUp.state == .shipping)
        #expect(caughtUp.received == Upload.Tally(bytes: 30, parts: 3))
        #expect(caughtUp.shipped == Upload.Tally(bytes: 10, parts: 1))
        #expect(try await store.requeueShips(of: receiving.id, from: 0, limit: 9).entries.count == 2)
        #expect(try await index.ship(receiving.id, [10, 20], in: generation)?.state == .merging)

        // All was shipped, and only complete was lost.
        let shipped = try await index.received()
        let second = try await index.begun(shipped.id)
        _ = try await index.ship(shipped.id, [0, 10, 20], in: second)
        let ready = StagedUpload(record: shipped.record, parts: parts, markers: [complete()])
        let merging = try applied(try await store.restore(ready))
        #expect(merging.upload.state == .merging)
        #expect(merging.entries.map(\.job) == [.merge(shipped.id)])

        // The commit's record was lost, its marker was not.
        let (lost, fence) = try await index.committing()
        let found = StagedUpload(record: lost.record, parts: parts, markers: [.done(finalFile, at: time(9))])
        #expect(try applied(try await store.restore(found)).upload.state == .done)
        #expect(refusal(try await store.renew(lost.id, fence: fence, for: .seconds(1))) == .state(.done))

        // A failed upload stays failed; it goes on from what staging says when it is replayed.
        let failed = try await index.failed()
        let waiting = StagedUpload(record: failed.record, parts: parts, markers: [complete()])
        #expect(try applied(try await store.restore(waiting)).upload.state == .failed)
        #expect(try applied(try await store.replay(failed.id, overwrite: nil)).upload.state == .shipping)
    }

    @Test("A claim's safety job outlives a restore", arguments: StoreUnderTest.allCases)
    func safetyJob(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let upload = try await index.merging()
        _ = try await index.claimed(upload.id, for: .milliseconds(300))
        let staged = StagedUpload(record: upload.record, parts: parts, markers: [complete()])
        let restored = try applied(try await store.restore(staged))
        #expect(restored.upload.state == .merging)
        #expect(restored.entries.isEmpty)
        try await index.eventually("the job is due a second after the lease") {
            try await store.dueEntries(of: target(), limit: 500).map(\.job).contains(.merge(upload.id))
        }
        // Now it is sent at once.
        #expect(try applied(try await store.restore(staged)).entries.map(\.job) == [.merge(upload.id)])
    }

    @Test("At an offset with other content staging wins", arguments: StoreUnderTest.allCases)
    func stagingWins(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let generation = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [0, 10], in: generation)
        let staged = StagedUpload(record: upload.record, parts: [part(0), part(10, 5, seed: 8), part(20)], markers: [])
        let restored = try applied(try await index.store.restore(staged)).upload
        #expect(restored.received == Upload.Tally(bytes: 25, parts: 3))
        #expect(restored.shipped == Upload.Tally(bytes: 10, parts: 1))
        #expect(try await index.store.parts(of: upload.id)[1] == PartState(part: part(10, 5, seed: 8)))
    }

    @Test("A path that another holds by now is not taken from it", arguments: StoreUnderTest.allCases)
    func pathHeld(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let holder = try index.record(path: "one")
        try await index.created(holder)
        _ = try applied(try await store.receive(part(0), of: holder.id))
        let late = StagedUpload(record: try index.record(path: "one"), parts: parts, markers: [])
        #expect(refusal(try await store.restore(late)) == .pathHeld(by: holder.id))
        #expect(try await store.upload(late.record.id) == nil)
        // An ended one comes back to be cleaned away, and leaves the path alone.
        let marker = Marker.cancelled(by: "alice", at: time(1))
        let ended = StagedUpload(record: try index.record(path: "one"), parts: [], markers: [marker])
        #expect(try applied(try await store.restore(ended)).upload.state == .cancelled)
        #expect(try await store.holder(of: holder.path, on: holder.target)?.id == holder.id)
        try await store.cleaned(ended.record.id)
        #expect(try await store.holder(of: holder.path, on: holder.target)?.id == holder.id)
        // An unfinished one takes it from one that only waits to be cleaned away.
        _ = try applied(try await store.cancel(holder.id))
        #expect(try applied(try await store.restore(late)).upload.state == .receiving)
        try await store.cleaned(holder.id)
        #expect(try await store.holder(of: holder.path, on: holder.target)?.id == late.record.id)
    }

    @Test("Of two uploads of one path, only one was answered", arguments: StoreUnderTest.allCases)
    func pathOfAGhost(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let ghost = try index.record(path: "one")
        let markers: [Marker] = []
        _ = try applied(try await store.restore(StagedUpload(record: ghost, parts: [], markers: markers)))
        let empty = StagedUpload(record: try index.record(path: "one"), parts: [], markers: markers)
        #expect(refusal(try await store.restore(empty)) == .pathHeld(by: ghost.id))
        let real = StagedUpload(record: try index.record(path: "one"), parts: parts, markers: markers)
        #expect(try applied(try await store.restore(real)).upload.state == .receiving)
        #expect(try await store.upload(ghost.id)?.state == .cancelled)
        #expect(try await store.holder(of: ghost.path, on: ghost.target)?.id == real.record.id)
        // Its creation, should it come after all, is told so.
        guard case .created(let created) = try await store.create(ghost) else {
            Issue.record("the ghost is not known")
            return
        }
        #expect(created.state == .cancelled)
        try await store.cleaned(ghost.id)
        #expect(try await store.holder(of: ghost.path, on: ghost.target)?.id == real.record.id)
    }

    @Test("An upload of many parts comes back whole", arguments: StoreUnderTest.allCases, UploadProtocol.allCases)
    func manyParts(_ kind: StoreUnderTest, _ uploadProtocol: UploadProtocol) async throws {
        let index = try await kind.index()
        let parts = (0..<1_201).map { part($0 * 10) }
        let record = try index.record(uploadProtocol, size: nil)
        let staged = StagedUpload(record: record, parts: parts, markers: [complete(12_010)])
        let upload = try applied(try await index.store.restore(staged)).upload
        #expect(upload.state == .shipping)
        #expect(upload.received == Upload.Tally(bytes: 12_010, parts: 1_201))
        #expect(try await index.store.parts(of: record.id).map(\.part) == parts)
        var jobs = 0
        var from: Int64? = 0
        while let offset = from {
            let page = try await index.store.requeueShips(of: record.id, from: offset, limit: 500)
            jobs += page.entries.count
            from = page.next
        }
        #expect(jobs == 1_201)
    }
}
