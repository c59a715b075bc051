// The judge bites, and lets pass what was promised.

import Testing

@testable import Chaos

@Suite struct CheckerTests {
    private static let upload = PlannedUpload(
        number: 1,
        owner: .alice,
        target: "near",
        path: "a/1.bin",
        size: 10,
        partSize: 10,
        contentSeed: 7,
        way: .oneRequest,
        tolerated: ["old"]
    )

    private func promise(acknowledged: Bool, _ cancel: Promise.Cancel = .notAsked) -> Promise {
        var promise = Promise(Self.upload)
        promise.isAcknowledged = acknowledged
        promise.cancel = cancel
        return promise
    }

    private var ours: Found { .file(Promise(Self.upload).sha256) }

    @Test func whatWasAcknowledgedMustBeThere() {
        let promise = promise(acknowledged: true)
        #expect(Checker.judge(promise, found: ours, state: nil) == .kept)
        #expect(Checker.judge(promise, found: .nothing, state: "done") == .lost)
        #expect(Checker.judge(promise, found: .nothing, state: "failed") == .lost)
        #expect(Checker.judge(promise, found: .nothing, state: nil) == .lost)
        #expect(Checker.judge(promise, found: .nothing, state: "merging") == .stuck)
        #expect(Checker.judge(promise, found: .file("old"), state: "done") == .lost)
        #expect(Checker.judge(promise, found: .file("other"), state: "done") == .corrupt)
    }

    @Test func whatWasCancelledMustNotAppear() {
        let promise = promise(acknowledged: true, .accepted)
        #expect(Checker.judge(promise, found: .nothing, state: nil) == .kept)
        #expect(Checker.judge(promise, found: .file("old"), state: nil) == .kept)
        #expect(Checker.judge(promise, found: ours, state: nil) == .corrupt)
        #expect(Checker.judge(promise, found: .file("other"), state: nil) == .corrupt)
    }

    @Test func aRefusedCancelChangesNothing() {
        let promise = promise(acknowledged: true, .refused)
        #expect(Checker.judge(promise, found: .nothing, state: "done") == .lost)
        #expect(Checker.judge(promise, found: ours, state: nil) == .kept)
    }

    @Test func whatWasNeverAcknowledgedMayBeEither() {
        let promise = promise(acknowledged: false)
        #expect(Checker.judge(promise, found: .nothing, state: nil) == .kept)
        #expect(Checker.judge(promise, found: ours, state: nil) == .kept)
        #expect(Checker.judge(promise, found: .file("other"), state: nil) == .corrupt)
    }

    @Test func onlyExpiringHistoryMayStay() {
        let identifier = String(repeating: "0a", count: 16)
        #expect(Checker.mayStay(key: "ferry:u:\(identifier)", lifetime: 100))
        #expect(!Checker.mayStay(key: "ferry:u:\(identifier)", lifetime: -1))
        #expect(Checker.mayStay(key: "ferry:u:\(identifier):history", lifetime: 100))
        #expect(!Checker.mayStay(key: "ferry:u:\(identifier):history", lifetime: -1))
        #expect(!Checker.mayStay(key: "ferry:u:\(identifier):parts", lifetime: 100))
        #expect(!Checker.mayStay(key: "ferry:path:near:\(identifier)", lifetime: 100))
        #expect(!Checker.mayStay(key: "ferry:lease:\(identifier)", lifetime: 10))
        #expect(!Checker.mayStay(key: "ferry:outbox:near", lifetime: -1))
        #expect(!Checker.mayStay(key: "ferry:unheard-of", lifetime: -1))
        #expect(Checker.mayStay(key: "ferry:epoch", lifetime: -1))
        #expect(Checker.mayStay(key: "ferry:owner:alice", lifetime: -1))
    }

    @Test func theLastLine() {
        var tally = Tally()
        tally.acknowledged = 12
        #expect(tally.isClean)
        for verdict in [Verdict.kept, .lost, .corrupt, .stuck, .stuck] { tally.count(verdict) }
        tally.leftover = 3
        var sum = Tally()
        sum += tally
        #expect(sum.line == "lost 1 of 12, corrupt 1, stuck 2, leftover 3")
        #expect(!sum.isClean)
    }
}
