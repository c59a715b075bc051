// Commands on the wire, and the digest that scripts are named by.

import Harness
import NIOCore
import Testing

@testable import Redis

@Suite struct RESPEncoderTests {
    private func encoded(_ command: String, _ arguments: [RedisArgument]) -> String {
        var buffer = ByteBuffer()
        buffer.writeRedisCommand(command, arguments)
        return String(buffer: buffer)
    }

    @Test func writesLengthsOfBytesNotOfCharacters() {
        #expect(encoded("PING", []) == "*1\r\n$4\r\nPING\r\n")
        #expect(encoded("SET", ["ä", "x\r\ny"]) == "*3\r\n$3\r\nSET\r\n$2\r\nä\r\n$4\r\nx\r\ny\r\n")
        #expect(
            encoded("X", [-12, RedisArgument(UInt64.max)])
                == "*3\r\n$1\r\nX\r\n$3\r\n-12\r\n$20\r\n18446744073709551615\r\n"
        )
        #expect(encoded("X", [RedisArgument(bytes: [0x61, 0x62]), ""]) == "*3\r\n$1\r\nX\r\n$2\r\nab\r\n$0\r\n\r\n")
        #expect(
            encoded("X", [RedisArgument(1.5), RedisArgument(-Double.infinity)])
                == "*3\r\n$1\r\nX\r\n$3\r\n1.5\r\n$4\r\n-inf\r\n"
        )
    }

    @Test(arguments: [0, 1, 9, 10, 11, 99, 100, 101, 12_345]) func writesLengthsOfEverySize(length: Int) throws {
        var buffer = ByteBuffer()
        let arguments = (0..<length).map { RedisArgument($0) }
        buffer.writeRedisCommand(String(repeating: "c", count: length), arguments)
        let expected = [String(repeating: "c", count: length)] + (0..<length).map(String.init)
        let values = try RESPDecoder.decode(buffer.readableBytesView)
        #expect(values == [.array(expected.map { .bulkString(ByteBuffer(string: $0)) })])
    }

    @Test(arguments: 0..<30 as Range<UInt64>) func randomCommandsDecodeToTheirArguments(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var buffer = ByteBuffer()
        var expected: [RESPValue] = []
        for _ in 0..<20 {
            let arguments = (0..<Int.random(in: 0..<12, using: &random)).map { _ in
                (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            buffer.writeRedisCommand("COMMAND", arguments.map { RedisArgument(bytes: $0) })
            let parts = [ByteBuffer(string: "COMMAND")] + arguments.map { ByteBuffer(bytes: $0) }
            expected.append(.array(parts.map { .bulkString($0) }))
        }
        #expect(try RESPDecoder.decode(buffer.readableBytesView) == expected, "seed \(seed)")
    }

    @Test func anArgumentDoesNotPrintItself() {
        let argument = RedisArgument("secret")
        var dumped = ""
        dump(argument, to: &dumped)
        #expect(!"\(argument) \(String(reflecting: argument)) \([argument]) \(dumped)".contains("secret"))
    }

    /// FIPS 180-4's examples; a test with a server compares the lengths around the borders of a block.
    @Test func digestsAreSHA1() {
        #expect(sha1Hex("".utf8) == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
        #expect(sha1Hex("abc".utf8) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        #expect(sha1Hex(twoBlocks.utf8) == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
    }
}
