// What every index does with its outbox, its listings and its roll, and with text that others chose.

import Core
import CoreTesting
import Testing

@Suite("Upload store, outbox and listings")
struct UploadStoreOutboxConformance {
    // MARK: Outbox

    @Test("Ship jobs are recorded again in pages", arguments: StoreUnderTest.allCases, UploadProtocol.allCases)
    func requeue(_ kind: StoreUnderTest, _ uploadProtocol: UploadProtocol) async throws {
        let index = try await kind.index()
        let store = index.store
        let record = try index.record(uploadProtocol, size: nil)
        // Appended parts begin anywhere; numbered ones at multiples of the part size, with gaps.
        let parts =
            switch uploadProtocol {
            case .native, .whole: [part(0), part(10), part(40), part(50), part(90, 3)]
            case .append: [part(0, 7), part(7, 1), part(8, 20), part(28), part(38, 3)]
            }
        _ = try await index.received(record, parts)
        let offsets = parts.map(\.offset)
        var jobs: [Job] = []
        var from: Int64? = 0
        var pages = 0
        while let offset = from {
            let page = try await store.requeueShips(of: record.id, from: offset, limit: 2)
            #expect(page.entries.count <= 2)
            #expect(page.entries.allSatisfy { $0.target == record.target && $0.due.isNear(index.now() + .seconds(5)) })
            jobs += page.entries.map(\.job)
            from = page.next
            pages += 1
        }
        #expect(jobs == offsets.map { .ship(record.id, offset: $0) })
        #expect(pages == 3)
        let generation = try await index.begun(record.id)
        _ = try await index.ship(record.id, [offsets[1], offsets[4]], in: generation)
        let rest = try await store.requeueShips(of: record.id, from: 0, limit: 500)
        #expect(rest.entries.map(\.job) == [0, 2, 3].map { .ship(record.id, offset: offsets[$0]) })
        #expect(rest.next == nil)
        let last = try await store.requeueShips(of: record.id, from: offsets[3], limit: 500)
        #expect(last.entries.map(\.job) == [.ship(record.id, offset: offsets[3])])
        _ = try applied(try await store.cancel(record.id))
        #expect(try await store.requeueShips(of: record.id, from: 0, limit: 500).entries.isEmpty)
    }

    @Test("What waits is counted", arguments: StoreUnderTest.allCases)
    func backlog(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let first = try await index.received()
        let target = first.record.target
        let other = try #require(TargetID("elsewhere"))
        let before = try await index.store.backlog(of: [target, other])
        #expect(before == Backlog(deadLetters: 0, outbox: [target: Int(first.received.parts), other: 0]))
        _ = try applied(try await index.store.fail(first.id, fence: nil, failure: Failure(.diskFull, "full")))
        #expect(try await index.store.backlog(of: []) == Backlog(deadLetters: 1, outbox: [:]))
    }

    @Test("An entry that is due sooner stays", arguments: StoreUnderTest.allCases)
    func requeueKeepsSooner(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        for (offset, delay) in [(Int64(0), Duration.seconds(1)), (10, .seconds(900))] {
            let request = RetryRequest(
                job: .ship(upload.id, offset: offset),
                attempt: 0,
                limit: 9,
                delay: delay,
                failure: Failure(.targetFailed, "")
            )
            _ = try await index.store.retry(request)
        }
        let entries = try await index.store.requeueShips(of: upload.id, from: 0, limit: 500).entries
        #expect(entries.count == 3)
        let waits = entries.map { ($0.due - index.now()).milliseconds }
        #expect(waits[0] <= 1_000)
        #expect((3_000...5_000).contains(waits[1]))
        // What is said to be recorded is what is there: a confirm finds it.
        try await index.store.confirm(entries)
        try await index.pass(.milliseconds(1_100))
        #expect(try await index.store.dueEntries(of: target(), limit: 500).isEmpty)
    }

    @Test("Entries are removed and moved only as they were read", arguments: StoreUnderTest.allCases)
    func compareOnDue(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let store = index.store
        let uploads = [try await index.done(), try await index.done(), try await index.done()]
        for upload in uploads {
            let failure = Failure(.targetFailed, "")
            let request = RetryRequest(job: .clean(upload.id), attempt: 0, limit: nil, delay: .zero, failure: failure)
            guard case .scheduled = try await store.retry(request) else { return #expect(Bool(false), "stale") }
            try await index.pass(.milliseconds(2))
        }
        let due = try await store.dueEntries(of: target(), limit: 500)
        #expect(due.map(\.job) == uploads.map { .clean($0.id) })
        #expect(try await store.dueEntries(of: target(), limit: 2) == Array(due.prefix(2)))
        #expect(try await store.dueEntries(of: target("web-2"), limit: 500).isEmpty)

        let earlier = due.map { OutboxEntry(job: $0.job, target: $0.target, due: $0.due - .microseconds(1)) }
        try await store.confirm(earlier)
        try await store.postpone(earlier, by: .seconds(60))
        #expect(try await store.dueEntries(of: target(), limit: 500) == due)
        try await store.confirm([due[0]])
        try await store.postpone([due[1]], by: .seconds(60))
        #expect(try await store.dueEntries(of: target(), limit: 500) == [due[2]])
        // Gone and moved entries are nobody's.
        try await store.confirm(Array(due.prefix(2)))
        try await store.postpone(due, by: .milliseconds(1))
        try await index.eventually("the third is due again") {
            try await store.dueEntries(of: target(), limit: 500).map(\.job) == [due[2].job]
        }
        try await store.confirm([])
    }

    @Test("A thousand entries are confirmed in one call", arguments: StoreUnderTest.allCases)
    func manyEntries(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(size: nil)
        _ = try await index.received(record, (0..<1_200).map { part($0 * 10) })
        var entries: [OutboxEntry] = []
        var from: Int64? = 0
        while let offset = from {
            let page = try await index.store.requeueShips(of: record.id, from: offset, limit: 500)
            entries += page.entries
            from = page.next
        }
        #expect(entries.count == 1_200)
        #expect(try await index.store.parts(of: record.id).map(\.part.offset) == (0..<1_200).map { $0 * 10 })
        try await index.store.postpone(entries, by: .zero)
        #expect(try await index.store.dueEntries(of: target(), limit: 5_000).count == 500)
        try await index.store.confirm(entries)
        let due = try await index.store.dueEntries(of: target(), limit: 500)
        try await index.store.confirm(due)
        #expect(Set(try await index.store.dueEntries(of: target(), limit: 500)).isDisjoint(with: due))
    }

    // MARK: Listings

    private func all(_ index: IndexUnderTest, _ query: UploadQuery) async throws -> [UploadID] {
        var query = query
        var found: [UploadID] = []
        repeat {
            let page = try await index.store.uploads(query)
            #expect(page.uploads.count <= query.limit)
            found += page.uploads.map(\.id)
            query.cursor = page.next
        } while query.cursor != nil
        return found
    }

    @Test("Listings come newest first, in pages, without gaps or repeats", arguments: StoreUnderTest.allCases)
    func pages(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let start = index.now()
        var records: [UploadRecord] = []
        for number in 0..<25 {
            // Some are created in the same microsecond.
            let record = try index.record(
                owner: number.isMultiple(of: 3) ? "bob" : "alice",
                target: number.isMultiple(of: 2) ? "web-1" : "web-2",
                createdAt: start + .microseconds(number / 4)
            )
            try await index.created(record)
            records.append(record)
        }
        let newest = records.sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
        #expect(try await all(index, UploadQuery(owner: nil, limit: 4)) == newest.map(\.id))
        #expect(try await all(index, UploadQuery(owner: nil, limit: 1_000)) == newest.map(\.id))
        let bobs = newest.filter { $0.owner.description == "bob" }
        #expect(try await all(index, UploadQuery(owner: Owner("bob"), limit: 2)) == bobs.map(\.id))
        let both = bobs.filter { $0.target == target("web-2") }
        #expect(
            try await all(index, UploadQuery(owner: Owner("bob"), target: target("web-2"), limit: 1)) == both.map(\.id)
        )
        #expect(try await all(index, UploadQuery(owner: nil, state: .receiving, limit: 7)) == newest.map(\.id))
        #expect(try await all(index, UploadQuery(owner: nil, state: .done)) == [])
        #expect(try await all(index, UploadQuery(owner: Owner("nobody"))) == [])
    }

    @Test("Listings by state", arguments: StoreUnderTest.allCases)
    func byState(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let uploads: [UploadState: UploadID] = [
            .receiving: try await index.received().id, .shipping: try await index.completed().id,
            .merging: try await index.merging().id, .committing: try await index.committing().upload.id,
            .done: try await index.done().id, .failed: try await index.failed().id,
            .cancelled: try applied(try await index.store.cancel(try await index.received().id)).upload.id,
        ]
        for (state, id) in uploads {
            #expect(try await all(index, UploadQuery(owner: nil, state: state)) == [id], "\(state)")
            #expect(try await all(index, UploadQuery(owner: Owner("alice"), state: state)) == [id], "\(state)")
            #expect(try await all(index, UploadQuery(owner: Owner("bob"), state: state)) == [], "\(state)")
        }
    }

    // MARK: Text of others

    @Test("Text comes back as it came", arguments: StoreUnderTest.allCases)
    func hostileText(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        for text in ["a:b", "'\"; redis.call('FLUSHALL') --", "%d %s $1 {id}", "ö/日本/🛳️ x", "\u{301}é", "KEYS[1] * ?"] {
            var record = try index.record(path: text, key: text, metadata: [text: text, "": "\n\0\u{1}"])
            record.fingerprint = text
            record.attributes = FinalAttributes(
                mode: FileMode(octal: "0600"),
                modifiedAt: Timestamp(microseconds: 1_700_000_000_123_456)
            )
            let created = try await index.created(record)
            #expect(created.record == record)
            #expect(try await index.store.upload(record.id) == created)
            #expect(try await index.store.holder(of: record.path, on: record.target) == created)
            #expect(try await index.store.create(try index.record(key: text)) == .repeated(created))
            let failure = Failure(.targetFailed, text)
            let failed = try applied(try await index.store.fail(record.id, fence: nil, failure: failure)).upload
            #expect(failed.failure == failure)
        }
        let merging = try await index.merging()
        _ = try await index.claimed(merging.id, by: "a holder\n\0 1")
    }

    // MARK: Roll

    @Test("Workers and targets are known for a time", arguments: StoreUnderTest.allCases)
    func roll(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        var worker = WorkerPresence(
            name: "w1",
            host: "h",
            process: 7,
            version: "1.0",
            targets: [target("a"), target("b")],
            jobs: 3,
            startedAt: Timestamp(microseconds: 1),
            seenAt: Timestamp(microseconds: 2)
        )
        try await index.store.announce(worker, lifetime: .milliseconds(100))
        worker.name = "w2"
        worker.jobs = 0
        try await index.store.announce(worker, lifetime: .seconds(60))
        worker.jobs = 4
        try await index.store.announce(worker, lifetime: .seconds(60))
        try await index.eventually("the first is forgotten") {
            try await index.store.workers().map(\.name) == ["w2"]
        }
        var leaving = worker
        leaving.name = "w3"
        try await index.store.announce(leaving, lifetime: .seconds(60))
        #expect(try await index.store.workers().map(\.name) == ["w2", "w3"])
        try await index.store.announce(leaving, lifetime: .zero)
        #expect(try await index.store.workers().map(\.name) == ["w2"])
        let known = try #require(try await index.store.workers().first)
        #expect(known.seenAt.isNear(index.now()))
        worker.seenAt = known.seenAt
        #expect(known == worker)

        var presence = TargetPresence(
            target: target("a"),
            reachable: false,
            facts: ["merge": "in-place", "server": "\"x\" \\ y"],
            error: "refused\nagain",
            seenAt: Timestamp(microseconds: 2)
        )
        try await index.store.announce(presence, lifetime: .seconds(60))
        let seen = try #require(try await index.store.targets().first)
        #expect(seen.seenAt.isNear(index.now()))
        presence.seenAt = seen.seenAt
        #expect(seen == presence)
    }

    // MARK: Short locks

    @Test("A lease is one holder's until it ends", arguments: StoreUnderTest.allCases)
    func leases(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let leases = index.leases
        #expect(try await leases.acquire("rebuild", holder: "a", for: .seconds(60)))
        #expect(try await leases.acquire("rebuild", holder: "a", for: .seconds(60)))
        #expect(try await !leases.acquire("rebuild", holder: "b", for: .seconds(60)))
        #expect(try await leases.acquire("relay:web-1", holder: "b", for: .milliseconds(50)))
        try await leases.release("rebuild", holder: "b")
        #expect(try await !leases.acquire("rebuild", holder: "b", for: .seconds(60)))
        try await leases.release("rebuild", holder: "a")
        #expect(try await leases.acquire("rebuild", holder: "b", for: .seconds(60)))
        try await index.eventually("the short one ends") {
            try await leases.acquire("relay:web-1", holder: "c", for: .seconds(60))
        }
    }

    @Test("What is held goes back though the holder's task was cancelled", arguments: StoreUnderTest.allCases)
    func releasesAreNotCancelled(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let merging = try await index.merging()
        let claimed = try applied(try await index.store.claim(merging.id, holder: "a", for: .seconds(60)))
        let fence = try #require(claimed.upload.fence)
        #expect(try await index.leases.acquire("rebuild", holder: "a", for: .seconds(60)))
        let task = Task {
            // Ends with the cancellation.
            try? await Task.sleep(for: .seconds(60))
            try await index.store.release(merging.id, fence: fence)
            try await index.leases.release("rebuild", holder: "a")
        }
        task.cancel()
        try await task.value
        #expect(try await index.leases.acquire("rebuild", holder: "b", for: .seconds(60)))
        #expect(
            try await index.store.dueEntries(of: merging.record.target, limit: 9).map(\.job).contains(
                .merge(merging.id)
            )
        )
        _ = try applied(try await index.store.claim(merging.id, holder: "b", for: .seconds(60)))
    }
}
