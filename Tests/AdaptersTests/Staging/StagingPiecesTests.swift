// The small parts of staging on disk: names, room, digests.

import Core
import CoreTesting
import Glibc
import Testing

@testable import Adapters

@Suite struct StagingPiecesTests {
    @Test func namesOfPartsAreReadStrictly() throws {
        let digest = String(repeating: "0f", count: 32)
        let part = try #require(EntryName(listed: "12-\(digest)")?.part(at: 5))
        #expect(part.offset == 5 && part.size == 12 && part.digest.hex == digest)
        let wrong = [
            "012-\(digest)", "+12-\(digest)", "-12-\(digest)", "12-\(digest.uppercased())", "12-\(digest)0", "12",
            "12-",
            "9223372036854775807-\(digest)", "9223372036854775808-\(digest)", " 12-\(digest)", "12-\(digest)\n",
        ]
        for text in wrong { #expect(EntryName(listed: text)?.part(at: 5) == nil, "\(text)") }
    }

    @Test func namesOfOffsetsAreReadStrictly() {
        #expect(EntryName(listed: "0000000000001234")?.offset == 0x1234)
        #expect(EntryName(listed: "7fffffffffffffff")?.offset == .max)
        #expect(EntryName.offset(.max).description == "7fffffffffffffff")
        for text in ["1234", "000000000000123G", "000000000000ABCD", "8000000000000000", "+000000000001234"] {
            #expect(EntryName(listed: text)?.offset == nil, "\(text)")
        }
        for text in ["", ".", ".."] { #expect(EntryName(listed: text) == nil) }
    }

    @Test func roomIsCountedOnBothSides() {
        var account = SpaceAccount(limit: 100)
        func reserves(_ size: Int64, free: Int64, keepFree: Int64) -> Bool {
            account.reserve(size, free: free, keepFree: keepFree)
        }
        #expect(reserves(60, free: 1_000, keepFree: 0))
        #expect(!reserves(41, free: 1_000, keepFree: 0))
        // The file system has room for what is promised already and 10 more, above what is to stay free.
        #expect(!reserves(11, free: 170, keepFree: 100))
        #expect(reserves(10, free: 170, keepFree: 100))
        account.wrote(60)
        #expect(reserves(20, free: 130, keepFree: 100))
        account.release(60, unwritten: 0)
        account.change(60)
        #expect(account.used == 60 && account.reserved == 30 && account.unwritten == 30)
        #expect(!reserves(11, free: .max, keepFree: 0))
        #expect(!reserves(.max, free: .max, keepFree: 0))
    }

    @Test func aWalkKeepsWhatCameMeanwhile() {
        var account = SpaceAccount(limit: .max)
        account.change(10)
        account.beginWalk()
        account.change(5)
        account.endWalk(100)
        #expect(account.used == 105)
        account.beginWalk()
        account.change(-50)
        account.endWalk(80)
        #expect(account.used == 80)
        account.beginWalk()
        account.endWalk(nil)
        #expect(account.used == 80)
        account.change(.max)
        #expect(account.used == .max)
        account.change(.min)
        #expect(account.used == 0)
    }

    @Test(arguments: [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1_000]) func bothDigestsAgree(count: Int) throws {
        let bytes = Bytes.seeded(UInt64(count), count: count)
        #expect(try SHA256Hasher.digest(of: bytes) == SHA256.digest(bytes.array))
    }

    @Test func aHasherBeginsAnewAfterItsEnd() throws {
        // FIPS 180-4's example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        let hasher = try SHA256Hasher()
        for _ in 0..<2 {
            for byte in "abc".utf8 { try withUnsafeBytes(of: byte) { try hasher.update($0) } }
            #expect(try hasher.finish().hex == expected)
        }
        #expect(SHA256.digest("abc".utf8).hex == expected)
    }

    @Test func aFullDiskIsToldApart() {
        for code in [ENOSPC, EDQUOT] { #expect(StagingError.system("write", "x", code) == .full) }
        #expect(StagingError.system("write", "x/y", EIO) == .failed("write x/y: Input/output error"))
    }
}
