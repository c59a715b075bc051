// The decoder: golden bytes, cut anywhere, wrong bytes, limits, and random replies there and back.

import Harness
import NIOCore
import Testing

@testable import Redis

@Suite struct RESPDecoderTests {
    static let golden: [(String, RESPValue)] = [
        ("+OK\r\n", .simpleString("OK")),
        ("+\r\n", .simpleString("")),
        ("-ERR unknown command\r\n", .error(RedisServerError(code: "ERR", message: "unknown command"))),
        (
            "-NOSCRIPT No matching script.\r\n",
            .error(RedisServerError(code: "NOSCRIPT", message: "No matching script."))
        ),
        ("-something odd\r\n", .error(RedisServerError(code: "ERR", message: "something odd"))),
        ("-OOM\r\n", .error(RedisServerError(code: "OOM", message: ""))),
        (":0\r\n", .integer(0)),
        (":-1\r\n", .integer(-1)),
        (":9223372036854775807\r\n", .integer(.max)),
        (":-9223372036854775808\r\n", .integer(.min)),
        ("$0\r\n\r\n", .bulkString(ByteBuffer())),
        ("$5\r\nhello\r\n", .bulkString(ByteBuffer(string: "hello"))),
        ("$6\r\n\r\n$1\r\n\r\n", .bulkString(ByteBuffer(string: "\r\n$1\r\n"))),
        ("$12\r\n0123456789ab\r\n", .bulkString(ByteBuffer(string: "0123456789ab"))),
        ("$-1\r\n", .null),
        ("*-1\r\n", .null),
        ("*0\r\n", .array([])),
        ("*2\r\n:1\r\n$1\r\na\r\n", .array([.integer(1), .bulkString(ByteBuffer(string: "a"))])),
        (
            "*3\r\n*0\r\n*2\r\n$-1\r\n+x\r\n:7\r\n",
            .array([.array([]), .array([.null, .simpleString("x")]), .integer(7)])
        ),
        ("*1\r\n-ERR in an array\r\n", .array([.error(RedisServerError(code: "ERR", message: "in an array"))])),
        (
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            .array([.array([.array([.array([.array([.array([.array([.integer(1)])])])])])])])
        ),
    ]

    @Test(arguments: golden) func decodes(bytes: String, expected: RESPValue) throws {
        #expect(try RESPDecoder.decode(bytes.utf8) == [expected])
    }

    @Test func decodesAStreamCutAtEveryByte() throws {
        let stream = Array(Self.golden.map(\.0).joined().utf8)
        let expected = Self.golden.map(\.1)
        for cut in 0...stream.count {
            var decoder = try RESPDecoder()
            var replies: [RESPValue] = []
            try decoder.decode(ByteBuffer(bytes: stream[..<cut]), into: &replies)
            try decoder.decode(ByteBuffer(bytes: stream[cut...]), into: &replies)
            #expect(replies == expected, "cut at byte \(cut)")
        }
    }

    @Test func decodesAStreamByteByByte() throws {
        var decoder = try RESPDecoder()
        var replies: [RESPValue] = []
        for byte in Self.golden.map(\.0).joined().utf8 { try decoder.decode(ByteBuffer(bytes: [byte]), into: &replies) }
        #expect(replies == Self.golden.map(\.1))
    }

    @Test func givesAReplyAsSoonAsItIsWhole() throws {
        var decoder = try RESPDecoder()
        var replies: [RESPValue] = []
        try decoder.decode(ByteBuffer(string: "$3\r\nabc\r"), into: &replies)
        #expect(replies == [])
        try decoder.decode(ByteBuffer(string: "\n:1\r"), into: &replies)
        #expect(replies == [.bulkString(ByteBuffer(string: "abc"))])
    }

    @Test(arguments: [
        "x\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n", "\0\0\0\0",
        ":\r\n", ":1a\r\n", ":9223372036854775808\r\n", ": 1\r\n", ":+1\r\n", ":01\r\n",
        "$x\r\n", "$-2\r\n\r\n", "$1x\r\nabc\r\n", "$99999999999999999999\r\n", "$9223372036854775807\r\n",
        "$536870913\r\n", "$3\r\nabcde\r\n", "$2\r\nab\n\r", "$+1\r\na\r\n", "$--1\r\n",
        "*x\r\n", "*-2\r\n", "*1048577\r\n", "*2147483648\r\n", "*1\r\n!\r\n", "*2\r\n:1\r\n$3\r\nabcd\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n",
        "$5\r\nhel", "*2\r\n:1\r\n", "+OK", "$",
    ]) func refuses(bytes: String) {
        #expect(throws: RESPError.self) { try RESPDecoder.decode(bytes.utf8) }
    }

    @Test func keepsTheRepliesBeforeAWrongByteAndStaysFinished() throws {
        var decoder = try RESPDecoder()
        var replies: [RESPValue] = []
        let error = #expect(throws: RESPError.self) {
            try decoder.decode(ByteBuffer(string: ":1\r\n:2\r\n?\r\n:3\r\n"), into: &replies)
        }
        #expect(replies == [.integer(1), .integer(2)])
        let again = #expect(throws: RESPError.self) {
            try decoder.decode(ByteBuffer(string: ":4\r\n"), into: &replies)
        }
        #expect(again == error)
        #expect(replies == [.integer(1), .integer(2)])
    }

    /// The refusal comes with the length, before any of what it announces.
    @Test(arguments: [
        ("$11", "a bulk string of more than 10 bytes"),
        ("*4\r\n", "an array of more than 3 elements"),
        ("*1\r\n*1\r\n*1\r\n", "arrays nested deeper than 2"),
        ("+12345678901234567890123456", "a line of more than 24 bytes"),
        ("*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$10\r\n0123456789", "a reply of more than 48 bytes"),
    ]) func keepsLimits(bytes: String, reason: String) throws {
        var limits = RESPLimits()
        limits.maximumBulkLength = 10
        limits.maximumArrayLength = 3
        limits.maximumNesting = 2
        limits.maximumLineLength = 24
        limits.maximumReplyLength = 48
        var decoder = try RESPDecoder(limits: limits)
        var replies: [RESPValue] = []
        #expect(throws: RESPError(reason: reason)) { try decoder.decode(ByteBuffer(string: bytes), into: &replies) }
        let allowed = "*2\r\n*3\r\n:1\r\n:2\r\n:3\r\n$10\r\n0123456789\r\n+12345678901234567890\r\n"
        #expect(try RESPDecoder.decode(allowed.utf8, limits: limits).count == 2)
    }

    @Test(arguments: 0..<40 as Range<UInt64>) func randomRepliesComeBackWhateverTheCuts(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let values = (0..<60).map { _ in RESPValue.random(depth: 0, &random) }
        var stream = ByteBuffer()
        for value in values { stream.write(value) }
        var decoder = try RESPDecoder()
        var replies: [RESPValue] = []
        while stream.readableBytes > 0 {
            let length = min(
                stream.readableBytes,
                Int.random(in: 1...(seed.isMultiple(of: 2) ? 9 : 4000), using: &random)
            )
            guard let piece = stream.readSlice(length: length) else { break }
            try decoder.decode(piece, into: &replies)
        }
        #expect(replies == values, "seed \(seed)")
    }

    /// Bytes that are nearly right: whatever happens, nothing traps and the decoder either goes on or refuses.
    @Test(arguments: 0..<40 as Range<UInt64>) func damagedStreamsDoNoHarm(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed ^ 0xDA3A6E)
        var stream = ByteBuffer()
        for _ in 0..<20 { stream.write(.random(depth: 0, &random)) }
        var bytes = Array(stream.readableBytesView)
        for _ in 0..<4 {
            let alphabet = Array("0123456789-+:$*\r\n\0\u{7F}".utf8)
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = alphabet.randomElement(using: &random) ?? 0
        }
        var decoder = try RESPDecoder()
        var replies: [RESPValue] = []
        do {
            try decoder.decode(ByteBuffer(bytes: bytes), into: &replies)
        } catch {
            #expect(!error.reason.isEmpty)
        }
        #expect(replies.count <= bytes.count / 3)
    }
}

extension RESPValue {
    static func random(depth: Int, _ random: inout SeededGenerator) -> RESPValue {
        switch Int.random(in: 0..<(depth < 6 ? 8 : 6), using: &random) {
        case 0: return .null
        case 1: return .integer(Int64(truncatingIfNeeded: random.next()) >> Int64.random(in: 0..<64, using: &random))
        case 2: return .simpleString(line(&random))
        case 3:
            return .error(
                RedisServerError(code: "E\(UInt8.random(in: 0...99, using: &random))", message: line(&random))
            )
        case 4:
            let length = Int.random(in: 0..<16, using: &random)
            return .bulkString(ByteBuffer(bytes: (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }))
        case 5:
            let byte = UInt8.random(in: 0...255, using: &random)
            return .bulkString(ByteBuffer(repeating: byte, count: Int.random(in: 0..<3000, using: &random)))
        default:
            let count = Int.random(in: 0..<6, using: &random)
            return .array((0..<count).map { _ in self.random(depth: depth + 1, &random) })
        }
    }

    private static func line(_ random: inout SeededGenerator) -> String {
        let alphabet = Array("abc XYZ09-_äß✓")
        return String(
            (0..<Int.random(in: 0..<30, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" }
        )
    }
}

extension ByteBuffer {
    /// What a server writes for a value; only tests need it.
    mutating func write(_ value: RESPValue) {
        switch value {
        case .simpleString(let text): writeString("+\(text)\r\n")
        case .error(let error): writeString("-\(error.code) \(error.message)\r\n")
        case .integer(let number): writeString(":\(number)\r\n")
        case .null: writeString("$-1\r\n")
        case .bulkString(let bytes):
            writeString("$\(bytes.readableBytes)\r\n")
            writeImmutableBuffer(bytes)
            writeString("\r\n")
        case .array(let elements):
            writeString("*\(elements.count)\r\n")
            for element in elements { write(element) }
        }
    }
}
