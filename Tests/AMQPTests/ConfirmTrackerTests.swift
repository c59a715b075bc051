// Confirms and returns are matched to the publishes they belong to.

import Harness
import Testing

@testable import AMQP

@Suite struct ConfirmTrackerTests {
    private typealias Settled = [String: PublishOutcome]

    private func tracker(_ names: [String], key: String = "k") -> ConfirmTracker<String> {
        var tracker = ConfirmTracker<String>()
        for name in names { tracker.published(name, exchange: "x", routingKey: key, messageID: name) }
        return tracker
    }

    private func settle(
        _ tracker: inout ConfirmTracker<String>,
        _ tag: UInt64,
        multiple: Bool = false,
        positive: Bool = true
    ) throws -> Settled {
        var settled: Settled = [:]
        try tracker.settle(tag: tag, multiple: multiple, positive: positive) { settled[$0] = $1 }
        return settled
    }

    @Test func singleConfirmsInAnyOrder() throws {
        var tracker = tracker(["a", "b", "c"])
        #expect(try settle(&tracker, 2) == ["b": .confirmed])
        #expect(try settle(&tracker, 3) == ["c": .confirmed])
        #expect(tracker.count == 1)
        #expect(tracker.oldest == "a")
        #expect(try settle(&tracker, 1) == ["a": .confirmed])
        #expect(tracker.count == 0)
        #expect(tracker.oldest == nil)
    }

    @Test func multipleSettlesAllUpToTheTagOnce() throws {
        var tracker = tracker(["a", "b", "c", "d"])
        #expect(try settle(&tracker, 2) == ["b": .confirmed])
        #expect(try settle(&tracker, 3, multiple: true) == ["a": .confirmed, "c": .confirmed])
        #expect(try settle(&tracker, 3, multiple: true) == [:])
        #expect(tracker.count == 1)
    }

    @Test func zeroWithMultipleMeansAll() throws {
        var tracker = tracker(["a", "b"])
        #expect(try settle(&tracker, 0, multiple: true, positive: false) == ["a": .rejected, "b": .rejected])
    }

    @Test func returnComesBeforeItsAck() throws {
        var tracker = tracker(["a", "b", "c"])
        try tracker.returned(exchange: "x", routingKey: "k", messageID: "b", code: 312, text: "NO_ROUTE")
        let settled = try settle(&tracker, 3, multiple: true)
        #expect(settled == ["a": .confirmed, "b": .returned(code: 312, text: "NO_ROUTE"), "c": .confirmed])
    }

    @Test func equalIDsAreReturnedInTheOrderOfPublishing() throws {
        var tracker = ConfirmTracker<Int>()
        for number in 1...3 {
            tracker.published(number, exchange: "x", routingKey: "k", messageID: "same")
        }
        try tracker.returned(exchange: "x", routingKey: "k", messageID: "same", code: 312, text: "")
        try tracker.returned(exchange: "x", routingKey: "k", messageID: "same", code: 312, text: "")
        var returned: [Int] = []
        try tracker.settle(tag: 3, multiple: true, positive: true) { number, outcome in
            if case .returned = outcome { returned.append(number) }
        }
        #expect(returned == [1, 2])
    }

    @Test func refusalBeatsReturn() throws {
        var tracker = tracker(["a"])
        try tracker.returned(exchange: "x", routingKey: "k", messageID: "a", code: 312, text: "")
        #expect(try settle(&tracker, 1, positive: false) == ["a": .rejected])
    }

    @Test func hostileTagsAreViolations() {
        var tracker = tracker(["a"])
        #expect(throws: ConfirmTracker<String>.Violation.tagNeverPublished(2)) { try settle(&tracker, 2) }
        #expect(throws: ConfirmTracker<String>.Violation.tagNeverPublished(0)) { try settle(&tracker, 0) }
        #expect(throws: ConfirmTracker<String>.Violation.tagNeverPublished(.max)) {
            try settle(&tracker, .max, multiple: true)
        }
        #expect(throws: ConfirmTracker<String>.Violation.returnOfNothing) {
            try tracker.returned(exchange: "x", routingKey: "k", messageID: "z", code: 312, text: "")
        }
        #expect(tracker.count == 1)
    }

    @Test func emptyTrackerTakesMultipleZero() throws {
        var tracker = tracker([])
        #expect(try settle(&tracker, 0, multiple: true) == [:])
    }

    @Test func abandonHandsOutWhatIsLeftAndStartsAnew() throws {
        var tracker = tracker(["a", "b", "c"])
        _ = try settle(&tracker, 2)
        var left: [String] = []
        tracker.abandon { left.append($0) }
        #expect(left == ["a", "c"])
        #expect(tracker.published("d", exchange: "", routingKey: "", messageID: nil) == 1)
    }

    /// Against a plain model: random confirms of random length, seeded.
    @Test(arguments: 1...20) func agreesWithAModel(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var tracker = ConfirmTracker<UInt64>()
        var model: Set<UInt64> = []
        var last: UInt64 = 0
        for _ in 0..<2_000 {
            if last == 0 || Bool.random(using: &random) {
                last = tracker.published(last + 1, exchange: "", routingKey: "", messageID: nil)
                model.insert(last)
            } else {
                let tag = UInt64.random(in: 1...last, using: &random)
                let multiple = Bool.random(using: &random)
                let expected = model.filter { multiple ? $0 <= tag : $0 == tag }
                var settled: [UInt64] = []
                try tracker.settle(tag: tag, multiple: multiple, positive: true) { number, _ in settled.append(number) }
                #expect(settled == expected.sorted())
                model.subtract(expected)
            }
            #expect(tracker.count == model.count)
            #expect(tracker.oldest == model.min())
        }
    }
}
