// What every index does for small files that come whole, and for ship jobs that may have nothing to do.

import Core
import CoreTesting
import Testing

@Suite("Upload store, for whole files and ship jobs")
struct UploadStoreWholeConformance {
    // MARK: Whole files

    @Test(
        "A part that is the whole file goes to its merge at once, and into the claim's own generation",
        arguments: StoreUnderTest.allCases
    )
    func whole(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(.whole, size: 10)
        try await index.created(record)
        let (taken, entries) = try applied(try await index.store.submit(part(0), of: record.id))
        #expect(taken.state == .merging && taken.isComplete && taken.whole == part(0) && taken.carriedPart == part(0))
        #expect(taken.received == Upload.Tally(bytes: 10, parts: 1) && taken.shipped == Upload.Tally())
        #expect(entries.map(\.job) == [.merge(record.id)])
        #expect(try await index.store.history(of: record.id).map(\.kind) == [.created, .completed])
        // Said twice, it is refused, and nothing changes.
        #expect(refusal(try await index.store.submit(part(0), of: record.id)) == .state(.merging))

        for count in 1...2 {
            let fence = try await index.claimed(record.id)
            #expect(try await index.store.upload(record.id)?.preparations == count)
            if count == 1 { try await index.store.release(record.id, fence: fence) }
        }
        let fence = try #require(try await index.store.upload(record.id)?.fence)
        let change = try await index.store.beginCommit(
            record.id,
            fence: fence,
            generation: Generation(fence.number),
            finalFile: FinalFile(size: 10, digest: nil, modified: 1_790_000_000),
            verification: .readback
        )
        let committing = try applied(change).upload
        #expect(committing.state == .committing && committing.carriedPart == nil)
        #expect(committing.generation == Generation(fence.number) && committing.strategy == .inPlace)
        #expect(committing.isAllShipped && committing.verification == .readback)
        #expect(try await index.store.parts(of: record.id).map(\.shippedIn) == [Generation(fence.number)])
        let done = try applied(try await index.store.finish(record.id, fence: fence, atomic: true)).upload
        #expect(done.state == .done)
    }

    @Test("Only the first part of an upload of that size is its whole file", arguments: StoreUnderTest.allCases)
    func notWhole(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let other = try index.record(.whole, size: 20)
        try await index.created(other)
        #expect(refusal(try await index.store.submit(part(0), of: other.id)) == .state(.receiving))
        #expect(try await index.store.submit(part(0), of: uploadID()) == .unknown)
        let begun = try await index.received(try index.record(size: 10), [part(0)])
        #expect(refusal(try await index.store.submit(part(0), of: begun.id)) == .state(.receiving))
        #expect(try await index.store.upload(begun.id)?.carriedPart == nil)
    }

    @Test("A generation that begins for a whole file makes it one like any other", arguments: StoreUnderTest.allCases)
    func wholeNoMore(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(.whole, size: 10)
        try await index.created(record)
        _ = try applied(try await index.store.submit(part(0), of: record.id))
        let fence = try await index.claimed(record.id)
        let generation = try await index.begun(record.id, by: .relay)
        let upload = try #require(try await index.store.upload(record.id))
        #expect(upload.state == .shipping && upload.carriedPart == nil && upload.preparations == 2)
        let change = try await index.store.beginCommit(
            record.id,
            fence: fence,
            generation: Generation(fence.number),
            finalFile: FinalFile(size: 10, digest: nil, modified: 1)
        )
        #expect(refusal(change) == .state(.shipping))
        #expect(try await index.ship(record.id, [0], in: generation)?.state == .merging)
    }

    // MARK: Ships

    @Test("A ship job is told what it needs, or that there is nothing to do", arguments: StoreUnderTest.allCases)
    func shipWork(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let work = try #require(try await index.store.shipWork(of: upload.id, offset: 10))
        #expect(work == (try await index.store.shipState(of: upload.id, offset: 10)))
        #expect(work.part?.part == part(10) && work.upload == upload)
        #expect(try await index.store.shipWork(of: upload.id, offset: 5) == nil)
        #expect(try await index.store.shipWork(of: uploadID(), offset: 0) == nil)
        let first = try await index.begun(upload.id)
        _ = try await index.ship(upload.id, [10], in: first)
        #expect(try await index.store.shipWork(of: upload.id, offset: 10) == nil)
        #expect(try await index.store.shipWork(of: upload.id, offset: 0)?.part?.part == part(0))
        // Shipped for a generation that is not the current one any more.
        try await index.begun(upload.id, replacing: first)
        #expect(try await index.store.shipWork(of: upload.id, offset: 10)?.part?.shippedIn == first)
        let failing = try await index.failed()
        #expect(try await index.store.shipWork(of: failing.id, offset: 0) == nil)
        let merging = try await index.merging()
        #expect(try await index.store.shipWork(of: merging.id, offset: 0) == nil)
    }
}
