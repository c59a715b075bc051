// RESP in both directions, and the address of a server.

internal import NIOCore

@testable internal import Redis

extension FuzzTarget {
    /// A length of pieces, whether limits are small, then a server's bytes.
    static let respReply = FuzzTarget(name: "resp-reply") { input in
        var input = input
        let length = input.byte()
        let isSmall = input.byte() % 2 == 1
        let bytes = input.rest()
        var limits = RESPLimits()
        if isSmall {
            limits.maximumBulkLength = 64
            limits.maximumArrayLength = 8
            limits.maximumNesting = 2
            limits.maximumLineLength = 32
            limits.maximumReplyLength = 256
        }
        let pieces = received(bytes, inPiecesOf: length, limits)
        for reply in pieces.replies { expectBounds(reply, limits, depth: 0) }
        let size = pieces.replies.reduce(0) { $0 + weight($1) }
        // A repaired byte becomes three.
        expect(size <= 3 * bytes.count, "replies hold no more than came")
        // Under small limits it depends on the pieces at which byte a reply is refused, not whether.
        guard !isSmall else { return }
        expect(pieces == received(bytes, inPiecesOf: 0, limits), "replies do not depend on how bytes come in")
        for reply in pieces.replies {
            var buffer = ByteBuffer()
            encode(reply, into: &buffer)
            let again = try? RESPDecoder.decode(buffer.readableBytesView)
            expect(again == [reply], "\(reply) is read from its own encoding")
        }
    }

    /// A command is read by the decoder as one array of exactly its arguments.
    static let redisCommand = FuzzTarget(name: "redis-command") { input in
        var input = input
        let command = input.text()
        var arguments: [RedisArgument] = []
        var expected = [Array(command.utf8)]
        while !input.isEmpty {
            switch input.byte() % 3 {
            case 0:
                let text = input.text()
                arguments.append(RedisArgument(text))
                expected.append(Array(text.utf8))
            case 1:
                let number: Int64 = input.integer()
                arguments.append(RedisArgument(number))
                expected.append(Array(String(number).utf8))
            default:
                let bytes = input.field()
                arguments.append(RedisArgument(bytes: bytes))
                expected.append(bytes)
            }
        }
        var buffer = ByteBuffer()
        buffer.writeRedisCommand(command, arguments)
        let replies = try? RESPDecoder.decode(buffer.readableBytesView)
        let found = replies?.first?.array?.map { $0.bytes.map { Array($0.readableBytesView) } }
        expect(replies?.count == 1 && found == expected, "a command has the arguments that were given")
    }

    /// A URL is read or refused, and nothing of it is repeated.
    static let redisURL = FuzzTarget(name: "redis-url") { input in
        var input = input
        let text = String(decoding: input.rest(), as: UTF8.self)
        do throws(RedisConfigurationError) {
            let url = try RedisURL(text)
            expect((1...65_535).contains(url.port), "the port is one")
            expect(url.database >= 0 && !url.host.isEmpty, "host and database are there")
            expect(!url.host.contains("@"), "nothing of a password is taken for a host")
        } catch {
            expect(text.utf8.count < 24 || !error.description.contains(text), "an error repeats no URL")
        }
    }

    private struct Received: Equatable {
        var replies: [RESPValue] = []
        var failed = false
    }

    private static func received(_ bytes: [UInt8], inPiecesOf length: UInt8, _ limits: RESPLimits) -> Received {
        var received = Received()
        guard var decoder = try? RESPDecoder(limits: limits) else { return received }
        do throws(RESPError) {
            for piece in bytes.pieces(of: length) {
                try decoder.decode(ByteBuffer(bytes: piece), into: &received.replies)
            }
        } catch {
            received.failed = true
            let count = received.replies.count
            let second = Result { () throws(RESPError) in
                try decoder.decode(ByteBuffer(string: "+OK\r\n"), into: &received.replies)
            }
            expect(
                second.failure == error && received.replies.count == count,
                "a decoder that has thrown throws the same again"
            )
        }
        return received
    }

    private static func expectBounds(_ reply: RESPValue, _ limits: RESPLimits, depth: Int) {
        switch reply {
        case .bulkString(let bytes): expect(bytes.readableBytes <= limits.maximumBulkLength, "strings have a bound")
        case .array(let elements):
            expect(elements.count <= limits.maximumArrayLength, "arrays have a bound")
            expect(depth < limits.maximumNesting, "nesting has a bound")
            for element in elements { expectBounds(element, limits, depth: depth + 1) }
        case .simpleString(let text):
            expect(text.unicodeScalars.count <= limits.maximumLineLength, "lines have a bound")
        case .error, .integer, .null: break
        }
    }

    private static func weight(_ reply: RESPValue) -> Int {
        switch reply {
        case .bulkString(let bytes): bytes.readableBytes
        case .array(let elements): elements.reduce(0) { $0 + weight($1) }
        case .simpleString(let text): text.utf8.count
        case .error(let error): error.message.utf8.count
        case .integer, .null: 0
        }
    }

    private static func encode(_ reply: RESPValue, into buffer: inout ByteBuffer) {
        switch reply {
        case .simpleString(let text): buffer.writeString("+\(text)\r\n")
        case .error(let error): buffer.writeString("-\(error.description)\r\n")
        case .integer(let number): buffer.writeString(":\(number)\r\n")
        case .null: buffer.writeString("$-1\r\n")
        case .bulkString(let bytes):
            buffer.writeString("$\(bytes.readableBytes)\r\n")
            buffer.writeImmutableBuffer(bytes)
            buffer.writeString("\r\n")
        case .array(let elements):
            buffer.writeString("*\(elements.count)\r\n")
            for element in elements { encode(element, into: &buffer) }
        }
    }
}

extension Result {
    fileprivate var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }
}
