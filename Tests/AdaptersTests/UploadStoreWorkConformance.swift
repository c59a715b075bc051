// What every index does for workers on their way to the commit: generations, ships, damage and claims.

import Core
import CoreTesting
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
        #expect(started.upload.strategy == .inPlace)
        let replaced = try applied(
            try await index.store.startGeneration(
                second.generation,
                of: upload.id,
                replacing: first.generation,
                by: .relay
            )
        )
        #expect(replaced.upload.strategy == .relay)
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

    @Test(
        "A commit keeps the proof of what was put together, else that of the parts",
        arguments: StoreUnderTest.allCases,
        [nil, Verification.size]
    )
    func assembled(_ kind: StoreUnderTest, proof: Verification?) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        #expect(upload.verification == .digest)
        let fence = try await index.claimed(upload.id)
        let change = try await index.store.beginCommit(
            upload.id,
            fence: fence,
            generation: try #require(upload.generation),
            finalFile: index.finalFile,
            verification: proof
        )
        let committing = try applied(change).upload
        #expect(committing.verification == proof ?? .digest)
        #expect(committing.sealedBy == fence)
        // What a replay builds anew has neither.
        let failure = Failure(.commitUnknown, "gone")
        _ = try applied(try await index.store.fail(upload.id, fence: fence, failure: failure))
        let replayed = try applied(try await index.store.replay(upload.id, overwrite: nil)).upload
        #expect(replayed.sealedBy == nil && replayed.strategy == nil && replayed.partFile == nil)
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
}
