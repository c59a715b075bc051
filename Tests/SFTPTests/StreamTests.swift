// Framing, the outbound queue and the bookkeeping of requests and bytes: all pure.

import Harness
import NIOCore
import Testing

@testable import SFTP

@Suite struct StreamTests {
    /// Feeds `stream` in pieces of random length and returns the packets.
    private func frame(_ stream: [UInt8], _ random: inout SeededGenerator) throws -> [[UInt8]] {
        var framer = PacketFramer()
        var packets: [[UInt8]] = []
        var rest = stream[...]
        while !rest.isEmpty {
            let most = Int.random(in: 1...70_000, using: &random)
            try framer.fill { room in
                let count = min(room.count, most, rest.count)
                room.copyBytes(from: rest.prefix(count))
                rest = rest.dropFirst(count)
                return (count, ())
            }
            while let packet = try framer.next() { packets.append(Array(packet.readableBytesView)) }
        }
        return packets
    }

    @Test func packetsOfAnySizeComeOutAsTheyWentIn() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<30 {
            var expected: [[UInt8]] = []
            var stream = ByteBuffer()
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                let isLarge = Int.random(in: 0..<4, using: &random) == 0
                let packet = random.bytes(Int.random(in: 1...(isLarge ? 262_144 : 300), using: &random))
                stream.writeInteger(UInt32(packet.count))
                stream.writeBytes(packet)
                expected.append(packet)
            }
            #expect(try frame(Array(stream.readableBytesView), &random) == expected)
        }
    }

    @Test(arguments: [[0, 0, 0, 0], [255, 255, 255, 255], [0, 4, 4, 1]] as [[UInt8]])
    func impossibleLengthsEndTheStream(_ length: [UInt8]) {
        var random = SeededGenerator(seed: 4)
        #expect(throws: SFTPError.self) { try frame(length, &random) }
    }

    @Test func theQueueKeepsOrderAndOffersTheSameBytesAgain() throws {
        var random = SeededGenerator(seed: 5)
        for round in 0..<60 {
            let pieceLength = round % 2 == 0 ? OutboundQueue.packetLength : 50_000
            var queue = OutboundQueue(pieceLength: pieceLength)
            var expected: [UInt8] = []
            var sent: [UInt8] = []
            var pending: [UInt8]?
            for _ in 0..<400 {
                if Bool.random(using: &random), expected.count < 1_000_000 {
                    let isLarge = Int.random(in: 0..<3, using: &random) == 0
                    let bytes = random.bytes(Int.random(in: 0...(isLarge ? 70_000 : 60), using: &random))
                    expected += bytes
                    queue.append(ByteBuffer(bytes: bytes))
                }
                var refuses = Bool.random(using: &random)
                let share = Int.random(in: 1...100, using: &random)
                _ = try queue.offer { bytes in
                    #expect(bytes.count <= pieceLength && bytes.count > 0)
                    if let before = pending { #expect(Array(bytes.prefix(before.count)) == before) }
                    if refuses {
                        pending = Array(bytes)
                        return 0
                    }
                    let count = max(1, bytes.count * share / 100)
                    sent += bytes.prefix(count)
                    pending = nil
                    return count
                }
                refuses = false
            }
            while !queue.isEmpty {
                _ = try queue.offer { bytes in
                    sent += bytes
                    return bytes.count
                }
            }
            #expect(sent == expected)
        }
    }

    @Test func fileDataIsOfferedAsMuchAtOnceAsTheTransportLikes() throws {
        for (pieceLength, expected) in [(OutboundQueue.packetLength, [32_700, 32_700]), (262_144, [32_700, 167_340])] {
            var queue = OutboundQueue(pieceLength: pieceLength)
            queue.append(ByteBuffer(bytes: [UInt8](repeating: 1, count: 40)))
            queue.append(ByteBuffer(bytes: [UInt8](repeating: 2, count: 200_000)))
            // The head with as much data as makes a packet, then data from where it lies.
            #expect(try [queue.offer { $0.count }, queue.offer { $0.count }] == expected)
        }
    }

    @Test func smallPacketsTravelTogether() throws {
        var queue = OutboundQueue()
        for _ in 0..<100 { queue.append(ByteBuffer(bytes: [UInt8](repeating: 1, count: 40))) }
        let count = try queue.offer { $0.count }
        #expect(count == 4000)
    }

    private func entry(_ expectation: Request.Expectation, _ receiver: String) -> RequestTable<String>.Entry {
        .init(expectation: expectation, operation: "test", path: "/p", receiver: receiver, bytes: 10, begun: .now)
    }

    @Test func repliesAreMatchedByID() throws {
        var table = RequestTable<String>()
        let first = table.begin(entry(.status, "first"))
        let second = table.begin(entry(.handle, "second"))
        let answer = try table.answer(id: second, with: .handle([1]))
        #expect(answer.receiver == "second")
        #expect(answer.result == .success(.handle([1])))
        let failed = try table.answer(id: first, with: .status(.failure, message: "no"))
        #expect(
            failed.result == .failure(.status(code: .failure, message: "no", operation: "test", path: "/p"))
        )
        #expect(failed.bytes == 10)
        #expect(table.isEmpty)
    }

    @Test func repliesNobodyAskedForAreAViolation() throws {
        var table = RequestTable<String>()
        let id = table.begin(entry(.status, "a"))
        #expect(throws: SFTPError.self) { try table.answer(id: id &+ 1, with: .status(.ok, message: "")) }
        _ = try table.answer(id: id, with: .status(.ok, message: ""))
        #expect(throws: SFTPError.self) { try table.answer(id: id, with: .status(.ok, message: "")) }
    }

    @Test(
        arguments: [
            (.status, .handle([1])), (.handle, .status(.ok, message: "")), (.names, .attributes(.init())),
            (.attributes, .names([])), (.data(atMost: 2), .data(ByteBuffer(bytes: [1, 2, 3]))),
            (.status, .extended(ByteBuffer())), (.data(atMost: 2), .status(.ok, message: "")),
        ] as [(Request.Expectation, Reply)]
    )
    func repliesOfTheWrongKindAreAViolation(_ expectation: Request.Expectation, _ reply: Reply) {
        var table = RequestTable<String>()
        let id = table.begin(entry(expectation, "a"))
        #expect(throws: SFTPError.self) { try table.answer(id: id, with: reply) }
        // Whoever waits is still told when the session ends.
        #expect(table.end(.closed).map(\.receiver) == ["a"])
    }

    @Test func idsInUseArePassedOverWhenTheCounterWraps() throws {
        var table = RequestTable<String>(firstID: .max)
        equal(table.begin(entry(.status, "a")), .max)
        equal(table.begin(entry(.status, "b")), 0)
        var other = RequestTable<String>(firstID: 0)
        _ = other.begin(entry(.status, "old"))
        var wrapped = other
        for _ in 0..<3 {
            let id = wrapped.begin(entry(.status, "x"))
            #expect(id != 0)
        }
    }

    @Test func theEndNamesEachOperation() {
        var table = RequestTable<String>()
        _ = table.begin(entry(.status, "a"))
        let ended = table.end(.disconnected(reason: "gone", operation: "session"))
        #expect(ended.map(\.result) == [.failure(.disconnected(reason: "gone", operation: "test"))])
    }

    @Test func theBudgetHoldsItsBoundAndItsOrder() {
        var budget = SendBudget<Int>(limit: 100)
        equal(budget.take(60), true)
        equal(budget.take(40), true)
        equal(budget.take(1), false)
        budget.wait(for: 50, waiter: 1)
        budget.wait(for: 10, waiter: 2)
        // Nobody overtakes the first waiter, and nobody is woken for crumbs.
        equal(budget.release(20), [])
        equal(budget.take(5), false)
        equal(budget.release(40), [1, 2])
        #expect(budget.used == 100)
        equal(budget.release(100), [])
        // One request larger than the bound passes when nothing else is under way.
        equal(budget.take(500), true)
    }

    @Test(arguments: 1...40) func nobodyIsLeftWaiting(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var budget = SendBudget<Int>(limit: 100)
        var turns: [Int] = []
        var held: [Int: Int] = [:]
        var waiting: [Int: Int] = [:]
        func admit(_ granted: [Int]) {
            for number in granted { held[number] = waiting.removeValue(forKey: number) }
        }
        for number in 0..<400 {
            switch random.next() % 4 {
            case 0 where turns.count < 5: turns.append(budget.begin())
            case 1:
                guard let turn = turns.randomElement(using: &random) else { break }
                turns.removeAll { $0 == turn }
                admit(budget.end(turn))
            case 2:
                guard let key = held.keys.sorted().randomElement(using: &random) else { break }
                admit(budget.release(held.removeValue(forKey: key) ?? 0))
            default:
                // Now and then more than the bound, which passes alone.
                let bytes = random.next() % 20 == 0 ? 150 : Int(random.next() % 40) + 1
                let turn = turns.randomElement(using: &random)
                if budget.take(bytes, turn: turn) {
                    held[number] = bytes
                } else {
                    waiting[number] = bytes
                    budget.wait(for: bytes, turn: turn, waiter: number)
                }
            }
            #expect(budget.used == held.values.reduce(0, +))
            #expect(budget.used <= 100 || held.count == 1)
            #expect(waiting.isEmpty || !held.isEmpty)
        }
        // Whoever waits is let in by what is given back, whatever streams are still under way.
        while let key = held.keys.min() { admit(budget.release(held.removeValue(forKey: key) ?? 0)) }
        #expect(waiting.isEmpty && budget.used == 0)
    }

    @Test func streamsTakeTurns() {
        var budget = SendBudget<String>(limit: 100)
        let (first, second) = (budget.begin(), budget.begin())
        equal(budget.take(60, turn: first), true)
        // The second gets what the first leaves of one half, which is nothing.
        equal(budget.take(10, turn: second), false)
        budget.wait(for: 10, turn: second, waiter: "second")
        // The first, and what is no stream, are not held up by that.
        equal(budget.take(30, turn: first), true)
        equal(budget.take(5), true)
        equal(budget.take(10, turn: first), false)
        budget.wait(for: 10, turn: first, waiter: "first")
        equal(budget.release(25), ["first"])
        // A first one that has nothing to send at the moment leaves the line to the others.
        equal(budget.release(30), [])
        equal(budget.release(15), ["second"])
        #expect(budget.used == 45)
        equal(budget.take(20, turn: second), false)
        budget.wait(for: 20, turn: second, waiter: "second again")
        equal(budget.end(first), ["second again"])
        equal(budget.take(35, turn: second), true)
    }
}
