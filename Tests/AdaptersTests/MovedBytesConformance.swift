// What every index counts of the bytes that move.

import Core
import CoreTesting
import Redis
import Testing

@testable import Adapters

@Suite("Moved bytes")
struct MovedBytesConformance {
    @Test("Each part counts once where it is received and once where it is shipped", arguments: StoreUnderTest.allCases)
    func once(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let before = try await index.store.movedBytes()
        #expect(before.count == MovedBytes.minutes && before.allSatisfy { $0.received == 0 && $0.shipped == 0 })
        #expect(zip(before, before.dropFirst()).allSatisfy { $1.minute - $0.minute == .seconds(60) })
        let record = try index.record(.native, size: nil)
        let parts = [part(0), part(10), part(20, 3)]
        _ = try await index.received(record, parts)
        // Said twice, counted once.
        _ = try await index.store.receive(parts[0], of: record.id)
        let generation = try await index.begun(record.id)
        _ = try await index.ship(record.id, [0, 20], in: generation)
        _ = try await index.ship(record.id, [0], in: generation)
        let after = try await index.store.movedBytes()
        // A minute may have ended on the way.
        #expect(after.suffix(2).map(\.received).reduce(0, +) == 23)
        #expect(after.suffix(2).map(\.shipped).reduce(0, +) == 13)
        #expect(after.dropLast(2).allSatisfy { $0.received == 0 && $0.shipped == 0 })
        let now = index.now()
        #expect(after.last.map { now - $0.minute < .seconds(62) } == true)
    }

    @Test("A part that its merge carries counts once each way, too", arguments: StoreUnderTest.allCases)
    func carried(_ kind: StoreUnderTest) async throws {
        let index = try await kind.index()
        let record = try index.record(.whole, size: 10)
        try await index.created(record)
        _ = try applied(try await index.store.submit(part(0), of: record.id))
        let received = try await index.store.movedBytes()
        #expect(received.map(\.received).reduce(0, +) == 10 && received.allSatisfy { $0.shipped == 0 })
        let fence = try await index.claimed(record.id)
        // A commit whose answer was lost is begun again.
        for _ in 1...2 {
            _ = try await index.store.beginCommit(
                record.id,
                fence: fence,
                generation: Generation(fence.number),
                finalFile: FinalFile(size: 10, digest: nil, modified: 1_790_000_000),
                verification: .readback
            )
        }
        let both = try await index.store.movedBytes()
        #expect(both.map(\.received).reduce(0, +) == 10 && both.map(\.shipped).reduce(0, +) == 10)
    }

    @Test("An hour later they are forgotten")
    func forgotten() async throws {
        let index = try await StoreUnderTest.memory.index()
        let record = try index.record(.native, size: nil)
        _ = try await index.received(record, [part(0)])
        try await index.pass(.seconds(59 * 60))
        #expect(try await index.store.movedBytes().first?.received == 10)
        try await index.pass(.seconds(60))
        #expect(try await index.store.movedBytes().allSatisfy { $0.received == 0 })
    }

    @Test("Redis' ring takes another hour's minute for none, and counts anew in its place")
    func ring() async throws {
        let redis = try await RedisUnderTest.sharedClient()
        let prefix = "ring-\(UInt64.random(in: 0 ... .max)):"
        let index = RedisUnderTest.index(redis, prefix: prefix)
        try await index.store.adopt(epoch: "epoch")
        let minute = index.now().microseconds / 60_000_000
        // What stood in these places 64 minutes ago.
        for at in minute...minute + 1 {
            try await redis.hset("\(prefix)moved", "received:\(at % 64)", RedisArgument("\(at - 64) 1000000"))
        }
        #expect(try await index.store.movedBytes().allSatisfy { $0.received == 0 })
        let record = try index.record(.native, size: nil)
        _ = try await index.received(record, [part(0)])
        #expect(try await index.store.movedBytes().map(\.received).reduce(0, +) == 10)
    }
}
