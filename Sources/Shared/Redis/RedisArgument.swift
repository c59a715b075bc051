// One argument of a Redis command: bytes, made from text, a number or bytes.

public import NIOCore

/// An argument of a command. It is sent as a length and bytes, so nothing in it needs quoting.
public struct RedisArgument: Sendable {
    enum Content: Sendable {
        case text(String)
        case integer(Int64)
        case bytes(ByteBuffer)
    }

    let content: Content

    /// The UTF-8 bytes of a text.
    public init(_ text: String) {
        content = .text(text)
    }

    /// The decimal digits of a number.
    public init(_ number: some BinaryInteger) {
        if let small = Int64(exactly: number) {
            content = .integer(small)
        } else {
            content = .text(number.description)
        }
    }

    /// A number as Redis reads scores: the shortest decimal that gives the same `Double` back, `inf`, `-inf`.
    public init(_ number: Double) {
        content = .text(number.description)
    }

    /// Bytes of any kind.
    public init(bytes: some Sequence<UInt8>) {
        content = .bytes(ByteBuffer(bytes: bytes))
    }

    /// Bytes of any kind; they are not copied until they are sent.
    public init(bytes: ByteBuffer) {
        content = .bytes(bytes)
    }

    /// About how many bytes the argument takes on the wire, its header included.
    var estimatedLength: Int {
        switch content {
        case .text(let text): text.utf8.count + 16
        case .integer: 32
        case .bytes(let buffer): buffer.readableBytes + 16
        }
    }
}

extension RedisArgument: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral {
    /// The UTF-8 bytes of a literal.
    public init(stringLiteral value: String) {
        self.init(value)
    }

    /// The decimal digits of a literal.
    public init(integerLiteral value: Int64) {
        self.init(value)
    }
}

extension RedisArgument: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The name of the type only: an argument may be a password, and what is printed by accident must not show it.
    public var description: String { "RedisArgument" }
    /// The same as `description`.
    public var debugDescription: String { description }
    /// Empty, for the same reason.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
