// The same seed is the same run; another one is another.

import Harness
import Testing

@testable import Chaos

@Suite struct SeedTests {
    private func plan(_ seed: UInt64, _ purpose: String = "fault", shape: LoadShape = LoadShape()) -> LoadPlan {
        var random = SeededGenerator(seed: seed, purpose: purpose)
        return LoadPlan(64, shape, directory: "d", targets: ["near", "far"], using: &random)
    }

    @Test func aSeedDecidesEverything() {
        #expect(plan(5) == plan(5))
        #expect(plan(5) != plan(6))
        #expect(plan(5, "fault") != plan(5, "other fault"))
    }

    @Test func everyKindOfUploadComes() {
        let uploads = plan(1).uploads
        #expect(uploads.contains { $0.size == 0 })
        #expect(uploads.contains { $0.size > 0 && $0.size < $0.partSize })
        #expect(uploads.contains { $0.size > $0.partSize && $0.size % $0.partSize == 0 })
        #expect(uploads.contains { $0.size > $0.partSize && $0.size % $0.partSize != 0 })
        #expect(uploads.contains { $0.way == .oneRequest })
        #expect(uploads.contains { $0.replaces })
        #expect(uploads.contains { $0.cancel != .never })
        #expect(uploads.contains { $0.declaresDigest } && uploads.contains { $0.declaresPartDigests })
        for upload in uploads {
            guard case .parts(let order) = upload.way else { continue }
            #expect(Set(order) == Set(1..<upload.partCount + 1))
        }
        #expect(uploads.contains { if case .parts(let order) = $0.way { order.count > $0.partCount } else { false } })
    }

    @Test func aShapeBoundsItsUploads() {
        let uploads = plan(2, shape: LoadShape(cancelShare: 0, targets: 2, maximum: 10)).uploads
        #expect(uploads.count == 10)
        #expect(Set(uploads.map(\.target)) == ["near", "far"])
        #expect(uploads.allSatisfy { $0.cancel == .never })
    }

    @Test func settingsAreReadOrRefused() throws {
        let settings = try Settings(environment: ["SEED": "9", "UPLOADS": "3", "FAULTS": "a,b"])
        #expect(settings.seed == 9 && settings.uploads == 3 && settings.faults == ["a", "b"])
        #expect(throws: SettingsError.self) { try Settings(environment: ["UPLOADS": "many"]) }
        #expect(throws: UnknownFault.self) { try Faults.named(["no-such-fault"]) }
    }

    @Test func everyFaultHasANameOfItsOwn() {
        let names = (Faults.all + Faults.teeth).map { $0.name }
        #expect(Set(names).count == names.count)
    }

    @Test func digestsAndRanges() {
        #expect(Digest.sha1Hex("abc".utf8) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(Digest.sha256Hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(PartNumbers.parse("1-3,7,9-10") == [1, 2, 3, 7, 9, 10])
        #expect(PartNumbers.parse("").isEmpty)
    }
}
