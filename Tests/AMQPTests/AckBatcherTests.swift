// Acknowledgements are joined only where that answers nothing else.

import Harness
import Testing

@testable import AMQP

@Suite struct AckBatcherTests {
    private func batcher(_ count: UInt64) -> AckBatcher {
        var batcher = AckBatcher()
        for tag in 0..<count {
            let rises = batcher.delivered(tag + 1)
            #expect(rises)
        }
        return batcher
    }

    @Test func oneIsAcknowledgedAlone() {
        var batcher = batcher(3)
        batcher.settle(1, .ack)
        #expect(batcher.flush() == [.ack(tag: 1, multiple: false)])
        #expect(batcher.flush() == [])
        #expect(batcher.count == 2)
    }

    @Test func aRunFromTheOldestIsJoined() {
        var batcher = batcher(4)
        for tag: UInt64 in [3, 1, 2] { batcher.settle(tag, .ack) }
        #expect(batcher.flush() == [.ack(tag: 3, multiple: true)])
    }

    @Test func nothingIsJoinedOverOneStillAtWork() {
        var batcher = batcher(4)
        batcher.settle(1, .ack)
        batcher.settle(3, .ack)
        batcher.settle(4, .ack)
        let frames: [AckBatcher.Action] = [
            .ack(tag: 1, multiple: false), .ack(tag: 3, multiple: false), .ack(tag: 4, multiple: false),
        ]
        #expect(batcher.flush() == frames)
        batcher.settle(2, .ack)
        #expect(batcher.flush() == [.ack(tag: 2, multiple: false)])
        #expect(batcher.count == 0)
    }

    @Test func rejectionsGoBeforeAJoinedAcknowledgement() {
        var batcher = batcher(3)
        batcher.settle(1, .ack)
        batcher.settle(2, .reject(requeue: true))
        batcher.settle(3, .ack)
        #expect(batcher.flush() == [.reject(tag: 2, requeue: true), .ack(tag: 3, multiple: true)])
    }

    @Test func aDeliveryLeftAloneIsNeverAnswered() {
        var batcher = batcher(3)
        batcher.settle(1, .leave)
        batcher.settle(2, .ack)
        batcher.settle(3, .ack)
        #expect(batcher.flush() == [.ack(tag: 2, multiple: false), .ack(tag: 3, multiple: false)])
        #expect(batcher.count == 1)
    }

    @Test func secondAnswersAndUnknownTagsChangeNothing() {
        var batcher = batcher(1)
        batcher.settle(9, .ack)
        batcher.settle(1, .reject(requeue: false))
        batcher.settle(1, .ack)
        #expect(batcher.flush() == [.reject(tag: 1, requeue: false)])
    }

    @Test func tagsMustRise() {
        var batcher = batcher(2)
        let rises = [2, 0, 7].map { batcher.delivered($0) }
        #expect(rises == [false, false, true])
    }

    /// Plays the frames to a model of the broker: each delivery gets exactly the answer its handler gave.
    @Test(arguments: 1...30) func theBrokerSeesWhatTheHandlersDecided(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var batcher = AckBatcher()
        var open: [UInt64] = []
        var decided: [UInt64: AMQPConsumer.Disposition] = [:]
        var unanswered: Set<UInt64> = []
        var seen: [UInt64: AMQPConsumer.Disposition] = [:]
        var last: UInt64 = 0
        for _ in 0..<1_000 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                last += 1
                let rises = batcher.delivered(last)
                #expect(rises)
                open.append(last)
                unanswered.insert(last)
            case 2, 3:
                guard let index = open.indices.randomElement(using: &random) else { continue }
                let choice = Int.random(in: 0..<10, using: &random)
                let disposition: AMQPConsumer.Disposition =
                    choice == 0 ? .reject(requeue: true) : choice == 1 ? .leave : .ack
                decided[open[index]] = disposition
                batcher.settle(open.remove(at: index), disposition)
            default:
                for action in batcher.flush() {
                    switch action {
                    case .ack(let tag, let multiple):
                        #expect(unanswered.contains(tag), "an unknown tag closes the channel")
                        for answered in unanswered where multiple ? answered <= tag : answered == tag {
                            unanswered.remove(answered)
                            seen[answered] = .ack
                        }
                    case .reject(let tag, let requeue):
                        let removed = unanswered.remove(tag)
                        #expect(removed == tag)
                        seen[tag] = .reject(requeue: requeue)
                    }
                }
                #expect(seen == decided.filter { $0.value != .leave })
            }
        }
    }
}
