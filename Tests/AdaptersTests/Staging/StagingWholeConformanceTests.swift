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
        for expected in [PublishResult.stored(whole), .alreadyStored(whole)] {
            let result = try await test.staging.fill(id, with: bytes, declared: whole.digest, at: time)
            #expect(result == .published(expected))
        }
        let late = try await test.staging.fill(id, with: other, declared: nil, at: time)
        #expect(late == .published(.conflict(whole)))
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

    @Test(arguments: StagingKind.allCases) func aSmallPartComesWhole(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind, limit: 25_000)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(3, count: 10_000)
        let other = Bytes.seeded(4, count: 10_000)
        let second = part(bytes, at: 20_000)
        let wrong = try await test.staging.store(other, at: 20_000, of: id, declared: second.digest)
        #expect(wrong == .differs(part(other, at: 20_000)))
        #expect(try await test.staging.read(id)?.parts == [])
        for expected in [PublishResult.stored(second), .alreadyStored(second)] {
            let result = try await test.staging.store(bytes, at: 20_000, of: id, declared: second.digest)
            #expect(result == .published(expected))
        }
        let late = try await test.staging.store(other, at: 20_000, of: id, declared: nil)
        #expect(late == .published(.conflict(second)))
        let first = try await test.staging.store(other, at: 0, of: id, declared: nil)
        #expect(first == .published(.stored(part(other, at: 0))))
        // Only 5,000 bytes are left.
        await #expect(throws: StagingError.full) {
            _ = try await test.staging.store(bytes, at: 10_000, of: id, declared: nil)
        }
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.store(Bytes.seeded(5, count: 1), at: 0, of: Sample.id(7), declared: nil)
        }
        let staged = try #require(try await test.reopened().read(id))
        #expect(Set(staged.parts) == [part(other, at: 0), second])
        #expect(staged.markers == [])
        #expect(try await test.staging.space().used == 20_000)
        #expect(test.leftovers() == 0)
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
