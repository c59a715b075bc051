// The upload store's suite, part: histories, dead letters, and what the janitor asks for.

import Adapters
import Core
import CoreTesting
import Testing

@Suite("Upload store, histories and janitor", .timeLimit(.minutes(1)))
struct UploadStoreJanitorConformance {
    @Test("A history tells what happened, by whose doing, and with which error", arguments: StoreUnderTest.allCases)
    func history(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let begun = index.now()
        let upload = try await index.merging()
        let fence = try await index.claimed(upload.id, by: "w1")
        let again = Failure(.targetFailed, "it said \"no\"\nand é")
        let request = RetryRequest(
            job: .merge(upload.id),
            attempt: 0,
            fence: fence,
            limit: 5,
            delay: .zero,
            failure: again,
            worker: "w1"
        )
        guard case .scheduled = try await index.store.retry(request) else { throw NotApplied() }
        let second = try await index.claimed(upload.id, by: "w2")
        let full = Failure(.diskFull, "no room")
        let stop = FailRequest(job: .merge(upload.id), attempt: 1, fence: second, failure: full, worker: "w2")
        let failed = try applied(try await index.store.fail(stop)).upload
        let letter = try #require(failed.deadLetter)
        #expect(letter.job == .merge(upload.id) && letter.attempts == 1)
        #expect(letter.first == again && letter.firstAt >= begun + .milliseconds(-100) && letter.at >= letter.firstAt)
        #expect(failed.failure == full)
        _ = try applied(try await index.store.replay(upload.id, by: "olga", overwrite: nil, after: .zero))
        _ = try applied(try await index.store.cancel(upload.id, by: "alice", only: .any))
        try await index.store.cleaned(upload.id)

        let history = try await index.store.history(of: upload.id)
        let expected: [HistoryEntry] = [
            HistoryEntry(.created, at: index.now(), by: "alice"),
            HistoryEntry(.completed, at: index.now(), by: "alice"),
            HistoryEntry(.retried, at: index.now(), by: "w1", job: .merge(upload.id), attempt: 0, failure: again),
            HistoryEntry(.failed, at: index.now(), by: "w2", job: .merge(upload.id), attempt: 1, failure: full),
            HistoryEntry(.replayed, at: index.now(), by: "olga"),
            HistoryEntry(.cancelled, at: index.now(), by: "alice"),
        ]
        #expect(history.map(\.undated) == expected.map(\.undated))
        // However long the steps took. Two clocks of one machine differ by less than a moment.
        let test = begun + .milliseconds(-100)...index.now() + .milliseconds(100)
        #expect(history.allSatisfy { test.contains($0.at) })
        #expect(try await index.store.history(of: uploadID()).isEmpty)
    }

    @Test("What is forbidden is never created; what is there cannot be forbidden", arguments: StoreUnderTest.allCases)
    func forbidden(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let (slow, other) = (try index.record(path: "a"), try index.record(path: "a"))
        #expect(try await index.store.forbid(slow.id))
        #expect(try await index.store.forbid(slow.id))
        #expect(try await index.store.create(slow) == .forbidden)
        #expect(try await index.store.upload(slow.id) == nil)
        #expect(try await index.store.holder(of: slow.path, on: slow.target) == nil)
        // Its path is free for the next.
        try await index.created(other)
        #expect(try await !index.store.forbid(other.id))
        guard case .created = try await index.store.create(other) else { throw NotApplied() }
    }

    @Test("Only an abandoned upload expires, and only when its time has come", arguments: StoreUnderTest.allCases)
    func expire(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let fresh = try await index.created(try index.record())
        #expect(refusal(try await index.store.expire(fresh.id)) == .notDue(fresh))
        let old = try index.record(createdAt: index.now() - .seconds(100), lifetime: .seconds(50))
        try await index.created(old)
        let expired = try applied(try await index.store.expire(old.id))
        #expect(expired.upload.state == .expired)
        #expect(expired.entries.map(\.job) == [.clean(old.id)])
        #expect(refusal(try await index.store.expire(old.id)) == .state(.expired))
        let merging = try await index.merging()
        #expect(refusal(try await index.store.expire(merging.id)) == .state(.merging))
        // A dead letter that was acknowledged as a whole waits for the operator, however long.
        let letter = try index.record(size: 0, createdAt: index.now() - .seconds(100), lifetime: .seconds(50))
        try await index.created(letter)
        _ = try applied(try await index.store.complete(letter.id, size: 0, digest: nil))
        let fence = try await index.claimed(letter.id, by: "w")
        let failure = Failure(.targetExists, "taken")
        let job = Job.merge(letter.id)
        _ = try applied(
            try await index.store.fail(
                FailRequest(job: job, attempt: 0, fence: fence, failure: failure, worker: "w")
            )
        )
        #expect(refusal(try await index.store.expire(letter.id)) == .state(.failed))
    }

    @Test("While a target is away, a history notes it once", arguments: StoreUnderTest.allCases)
    func outageInHistory(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        let before = try await index.store.history(of: upload.id).count
        let away = Failure(.targetUnreachable, "away")
        let full = Failure(.diskFull, "no room")
        for (failure, limit) in [(away, nil), (away, nil), (full, nil), (away, nil), (away, 5), (away, nil)] {
            let attempt = try await index.store.attempt(of: .merge(upload.id))
            let request = RetryRequest(
                job: .merge(upload.id),
                attempt: attempt,
                limit: limit,
                delay: .zero,
                failure: failure,
                worker: "w"
            )
            guard case .scheduled = try await index.store.retry(request) else { throw NotApplied() }
        }
        let noted = try await index.store.history(of: upload.id).dropFirst(before)
        let expected: [FailureReason] = [.targetUnreachable, .diskFull, .targetUnreachable, .targetUnreachable]
        #expect(noted.map(\.failure?.reason) == expected)
    }

    @Test("A history keeps its newest 200 entries", arguments: StoreUnderTest.allCases)
    func longHistory(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        for number in 0..<210 {
            let failure = Failure(.targetFailed, "\(number)")
            let job = Job.merge(upload.id)
            _ = try await index.store.retry(
                RetryRequest(job: job, attempt: number, limit: 1_000, delay: .zero, failure: failure)
            )
        }
        let history = try await index.store.history(of: upload.id)
        #expect(history.count == 200)
        #expect(history.first?.failure?.detail == "10" && history.last?.failure?.detail == "209")
    }

    @Test("Dead letters are found by target and reason, the latest first", arguments: StoreUnderTest.allCases)
    func deadLetters(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        var full: [UploadID] = []
        for reason in [FailureReason.diskFull, .permissionDenied, .diskFull] {
            let upload = try await index.failed(reason)
            if reason == .diskFull { full.insert(upload.id, at: 0) }
            try await index.pass(.milliseconds(2))
        }
        let found = try await index.store.uploads(UploadQuery(owner: nil, state: .failed, reason: .diskFull))
        #expect(found.uploads.map(\.id) == full)
        let elsewhere = UploadQuery(owner: nil, state: .failed, target: target("web-2"), reason: .diskFull)
        #expect(try await index.store.uploads(elsewhere).uploads.isEmpty)
        let first = try await index.store.uploads(UploadQuery(owner: nil, state: .failed, reason: .diskFull, limit: 1))
        #expect(first.uploads.map(\.id) == Array(full.prefix(1)))
        let rest = UploadQuery(owner: nil, state: .failed, reason: .diskFull, cursor: first.next, limit: 5)
        #expect(try await index.store.uploads(rest).uploads.map(\.id) == Array(full.dropFirst()))
    }

    @Test("A replay of what the target lost builds it anew", arguments: StoreUnderTest.allCases)
    func beginsAnew(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        for reason in FailureReason.allCases {
            let (upload, fence) = try await index.committing()
            let failure = Failure(reason, "seen")
            _ = try applied(try await index.store.fail(upload.id, fence: fence, failure: failure))
            let replayed = try applied(try await index.store.replay(upload.id, overwrite: nil)).upload
            #expect(replayed.state == (reason.beginsAnew ? .shipping : .committing), "\(reason)")
            #expect((replayed.generation == nil) == reason.beginsAnew)
            #expect((replayed.finalFile == nil) == reason.beginsAnew)
            #expect(replayed.shipped == (reason.beginsAnew ? Upload.Tally() : upload.shipped))
            #expect(replayed.deadLetter == nil && replayed.failure == nil)
            guard reason.beginsAnew, let old = upload.generation else { continue }
            // Whoever still works on the old one changes nothing.
            let late = try await index.store.shipped(offset: 0, of: upload.id, in: old, verification: .digest)
            #expect(refusal(late) == .staleGeneration(nil))
            #expect(try await index.begun(upload.id) > old)
        }
    }

    @Test("A replay gives up a way that did not work", arguments: StoreUnderTest.allCases)
    func givesUpTheWay(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        for strategy in MergeStrategy.allCases {
            for reason in [FailureReason.targetFailed, .diskFull, .targetExists] {
                let upload = try await index.merging(by: strategy)
                let fence = try await index.claimed(upload.id)
                var failed = try applied(
                    try await index.store.fail(upload.id, fence: fence, failure: Failure(reason, "seen"))
                ).upload
                failed.failure = Failure(reason, "seen")
                let replayed = try applied(try await index.store.replay(upload.id, overwrite: nil)).upload
                let expected =
                    reason == .targetFailed && strategy != .inPlace || reason == .targetExists && strategy == .stream
                #expect(failed.beginsAnew == expected, "\(strategy) \(reason)")
                #expect((replayed.strategy == nil) == expected, "\(strategy) \(reason)")
                #expect((replayed.generation == nil) == expected, "\(strategy) \(reason)")
            }
        }
    }

    @Test("A paced replay leaves its job to the outbox", arguments: StoreUnderTest.allCases)
    func paced(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.failed()
        let change = try await index.store.replay(upload.id, by: "olga", overwrite: nil, after: .seconds(2))
        #expect(try applied(change).entries.isEmpty)
        #expect(try await !index.store.dueEntries(of: target(), limit: 500).contains { $0.job == .merge(upload.id) })
        try await index.eventually("its time comes") {
            try await index.store.dueEntries(of: target(), limit: 500).contains { $0.job == .merge(upload.id) }
        }
    }

    @Test("Only what is of the asked kind is given up", arguments: StoreUnderTest.allCases)
    func discard(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let receiving = try await index.received()
        #expect(refusal(try await index.store.cancel(receiving.id, by: "o", only: .failed)) == .unfit(receiving))
        let failed = try await index.failed()
        #expect(refusal(try await index.store.cancel(failed.id, by: "o", only: .untouched)) == .unfit(failed))
        let given = try applied(try await index.store.cancel(failed.id, by: "o", only: .failed))
        #expect(given.upload.state == .cancelled && given.entries.map(\.job) == [.clean(failed.id)])
    }

    @Test("A failure leaves the time to look at it", arguments: StoreUnderTest.allCases)
    func failedLater(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let old = try index.record(createdAt: index.now() - .seconds(100), lifetime: .seconds(101))
        try await index.created(old)
        let failed = try applied(
            try await index.store.fail(old.id, fence: nil, failure: Failure(.permissionDenied, "no"))
        ).upload
        #expect(failed.record.expiresAt.isNear(index.now() + .seconds(101)))
    }

    // MARK: Standing still

    @Test("What stands still gets its job back, once, and nothing else does", arguments: StoreUnderTest.allCases)
    func revive(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let merging = try await index.merging()
        let shipping = try await index.completed()
        let waiting = try await index.created(try index.record())
        let claimed = try await index.merging()
        _ = try await index.claimed(claimed.id)
        let failed = try await index.failed()
        let ended = try await index.done()
        let uploads = [merging, shipping, waiting, claimed, failed, ended]
        // Everything that was recorded is lost with the broker.
        try await lose(index)
        for upload in uploads where upload.state != .failed {
            let change = try await index.store.revive(upload.id, idleFor: .seconds(60))
            #expect(try applied(change).entries.isEmpty, "it moved just now")
        }
        try await index.pass(.milliseconds(50))
        let idle = Duration.milliseconds(40)
        let jobs = try await uploads.asyncMap { upload in
            try await index.store.revive(upload.id, idleFor: idle)
        }
        #expect(try applied(jobs[0]).entries.map(\.job) == [.merge(merging.id)])
        #expect(try applied(jobs[1]).entries.map(\.job) == [.merge(shipping.id)])
        #expect(try applied(jobs[2]).entries.isEmpty)
        #expect(try applied(jobs[3]).entries.isEmpty)
        #expect(refusal(jobs[4]) == .state(.failed))
        #expect(try applied(jobs[5]).entries.map(\.job) == [.clean(ended.id)])
        try await index.pass(.milliseconds(50))
        // It is recorded by now.
        #expect(try applied(try await index.store.revive(merging.id, idleFor: idle)).entries.isEmpty)
        try await index.store.cleaned(ended.id)
        #expect(refusal(try await index.store.revive(ended.id, idleFor: .zero)) == .state(.done))
        #expect(try await index.store.revive(uploadID(), idleFor: .zero) == .unknown)
    }

    @Test("A retry that is due later is no standing still", arguments: StoreUnderTest.allCases)
    func quiet(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.completed()
        let job = Job.ship(upload.id, offset: 0)
        let failure = Failure(.targetFailed, "later")
        _ = try await index.store.retry(
            RetryRequest(job: job, attempt: 0, limit: 5, delay: .seconds(600), failure: failure)
        )
        try await index.pass(.milliseconds(20))
        let change = try await index.store.revive(upload.id, idleFor: .milliseconds(1))
        #expect(try applied(change).entries.isEmpty)
    }

    /// Takes out of the outbox all that is in it, as it comes due.
    private func lose(_ index: IndexUnderTest) async throws {
        let deadline = index.now() + .seconds(6)
        try await index.eventually("all has come due") {
            try await index.store.confirm(try await index.store.dueEntries(of: target(), limit: 500))
            return index.now() > deadline
        }
    }

    @Test("What somebody has something to do for is found in pages", arguments: StoreUnderTest.allCases)
    func unfinished(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let active = try await index.received()
        _ = try await index.failed()
        let ended = try await index.done()
        let cleaned = try await index.done()
        try await index.store.cleaned(cleaned.id)
        let found = try await index.store.uploads(UploadQuery(owner: nil, isUnfinished: true)).uploads.map(\.id)
        #expect(Set(found) == [active.id, ended.id])
    }

    @Test("Only an index that is staging's says that it does not know an upload", arguments: StoreUnderTest.allCases)
    func knows(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        #expect(try await index.store.knows(upload.id))
        #expect(try await !index.store.knows(try index.record().id))
        try await index.wipe()
        #expect(try await index.store.upload(upload.id) == nil)
        await #expect(throws: StoreError.rebuilding) { try await index.store.knows(upload.id) }
    }

    // MARK: Jobs that kill

    @Test("Who began a job and did not end it is told", arguments: StoreUnderTest.allCases)
    func tries(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.received()
        let job = Job.ship(upload.id, offset: 10)
        #expect(try await index.store.tries(job, by: "a@1").isEmpty)
        #expect(try await index.store.tries(job, by: "a@1").isEmpty)
        #expect(try await index.store.tries(job, by: "b@2") == ["a@1"])
        #expect(try await index.store.tries(.ship(upload.id, offset: 1), by: "c").isEmpty)
        #expect(Set(try await index.store.tries(job, by: "c")) == ["a@1", "b@2"])
        try await index.store.tried(job)
        #expect(try await index.store.tries(job, by: "d").isEmpty)
    }

    @Test("The third claim in a row that nobody came back from is poison", arguments: StoreUnderTest.allCases)
    func lapses(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let upload = try await index.merging()
        func claim() async throws -> Change<WorkRefusal> {
            var change = Change<WorkRefusal>.unknown
            try await index.eventually("the lease runs out") {
                change = try await index.store.claim(upload.id, holder: "w", for: .milliseconds(30))
                if case .refused(.leased) = change { return false }
                return true
            }
            return change
        }
        for _ in 0..<3 { _ = try applied(try await claim()) }
        // Given back, so nothing is held against it.
        let fence = try #require(try await index.store.upload(upload.id)?.fence)
        try await index.store.release(upload.id, fence: fence)
        for _ in 0..<3 { _ = try applied(try await claim()) }
        guard case .refused(.poisoned(let failed)) = try await claim() else { throw NotApplied() }
        #expect(failed.state == .failed && failed.failure?.reason == .poison)
        #expect(failed.deadLetter?.job == .merge(upload.id))
        let replayed = try applied(try await index.store.replay(upload.id, overwrite: nil)).upload
        #expect(replayed.state == .merging)
        _ = try applied(try await claim())
    }

    // MARK: Leftovers

    @Test("An upload that ended is looked at again four times", arguments: StoreUnderTest.allCases)
    func sweeps(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        // One part file was begun, and it is not the final one.
        let cancelled = try await index.merging()
        _ = try applied(try await index.store.cancel(cancelled.id))
        try await index.store.cleaned(cancelled.id)
        #expect(try await index.store.dueSweeps(of: target(), limit: 9).isEmpty, "not at once")
        for _ in 0..<5 { try await index.store.swept(cancelled.id, of: target()) }
        guard kind == .memory else { return }
        let other = try await index.merging()
        _ = try applied(try await index.store.cancel(other.id))
        try await index.store.cleaned(other.id)
        for pause in [Duration.seconds(21), .seconds(41), .seconds(601), .seconds(3_601)] {
            try await index.pass(pause)
            #expect(try await index.store.dueSweeps(of: target(), limit: 9) == [other.id])
            try await index.store.swept(other.id, of: target())
            #expect(try await index.store.dueSweeps(of: target(), limit: 9).isEmpty)
        }
        try await index.pass(.seconds(90_000))
        #expect(try await index.store.dueSweeps(of: target(), limit: 9).isEmpty)
    }
}

extension HistoryEntry {
    /// The entry without its time.
    var undated: HistoryEntry {
        var entry = self
        entry.at = Timestamp(microseconds: 0)
        return entry
    }
}

extension Array {
    fileprivate func asyncMap<Value>(_ body: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await body(element)) }
        return values
    }
}
