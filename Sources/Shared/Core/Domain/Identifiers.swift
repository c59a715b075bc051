// The identifiers of the domain: small validated values, so that a raw string never travels as one.

/// The identifier of an upload: 128 random bits as 32 lowercase hexadecimal digits, never derived from anything.
public struct UploadID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The 32 hexadecimal digits.
    public let description: String

    /// Accepts exactly 32 lowercase hexadecimal digits; anything else is not an upload's identifier.
    ///
    /// The check comes before any use as a path or a key, so that an identifier from outside cannot name either.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 32, text.utf8.allSatisfy(Hexadecimal.isLowercaseDigit) else { return nil }
        description = String(text)
    }

    /// Makes an identifier from 128 random bits.
    public init(high: UInt64, low: UInt64) {
        description = Hexadecimal.text(high) + Hexadecimal.text(low)
    }

    /// Orders by the digits, for stable listings only.
    public static func < (left: UploadID, right: UploadID) -> Bool { left.description < right.description }
}

/// The name of a configured target: `[a-z0-9][a-z0-9._-]*`, at most 63 bytes.
public struct TargetID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The name itself.
    public let description: String

    /// Accepts a well-formed name; whether such a target is configured is another question.
    public init?(_ text: some StringProtocol) {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        guard let first = text.utf8.first, isAlphanumeric(first), text.utf8.count <= 63 else { return nil }
        guard text.utf8.allSatisfy({ isAlphanumeric($0) || "._-".utf8.contains($0) }) else { return nil }
        description = String(text)
    }

    /// Orders by name.
    public static func < (left: TargetID, right: TargetID) -> Bool { left.description < right.description }
}

/// An authenticated principal that uploads belong to: 1 to 128 bytes of visible ASCII.
public struct Owner: Hashable, Sendable, CustomStringConvertible {
    /// The principal's name.
    public let description: String

    /// Accepts 1 to 128 bytes of visible ASCII (0x21 to 0x7E).
    public init?(_ text: some StringProtocol) {
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return nil
        }
        description = String(text)
    }
}

/// The number of an attempt to build an upload on its target. A newer one starts from an empty part file and fences
/// the older one off. Numbers never repeat: each is at least the index's clock in microseconds.
public struct Generation: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The number; 0 is never a generation.
    public let number: UInt64

    /// Wraps a number taken from the index.
    public init(_ number: UInt64) { self.number = number }

    /// Decimal digits, as in the part file's name.
    public var description: String { String(number) }

    /// A later attempt is greater.
    public static func < (left: Generation, right: Generation) -> Bool { left.number < right.number }
}

/// The fencing number of a claimed merge: whoever holds an older one can change nothing.
public struct Fence: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The number; grows with every claim.
    public let number: UInt64

    /// Wraps a number taken from the index.
    public init(_ number: UInt64) { self.number = number }

    /// Decimal digits.
    public var description: String { String(number) }

    /// A later claim is greater.
    public static func < (left: Fence, right: Fence) -> Bool { left.number < right.number }
}

enum Hexadecimal {
    static func isLowercaseDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    /// 16 lowercase digits.
    static func text(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
