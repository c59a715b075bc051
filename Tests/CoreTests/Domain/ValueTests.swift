import Core
import CoreTesting
import Testing

@Suite("Values of the domain")
struct ValueTests {
    @Test("Identifiers are 32 lowercase digits and nothing else")
    func identifiers() {
        let text = "00000000000000ff0123456789abcdef"
        #expect(UploadID(high: 0xFF, low: 0x0123_4567_89AB_CDEF).description == text)
        #expect(UploadID(text)?.description == text)
        for wrong in [
            "", "ff", text.uppercased(), text + "0", "../" + text.dropFirst(3), String(text.dropLast()) + "/",
        ] {
            #expect(UploadID(wrong) == nil, "\(wrong)")
        }
    }

    @Test(
        "Target names",
        arguments: [
            ("web-eu-1", true), ("a", true), ("1.2_3", true), ("", false), ("-a", false), ("A", false), ("a/b", false),
            ("ä", false), ("a:b", false), (String(repeating: "a", count: 63), true),
            (String(repeating: "a", count: 64), false),
        ]
    )
    func targets(text: String, isValid: Bool) {
        #expect((TargetID(text) != nil) == isValid)
    }

    @Test("Owners are visible ASCII")
    func owners() {
        #expect(Owner("team@example") != nil)
        for wrong in ["", "a b", "a\n", "ä", String(repeating: "a", count: 129)] { #expect(Owner(wrong) == nil) }
    }

    @Test("Digests read and print the same bits, and compare all of them")
    func digests() throws {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        let digest = try #require(SHA256Digest(hex: hex))
        #expect(digest.hex == hex)
        #expect(SHA256Digest(hex: hex.uppercased()) == digest)
        #expect(SHA256Digest(bytes: digest.bytes) == digest)
        #expect(SHA256Digest(hex: hex.dropLast()) == nil)
        #expect(SHA256Digest(hex: hex.dropLast() + "g") == nil)
        for index in 0..<32 {
            var bytes = digest.bytes
            bytes[index] ^= 1
            #expect(SHA256Digest(bytes: bytes) != digest)
        }
    }

    @Test(
        "Times print as RFC 3339, leap days and times before 1970 included",
        arguments: [
            (Int64(0), "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_123_999, "2024-02-29T00:00:00.123Z"),
            (1_767_225_599_999_999, "2025-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_300_799_000_000, "9999-12-31T23:59:59.000Z"),
        ]
    )
    func times(microseconds: Int64, text: String) {
        #expect(Timestamp(microseconds: microseconds).description == text)
    }

    @Test(
        "Times are read with any offset, and print as they were read but for what lies beyond milliseconds",
        arguments: [
            ("1970-01-01T00:00:00Z", Int64(0)), ("2026-01-31T09:05:00.250Z", 1_769_850_300_250_000),
            ("2000-02-29T23:59:59.9999999z", 951_868_799_999_999), ("1969-12-31T23:59:59Z", -1_000_000),
            ("2026-01-31t10:05:00+01:00", 1_769_850_300_000_000), ("0000-03-01T00:00:00Z", -62_162_035_200_000_000),
            ("2026-01-31T04:35:00.1-04:30", 1_769_850_300_100_000), ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ]
    )
    func timesRead(text: String, microseconds: Int64) throws {
        let time = try #require(Timestamp(rfc3339: text))
        #expect(time.microseconds == microseconds)
        #expect(
            Timestamp(rfc3339: time.description)?.microseconds == microseconds - (microseconds % 1_000 + 1_000) % 1_000
        )
    }

    @Test(
        "What is no time is refused",
        arguments: [
            "", "2026-01-31", "2026-01-31T09:05:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z", "2026-01-31T09:05:00.Z", "2026-01-31T09:05:00Z ", "2026-01-31 09:05:00Z",
            "+026-01-31T09:05:00Z", "2026-01-31T09:05:00+0100", "2026-1-31T09:05:00Z", "1900-02-29T00:00:00Z",
        ]
    )
    func noTimes(text: String) { #expect(Timestamp(rfc3339: text) == nil) }

    @Test("Modes are nine bits in octal, the owner's read bit among them")
    func modes() throws {
        for (text, bits) in [("0640", UInt32(0o640)), ("400", 0o400), ("0777", 0o777), ("644", 0o644)] {
            let mode = try #require(FileMode(octal: text))
            #expect(mode.bits == bits && FileMode(bits: bits) == mode)
            #expect(mode.description == (text.count == 3 ? "0" + text : text))
            #expect(FileMode(octal: mode.description) == mode)
            #expect(mode.untilRenamed.bits == bits | 0o200)
        }
        #expect(FileMode.standard.description == "0644")
        for wrong in [
            "", "0", "64", "00640", "1644", "4755", "0648", "888", "rw-", "-640", "+640", " 640", "0o640", "0x1ff",
            "0240", "0077", "000", "６４０",
        ] {
            #expect(FileMode(octal: wrong) == nil, "\(wrong)")
        }
        for wrong: UInt32 in [0, 0o377, 0o1400, 0o100_644, .max] { #expect(FileMode(bits: wrong) == nil, "\(wrong)") }
    }

    @Test("Jobs read what they print, and nothing else")
    func jobs() throws {
        let id = UploadID(high: 1, low: 2)
        for job in [Job.ship(id, offset: 0), .ship(id, offset: 1 << 50), .merge(id), .clean(id)] {
            #expect(Job(job.description) == job)
        }
        for wrong in [
            "", "ship", "ship:\(id)", "ship:\(id):-1", "ship:\(id):01", "ship:\(id):1:2", "merge:\(id):1", "merge:x",
            "drop:\(id)", "ship:\(id):9223372036854775808",
        ] {
            #expect(Job(wrong) == nil, "\(wrong)")
        }
    }

    @Test("A part file's name gives its generation back, for its own upload only")
    func partFiles() throws {
        let id = UploadID(high: 1, low: 2)
        let other = UploadID(high: 1, low: 3)
        let file = PartFile(upload: id, generation: Generation(17), path: try TargetPath("a/b"))
        #expect(file.name == ".ferry-\(id).17.part")
        #expect(PartFile.generation(inName: file.name, of: id) == Generation(17))
        #expect(PartFile.generation(inName: file.name, of: other) == nil)
        #expect(PartFile.generation(inName: ".ferry-\(id).x.part", of: id) == nil)
        for wrong in ["", "+17", "17-", "17-x", "-5", "17-5-6", "17 "] {
            #expect(PartFile.generation(inName: ".ferry-\(id).\(wrong).part", of: id) == nil, "\(wrong)")
            #expect(PartFile.generation(inDirectoryName: ".ferry-\(id).\(wrong).parts", of: id) == nil, "\(wrong)")
        }
        #expect(PartFile.claim(inName: file.name, of: id) == nil)
        #expect(PartFile.generation(inDirectoryName: file.directoryName, of: id) == Generation(17))
        #expect(PartFile.generation(inDirectoryName: file.directoryName, of: other) == nil)
        #expect(PartFile.generation(inName: file.directoryName, of: id) == nil)
        #expect(PartFile.generation(inDirectoryName: file.name, of: id) == nil)
    }

    @Test("Only a streamed part file is a claim's own")
    func claims() throws {
        let id = UploadID(high: 1, low: 2)
        for strategy in MergeStrategy.allCases {
            let file = PartFile(
                upload: id,
                generation: Generation(17),
                path: try TargetPath("a/b"),
                strategy: strategy
            )
            let claimed = file.claimed(by: Fence(23))
            #expect((claimed == file) == (strategy != .stream))
            #expect(PartFile.generation(inName: claimed.name, of: id) == Generation(17))
            #expect(PartFile.claim(inName: claimed.name, of: id) == (strategy == .stream ? Fence(23) : nil))
        }
    }

    @Test("What lies in a directory of parts has Ferry's names; other content has another")
    func partsDirectory() throws {
        let (one, other) = (SHA256Digest(bytes: [UInt8](repeating: 1, count: 32)), SHA256.digest([]))
        let part = Part(offset: 4_096, size: 10, digest: try #require(one))
        #expect(PartsDirectory.name(of: part) == "0000000000001000-10-0101010101010101")
        #expect(PartsDirectory.name(of: Part(offset: 4_096, size: 10, digest: other)) != PartsDirectory.name(of: part))
        for name in [PartsDirectory.name(of: part), "record", "record.new", "lock"] {
            #expect(PartsDirectory.isOwn(name), "\(name)")
        }
        for name in ["", "lock.d", "notes.txt", "0000000000001000-10", "000000000000100-10-0101010101010101", "a-b-c"] {
            #expect(!PartsDirectory.isOwn(name), "\(name)")
        }
    }
}
