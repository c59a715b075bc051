// The state machine of one connection, without one.

import Harness
import NIOCore
import Testing

@testable import Redis

@Suite struct CommandQueueTests {
    private typealias Queue = CommandQueue<String>

    private func at(_ seconds: UInt64) -> NIODeadline { .uptimeNanoseconds(seconds * 1_000_000_000) }

    private func queue(_ waiters: [String], limit: Int = 10, written: Bool = true) -> Queue {
        var queue = Queue(limit: limit)
        for (ticket, waiter) in waiters.enumerated() {
            queue.append(waiter, ticket: UInt64(ticket), command: waiter.uppercased(), count: 1, deadline: at(5))
            _ = queue.watch(at(5))
        }
        if written { queue.markWritten() }
        return queue
    }

    private func describe(_ received: Queue.Received) -> String {
        switch received {
        case .more: "more"
        case .complete(let waiter, let replies): "\(waiter ?? "nobody"): \(replies)"
        case .unexpected(let reason): "unexpected: \(reason)"
        }
    }

    private func describe(_ failures: [Queue.Failure]) -> [String] { failures.map { "\($0.waiter): \($0.error)" } }

    @Test func repliesGoToWaitersInTheirOrder() {
        var queue = queue(["a", "b"])
        #expect(describe(queue.received(.integer(1))) == "a: \(RedisReplies.one(.integer(1)))")
        #expect(describe(queue.received(.null)) == "b: \(RedisReplies.one(.null))")
        #expect(queue.isDrained && queue.pending == 0)
    }

    @Test func aRunIsCompleteWithItsLastReply() {
        var queue = Queue(limit: 10)
        queue.append("run", ticket: 0, command: "A", count: 3, deadline: at(5))
        queue.append("one", ticket: 1, command: "B", count: 1, deadline: at(5))
        queue.markWritten()
        #expect(queue.pending == 4)
        #expect(describe(queue.received(.integer(1))) == "more")
        #expect(describe(queue.received(.integer(2))) == "more")
        let all = RedisReplies.many([.integer(1), .integer(2), .integer(3)])
        #expect(describe(queue.received(.integer(3))) == "run: \(all)")
        #expect(describe(queue.received(.integer(4))) == "one: \(RedisReplies.one(.integer(4)))")
    }

    @Test func aReplyToNothingIsUnexpected() {
        var idle = Queue(limit: 10)
        #expect(describe(idle.received(.integer(1))) == "unexpected: a reply to no command")
        let refusal = RedisServerError(code: "ERR", message: "max number of clients reached")
        #expect(describe(idle.received(.error(refusal))) == "unexpected: ERR max number of clients reached")
        // What was not written cannot have been answered.
        var unwritten = queue(["a"], written: false)
        #expect(describe(unwritten.received(.integer(1))) == "unexpected: a reply to no command")
    }

    @Test func aCancelledCommandsReplyIsCountedOff() {
        var queue = queue(["a", "b"])
        #expect(queue.cancel(ticket: 0) == "a")
        #expect(queue.cancel(ticket: 0) == nil)
        #expect(queue.cancel(ticket: 9) == nil)
        #expect(describe(queue.received(.integer(1))) == "nobody: \(RedisReplies.one(.integer(1)))")
        #expect(describe(queue.received(.integer(2))) == "b: \(RedisReplies.one(.integer(2)))")
    }

    @Test func theLimitCountsTheCommandsOfRuns() {
        var queue = Queue(limit: 4)
        queue.append("run", ticket: 0, command: "A", count: 3, deadline: at(5))
        #expect(queue.refusal(count: 1) == nil)
        #expect(queue.refusal(count: 2) == .queueFull)
        queue.markWritten()
        _ = queue.received(.null)
        #expect(queue.refusal(count: 2) == nil)
    }

    @Test func closingTellsWhatMayHaveBeenExecuted() {
        var queue = queue(["sent"])
        queue.append("kept", ticket: 9, command: "KEPT", count: 1, deadline: at(9))
        queue.append("gone", ticket: 10, command: "GONE", count: 1, deadline: at(9))
        _ = queue.cancel(ticket: 10)
        let failures = queue.close(.closed(reason: "reset"))
        #expect(failures.map(\.waiter) == ["sent", "kept"])
        #expect(failures.map(\.error) == [.connectionClosed(command: "SENT"), .notConnected(reason: "reset")])
        #expect(failures.map(\.error.mayHaveBeenExecuted) == [true, false])
        #expect(queue.phase == .closed(reason: "reset"))
        #expect(queue.refusal(count: 1) == .notConnected(reason: "reset"))
        #expect(queue.close(.closed(reason: "again")).isEmpty)
        #expect(queue.phase == .closed(reason: "reset"))
    }

    @Test func aViolationIsToldToAllThatWereSent() {
        var queue = queue(["a", "b"])
        #expect(
            queue.close(.violation(reason: "odd")).map(\.error) == [
                .protocolViolation("odd"), .protocolViolation("odd"),
            ]
        )
    }

    @Test func aTimeOutEndsTheConnectionForEverybody() {
        var queue = queue(["late"])
        queue.append("early", ticket: 1, command: "EARLY", count: 1, deadline: at(9))
        queue.markWritten()
        #expect(queue.expire(alarm: at(5), now: at(5)) == .expired)
        let failures = queue.close(.timeOut(now: at(5)))
        #expect(failures.map(\.error) == [.timedOut(command: "LATE"), .connectionClosed(command: "EARLY")])
    }

    @Test func alarmsAreAskedForOnlyWhenTheyAreEarlier() {
        var queue = Queue(limit: 10)
        func add(_ ticket: UInt64, _ deadline: NIODeadline) -> Bool {
            queue.append("\(ticket)", ticket: ticket, command: "C", count: 1, deadline: deadline)
            return queue.watch(deadline)
        }
        #expect(add(0, at(5)) == true)
        #expect(add(1, at(6)) == false)
        #expect(add(2, at(5)) == false)
        #expect(add(3, at(2)) == true)
        queue.markWritten()
        for _ in 0..<4 where !queue.isDrained { _ = queue.received(.null) }
        #expect(add(4, at(1)) == true)
        queue.markWritten()
        #expect(queue.expire(alarm: at(1), now: at(1)) == .expired)
    }

    @Test func anAlarmLooksForTheNextCommandAndStaleOnesDoNothing() {
        var queue = queue(["a"])
        queue.append("b", ticket: 1, command: "B", count: 1, deadline: at(7))
        #expect(queue.watch(at(7)) == false)
        queue.markWritten()
        _ = queue.received(.null)
        #expect(queue.expire(alarm: at(5), now: at(5)) == .look(at: at(7)))
        // The same alarm again, and one that was superseded.
        #expect(queue.expire(alarm: at(5), now: at(6)) == .idle)
        #expect(queue.expire(alarm: at(6), now: at(6)) == .idle)
        _ = queue.received(.null)
        #expect(queue.expire(alarm: at(7), now: at(7)) == .idle)
        #expect(queue.watch(at(20)) == true)
    }

    @Test func drainingRefusesNewCommandsAndKeepsThePending() {
        var queue = queue(["a"])
        queue.drain()
        #expect(queue.refusal(count: 1) == .notConnected(reason: "the connection is being closed"))
        #expect(!queue.isDrained)
        #expect(describe(queue.received(.null)) == "a: \(RedisReplies.one(.null))")
        #expect(queue.isDrained && queue.phase == .draining)
    }

    /// Random commands, replies, cancellations and an end: each waiter is told exactly once, in order.
    @Test(arguments: 0..<50 as Range<UInt64>) func everyWaiterIsToldOnce(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = Queue(limit: 50)
        var told: [String] = []
        var added: [(name: String, ticket: UInt64, count: Int)] = []
        var owed = 0
        for step in 0..<400 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let count = Int.random(in: 1...3, using: &random)
                guard queue.refusal(count: count) == nil else { continue }
                added.append(("\(step)", UInt64(step), count))
                queue.append("\(step)", ticket: UInt64(step), command: "C", count: count, deadline: at(UInt64(step)))
                _ = queue.watch(at(UInt64(step)))
            case 4..<6:
                queue.markWritten()
                owed = queue.pending
            case 6..<9 where owed > 0:
                owed -= 1
                if case .complete(let waiter?, _) = queue.received(.integer(Int64(step))) { told.append(waiter) }
            default:
                guard let one = added.randomElement(using: &random), Bool.random(using: &random) else { continue }
                if let waiter = queue.cancel(ticket: one.ticket) { told.append(waiter) }
            }
            #expect(queue.pending <= 50)
        }
        told += queue.close(.closed(reason: "end")).map(\.waiter)
        #expect(told.count == added.count, "seed \(seed)")
        #expect(Set(told) == Set(added.map(\.name)), "seed \(seed)")
    }
}
