// What every staging must do with small files that come whole.

import Adapters
import Core
import CoreTesting
import Harness
import Testing

@Suite struct StagingWholeConformanceTests {
    let id = Sample.id(0xab00_0000_0000_0002)

    @Test(arguments: StagingKind.allCases) func aSmallFileComesAndGoesWhole(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10_000)
        let whole = part(bytes, at: 0)
        let time = Timestamp(microseconds: 1_700_000_000_000_000)
        let other = Bytes.seeded(2, count: 10_000)
        let wrong = try await test.staging.fill(id, with: other, declared: whole.digest, at: time)
        #expect(wrong == .differs(part(other, at: 0)))
        #expect(try await test.staging.read(id)?.parts == [])
        #expect(try await test.staging.read(id)?.markers == [])
        #expect(try await test.staging.space().used == 0)
        for _ in 0..<2 {
            #expect(try await test.staging.fill(id, with: bytes, declared: whole.digest, at: time) == .stored(whole))
        }
        #expect(try await test.staging.fill(id, with: other, declared: nil, at: time) == .conflict(whole))
        let staged = try #require(try await test.reopened().read(id))
        #expect(staged.parts == [whole])
        #expect(staged.markers == [.complete(size: 10_000, digest: whole.digest, at: time)])
        #expect(try await test.staging.space().used == 10_000)
        #expect(test.leftovers() == 0)

        let found = try #require(try await test.staging.bytes(of: whole, of: id))
        #expect(found.withUnsafeBytes { Bytes(Array($0)) } == bytes)
        try test.damage(whole, of: id)
        #expect(try await test.staging.bytes(of: whole, of: id) == nil)
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.fill(Sample.id(7), with: bytes, declared: nil, at: time)
        }
    }

    @Test(arguments: StagingKind.allCases) func aSmallFileThatDoesNotFitLeavesNothing(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind, limit: 9_999)
        try await test.staging.create(try Sample.record(id))
        await #expect(throws: StagingError.full) {
            let time = Timestamp(microseconds: 1)
            _ = try await test.staging.fill(id, with: Bytes.seeded(1, count: 10_000), declared: nil, at: time)
        }
        #expect(try await test.staging.read(id)?.parts == [])
        #expect(test.leftovers() == 0)
    }
}
