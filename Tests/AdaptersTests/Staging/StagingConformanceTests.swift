// What every staging must do, whatever it is made of.

import Adapters
import Core
import CoreTesting
import Harness
import Testing

@Suite struct StagingConformanceTests {
    let id = Sample.id(0xab00_0000_0000_0001)

    @Test(arguments: StagingKind.allCases) func partsComeInAnyOrderAndAtOnce(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let sizes = [1, 4_095, 4_096, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 700_000, 9, 33_333]
        var expected: [Part] = []
        var offset: Int64 = 0
        var jobs: [(Bytes, Int64, Int)] = []
        for (index, size) in sizes.enumerated() {
            let bytes = Bytes.seeded(UInt64(index), count: size)
            expected.append(part(bytes, at: offset))
            jobs.append((bytes, offset, [1_000, 16_384, 300_000][index % 3]))
            offset += Int64(size)
        }
        try await withThrowingTaskGroup(of: PublishResult.self) { [id] group in
            for (bytes, offset, chunk) in jobs.reversed() {
                group.addTask { try await test.staging.put(bytes, at: offset, of: id, chunk: chunk) }
            }
            for try await result in group {
                guard case .stored(let part) = result else { throw HarnessError("not stored: \(result)") }
                #expect(expected.contains(part))
            }
        }
        let staged = try #require(try await test.staging.read(id))
        #expect(staged.parts == expected)
        for (part, job) in zip(expected, jobs) {
            #expect(try await test.staging.content(part, of: id) == job.0)
            #expect(try await test.staging.isIntact(part, of: id))
        }
        #expect(test.leftovers() == 0)
        #expect(try await test.staging.space().used == offset)
    }

    @Test(arguments: StagingKind.allCases) func theSamePartTwiceIsStoredOnce(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10_000)
        #expect(try await test.staging.put(bytes, at: 0, of: id) == .stored(part(bytes, at: 0)))
        #expect(try await test.staging.put(bytes, at: 0, of: id) == .alreadyStored(part(bytes, at: 0)))
        #expect(try await test.staging.space().used == 10_000)
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func whatCameFirstStays(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let first = Bytes.seeded(1, count: 10_000)
        _ = try await test.staging.put(first, at: 4_096, of: id)
        for other in [Bytes.seeded(2, count: 10_000), Bytes.seeded(1, count: 9_999)] {
            #expect(try await test.staging.put(other, at: 4_096, of: id) == .conflict(part(first, at: 4_096)))
        }
        #expect(try await test.staging.content(part(first, at: 4_096), of: id) == first)
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func aWrongLengthIsRefused(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let short = try await test.staging.beginPart(of: id, offset: 0, size: 100)
        try await short.write(Bytes.seeded(1, count: 99))
        await #expect(throws: StagingError.wrongLength(expected: 100, received: 99)) { _ = try await short.seal() }
        await short.discard()
        let long = try await test.staging.beginPart(of: id, offset: 0, size: 100)
        try await long.write(Bytes.seeded(1, count: 60))
        await #expect(throws: StagingError.wrongLength(expected: 100, received: 101)) {
            try await long.write(Bytes.seeded(1, count: 41))
        }
        await long.discard()
        #expect(try await test.staging.read(id)?.parts == [])
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func aPartMayBeEmpty(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id, size: 0))
        let empty = part(Bytes([]), at: 0)
        #expect(try await test.staging.put(Bytes([]), at: 0, of: id) == .stored(empty))
        #expect(try await test.staging.isIntact(empty, of: id))
    }

    @Test(arguments: StagingKind.allCases) func discardingAPartLeavesNothing(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind, limit: 2_000_000)
        try await test.staging.create(try Sample.record(id))
        for isSealed in [false, true] {
            let writer = try await test.staging.beginPart(of: id, offset: 0, size: 1_500_000)
            try await writer.write(Bytes.seeded(1, count: 1_000_000))
            if isSealed {
                try await writer.write(Bytes.seeded(1, count: 500_000))
                _ = try await writer.seal()
            }
            #expect(test.leftovers() > 0)
            await writer.discard()
            await writer.discard()
            #expect(test.leftovers() == 0)
        }
        // Its room is free again.
        #expect(try await test.staging.space().used == 0)
        let bytes = Bytes.seeded(1, count: 2_000_000)
        #expect(try await test.staging.put(bytes, at: 0, of: id, chunk: 500_000) == .stored(part(bytes, at: 0)))
    }

    @Test(arguments: StagingKind.allCases) func noPartMakesAnUpload(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.beginPart(of: id, offset: 0, size: 1)
        }
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.mark(.expired(at: Timestamp(microseconds: 1)), on: id)
        }
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.openPart(part(Bytes([1]), at: 0), of: id)
        }
        #expect(try await test.staging.read(id) == nil)
        #expect(try await test.staging.uploads(after: nil, touchedSince: nil, limit: 10) == [])
    }

    @Test(arguments: StagingKind.allCases) func rangesOutOfBoundsAreRefused(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        for (offset, size) in [(-1, 1), (0, -1), (Int64.max, 1), (1, Int64.max)] as [(Int64, Int64)] {
            await #expect(throws: StagingError.self) {
                _ = try await test.staging.beginPart(of: id, offset: offset, size: size)
            }
        }
    }

    @Test(arguments: StagingKind.allCases) func aPartIsNotPublishedAfterItsUploadIsGone(kind: StagingKind) async throws
    {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let writer = try await test.staging.beginPart(of: id, offset: 0, size: 10)
        try await writer.write(Bytes.seeded(1, count: 10))
        try await test.staging.discard(id)
        _ = try await writer.seal()
        await #expect(throws: StagingError.notFound) { _ = try await writer.publish() }
        await writer.discard()
        #expect(test.leftovers() == 0)
        #expect(try await test.staging.read(id) == nil)
        // Nothing to discard is no error.
        try await test.staging.discard(id)
    }

    @Test(arguments: StagingKind.allCases) func theFirstMarkerOfAKindStays(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let answers = try await withThrowingTaskGroup(of: Marker.self) { [id] group in
            for number in 0..<20 {
                group.addTask {
                    try await test.staging.mark(.cancelled(by: "owner-\(number)", at: .init(microseconds: 7)), on: id)
                }
            }
            return try await group.reduce(into: Set<Marker>()) { $0.insert($1) }
        }
        #expect(answers.count == 1)
        let digest = SHA256.digest([1])
        let others: [Marker] = [
            .complete(size: 5, digest: digest, at: .init(microseconds: 1)),
            .expired(at: .init(microseconds: 2)),
            .done(FinalFile(size: 5, digest: nil, modified: 99), at: .init(microseconds: 3)),
        ]
        for marker in others { #expect(try await test.staging.mark(marker, on: id) == marker) }
        let staged = try #require(try await test.reopened().read(id))
        #expect(Set(staged.markers) == answers.union(others))
        try await test.staging.unmark(.complete, on: id)
        try await test.staging.unmark(.complete, on: id)
        #expect(try await test.staging.read(id)?.markers.map(\.kind) == [.cancelled, .expired, .done])
        let again = Marker.complete(size: 6, digest: nil, at: .init(microseconds: 9))
        #expect(try await test.staging.mark(again, on: id) == again)
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func aRecordComesBackAsItWas(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        var record = try Sample.record(id)
        record.uploadProtocol = .append
        record.digest = SHA256.digest([1, 2, 3])
        record.overwrite = .replace
        record.fingerprint = "é/\"\\\n"
        record.metadata = ["name": "a/b \u{1F600}", "": "", "line\nbreak": "\u{0}"]
        record.idempotencyKey = "key"
        record.attributes = FinalAttributes(mode: FileMode(octal: "0400"), modifiedAt: Timestamp(microseconds: 1))
        try await test.staging.create(record)
        let other = try Sample.record(Sample.id(2), size: nil)
        try await test.staging.create(other)
        let staging = try await test.reopened()
        #expect(try await staging.read(id)?.record == record)
        #expect(try await staging.read(other.id)?.record == other)
        await #expect(throws: StagingError.self) { try await staging.create(record) }
        #expect(try await staging.read(id)?.record == record)
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func aNewerRecordIsLeftAlone(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 10)
        _ = try await test.staging.put(bytes, at: 0, of: id)
        try test.makeNewer(id)
        await #expect {
            _ = try await test.staging.read(id)
        } throws: { error in
            guard case .unreadable(let text) = error as? StagingError else { return false }
            return text.contains("version 2")
        }
        _ = try await test.staging.sweep(olderThan: .zero)
        #expect(try await test.staging.uploads(after: nil, touchedSince: nil, limit: 10) == [id])
        #expect(try await test.staging.isIntact(part(bytes, at: 0), of: id))
    }

    @Test(arguments: StagingKind.allCases) func aDamagedPartIsSeenAndStruck(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 3_000_000)
        let damaged = part(bytes, at: 4_096)
        let sound = part(bytes, at: 8_000_000)
        for part in [damaged, sound] { _ = try await test.staging.put(bytes, at: part.offset, of: id, chunk: 100_000) }
        try test.damage(damaged, of: id)
        #expect(try await !test.staging.isIntact(damaged, of: id))
        #expect(try await test.staging.read(id)?.struck == nil)
        for part in [damaged, sound] { try await test.staging.strike(part, of: id) }
        #expect(try await test.staging.read(id)?.parts == [sound])
        #expect(try await test.staging.read(id)?.struck == damaged.offset)
        await #expect(throws: StagingError.notFound) { _ = try await test.staging.openPart(damaged, of: id) }
        #expect(try await test.staging.space().used == 3_000_000)
        #expect(try await test.staging.put(bytes, at: 4_096, of: id) == .stored(damaged))
        // A second worker that saw the damage does not strike what came since.
        try await test.staging.strike(damaged, of: id)
        #expect(try await test.staging.isIntact(damaged, of: id))
        // One that the disk lost altogether is known too, and the last one counts.
        try await test.staging.strike(part(bytes, at: 9_000_000_000), of: id)
        #expect(try await test.staging.read(id)?.struck == 9_000_000_000)
        try await test.staging.discard(id)
        #expect(try await test.staging.read(id) == nil)
    }

    @Test(arguments: StagingKind.allCases) func thePartsTogetherAreTheFile(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 2_500_000)
        var parts: [Part] = []
        for start in stride(from: 0, to: 2_500_000, by: 1_000_000) {
            let piece = Bytes(bytes.array[start..<min(start + 1_000_000, 2_500_000)])
            parts.append(part(piece, at: Int64(start)))
            _ = try await test.staging.put(piece, at: Int64(start), of: id, chunk: 400_000)
        }
        #expect(try await test.staging.digest(of: parts, of: id) == digest(bytes))
        #expect(try await test.staging.digest(of: [], of: id) == SHA256.digest([]))
        try test.damage(parts[1], of: id)
        #expect(try await test.staging.digest(of: parts, of: id) != digest(bytes))
        await #expect(throws: StagingError.notFound) {
            _ = try await test.staging.digest(of: parts + [part(bytes, at: 5_000_000)], of: id)
        }
    }

    @Test(arguments: StagingKind.allCases, [Marker.Kind?.none] + Marker.Kind.allCases)
    func ofADiscardedUploadItsEndIsKept(kind: StagingKind, ending: Marker.Kind?) async throws {
        let test = try await StagingUnderTest(kind)
        let record = try Sample.record(id)
        try await test.staging.create(record)
        _ = try await test.staging.put(Bytes.seeded(1, count: 100), at: 0, of: id)
        let markers = Sample.markers.filter { $0.kind == .complete || $0.kind == ending }
        for marker in markers { _ = try await test.staging.mark(marker, on: id) }
        #expect(try await test.staging.discarded() == [])
        #expect(try await test.staging.readDiscarded(id) == nil)
        try await test.staging.discard(id)
        // One that did not end is forgotten at once: nobody was told of it.
        let hasEnded = ending != nil && ending != .complete
        let kept = hasEnded ? StagedUpload(record: record, parts: [], markers: markers) : nil
        for staging in [test.staging, try await test.reopened()] {
            #expect(try await staging.discarded() == (kept == nil ? [] : [id]))
            #expect(try await staging.readDiscarded(id) == kept)
            #expect(try await staging.read(id) == nil)
            #expect(try await staging.uploads(after: nil, touchedSince: nil, limit: 9) == [])
        }
        #expect(try await test.staging.space().used == 0)
        try await test.staging.discard(id)
        #expect(try await test.staging.readDiscarded(id) == kept, "discarded twice")
        // Whoever sweeps does not know what the index knows.
        _ = try await test.staging.sweep(olderThan: .zero)
        #expect(try await test.staging.readDiscarded(id) == kept, "swept")
        #expect(try await test.staging.forget(discardedBefore: test.now() + .seconds(-60)) == 0)
        #expect(try await test.staging.forget(discardedBefore: test.now() + .seconds(1)) == (kept == nil ? 0 : 1))
        #expect(try await test.staging.discarded() == [])
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func readingStaysWithinThePart(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let bytes = Bytes.seeded(1, count: 1_000)
        _ = try await test.staging.put(bytes, at: 0, of: id)
        let reader = try await test.staging.openPart(part(bytes, at: 0), of: id)
        #expect(Bytes(copying: try await reader.read(at: 990, count: 100)) == Bytes(bytes.array.suffix(10)))
        #expect(try await reader.read(at: 1_000, count: 100).count == 0)
        for (position, count) in [(-1, 1), (1_001, 1), (0, -1)] as [(Int64, Int)] {
            await #expect(throws: StagingError.self) { _ = try await reader.read(at: position, count: count) }
        }
        // What is open stays readable while its upload goes.
        try await test.staging.discard(id)
        #expect(Bytes(copying: try await reader.read(at: 0, count: 1_000)) == bytes)
        await reader.close()
    }

    @Test(arguments: StagingKind.allCases) func roomIsReservedBeforeBytesAreTaken(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind, limit: 100)
        try await test.staging.create(try Sample.record(id))
        let first = try await test.staging.beginPart(of: id, offset: 0, size: 60)
        await #expect(throws: StagingError.full) { _ = try await test.staging.beginPart(of: id, offset: 60, size: 41) }
        let second = try await test.staging.beginPart(of: id, offset: 60, size: 40)
        await second.discard()
        try await first.write(Bytes.seeded(1, count: 60))
        _ = try await first.seal()
        _ = try await first.publish()
        await first.discard()
        await #expect(throws: StagingError.full) { _ = try await test.staging.beginPart(of: id, offset: 60, size: 41) }
        #expect(try await test.staging.space().used == 60)
        try await test.staging.discard(id)
        #expect(try await test.staging.space().used == 0)
        try await test.staging.create(try Sample.record(Sample.id(3)))
        _ = try await test.staging.put(Bytes.seeded(1, count: 100), at: 0, of: Sample.id(3))
    }

    @Test(arguments: StagingKind.allCases) func uploadsAreListedInPages(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        let ids = (0..<40 as Range<UInt64>).map { Sample.id($0 &* 0x0a3d_7000_0000_0001) }.sorted()
        for id in ids.reversed() { try await test.staging.create(try Sample.record(id)) }
        var found: [UploadID] = []
        var pages = 0
        while true {
            let page = try await test.reopened().uploads(after: found.last, touchedSince: nil, limit: 7)
            if page.isEmpty { break }
            found += page
            pages += 1
        }
        #expect(found == ids)
        #expect(pages == 6)
        #expect(try await test.staging.uploads(after: nil, touchedSince: nil, limit: 0) == [])
    }

    @Test(arguments: StagingKind.allCases) func theEpochIsMadeOnce(kind: StagingKind) async throws {
        let test = try await StagingUnderTest(kind)
        let other = try await test.reopened()
        let epochs = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<20 {
                group.addTask { try await (number % 2 == 0 ? test.staging : other).epoch() }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(epochs.count == 1)
        #expect(epochs.first?.isEmpty == false)
        #expect(test.leftovers() == 0)
    }

    @Test(arguments: StagingKind.allCases) func ofAHundredWritersToOneOffsetOneIsStored(kind: StagingKind) async throws
    {
        let test = try await StagingUnderTest(kind)
        try await test.staging.create(try Sample.record(id))
        let contents = [Bytes.seeded(1, count: 70_000), Bytes.seeded(2, count: 70_000)]
        let results = try await withThrowingTaskGroup(of: (Int, PublishResult).self) { [id] group in
            for number in 0..<100 {
                group.addTask {
                    (number % 2, try await test.staging.put(contents[number % 2], at: 4_096, of: id))
                }
            }
            return try await group.reduce(into: [(Int, PublishResult)]()) { $0.append($1) }
        }
        let stored = results.filter { if case .stored = $0.1 { true } else { false } }
        #expect(stored.count == 1)
        let winner = try #require(stored.first?.0)
        let kept = part(contents[winner], at: 4_096)
        for (content, result) in results where result != .stored(kept) {
            #expect(result == (content == winner ? .alreadyStored(kept) : .conflict(kept)))
        }
        #expect(try await test.staging.read(id)?.parts == [kept])
        #expect(test.leftovers() == 0)
        if case .disk(let directory, _) = test.place {
            // Two are the staging directory's own and any walk's.
            #expect(DiskLayout.openDescriptors(below: directory).count <= 1)
        }
    }
}
