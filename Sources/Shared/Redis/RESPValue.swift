// One reply of a Redis server, as a value.

public import NIOCore

/// A reply in RESP2, Redis' serialization protocol, version 2 ("RESP protocol description", redis.io).
public enum RESPValue: Sendable, Equatable {
    /// `+OK`: a short status line.
    case simpleString(String)
    /// `-ERR …`: the server refused the command or failed in it.
    case error(RedisServerError)
    /// `:42`: a signed 64-bit number.
    case integer(Int64)
    /// `$5`: bytes of any kind.
    case bulkString(ByteBuffer)
    /// `*2`: a list of replies.
    case array([RESPValue])
    /// `$-1` or `*-1`: nothing is there.
    case null
}

extension RESPValue {
    /// The text of a simple or bulk string; `nil` for every other kind, and for bytes that are not UTF-8 (nothing is
    /// repaired, so that what is read is what was stored).
    public var string: String? {
        switch self {
        case .simpleString(let text): text
        case .bulkString(let buffer): String(validating: buffer.readableBytesView, as: UTF8.self)
        case .error, .integer, .array, .null: nil
        }
    }

    /// The number of an integer reply; `nil` for every other kind, digits in a string included.
    public var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    /// The elements of an array reply; `nil` for every other kind.
    public var array: [RESPValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The bytes of a bulk string; `nil` for every other kind.
    public var bytes: ByteBuffer? {
        if case .bulkString(let buffer) = self { buffer } else { nil }
    }

    /// Whether this is the null reply.
    public var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The name of the kind of reply, for messages; never its content.
    var kind: String {
        switch self {
        case .simpleString: "a status"
        case .error: "an error"
        case .integer: "an integer"
        case .bulkString: "a string"
        case .array: "an array"
        case .null: "null"
        }
    }
}
