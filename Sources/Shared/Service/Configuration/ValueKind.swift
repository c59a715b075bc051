// ValueKind: what a single value of the configuration may be, and how its text becomes that.

/// A scalar as it was written, before it is anything in particular.
struct ScalarText {
    /// What YAML's rules for unquoted words take a scalar for.
    enum Kind: Sendable {
        case text, integer, number, boolean
        /// From the environment: untyped, so it may be anything.
        case untyped
    }

    var text: String
    var kind: Kind

    /// The scalar for a message: "the integer 5".
    var description: String {
        switch kind {
        case .text, .untyped: "the text \(quoted(text))"
        case .integer: "the integer \(text.prefix(40))"
        case .number: "the number \(text.prefix(40))"
        case .boolean: "the boolean \(text)"
        }
    }
}

/// How to read one value: the words for what it must be, and the reading.
struct ValueKind<Value> {
    /// What is expected: "true or false".
    let expectation: String
    /// The value might hold a secret, and is not repeated in messages.
    var isSecret = false
    /// The value, or `nil` where the scalar is not of this kind.
    let read: (ScalarText) -> Value?
}

extension ValueKind where Value == Bool {
    static var boolean: Self {
        Self(expectation: "true or false") { scalar in
            guard scalar.kind == .boolean || scalar.kind == .untyped else { return nil }
            return switch scalar.text {
            case "true": true
            case "false": false
            default: nil
            }
        }
    }
}

extension ValueKind where Value == Int {
    static func integer(_ range: ClosedRange<Int>) -> Self {
        Self(expectation: "an integer from \(range.lowerBound) to \(range.upperBound)") { scalar in
            guard scalar.kind == .integer || scalar.kind == .untyped else { return nil }
            guard scalar.text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
                return nil
            }
            return Int(scalar.text).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension ValueKind where Value == UInt32 {
    /// Permission bits as `chmod` takes them, quoted or not: three octal digits, before which there may be a zero.
    static var permissions: Self {
        Self(expectation: "permission bits in octal such as \"0640\", the owner's read bit among them") { scalar in
            guard scalar.kind != .boolean else { return nil }
            let text = scalar.text
            let digits = text.utf8.count == 4 && text.hasPrefix("0") ? text.dropFirst() : text[...]
            guard digits.utf8.count == 3, digits.utf8.allSatisfy({ (48...55).contains($0) }) else { return nil }
            return UInt32(digits, radix: 8).flatMap { $0 & 0o400 == 0 ? nil : $0 }
        }
    }
}

extension ValueKind where Value == Int64 {
    static func size(_ range: ClosedRange<Int64>) -> Self {
        let bounds =
            range.upperBound == .max
            ? "at least \(ByteSize.format(range.lowerBound))"
            : "from \(ByteSize.format(range.lowerBound)) to \(ByteSize.format(range.upperBound))"
        return Self(expectation: ByteSize.expectation + ", " + bounds) { scalar in
            guard scalar.kind != .boolean else { return nil }
            return ByteSize.parse(scalar.text).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension ValueKind where Value == Duration {
    static func duration(_ range: ClosedRange<Duration>) -> Self {
        let bounds = "from \(TimeSpan.format(range.lowerBound)) to \(TimeSpan.format(range.upperBound))"
        return Self(expectation: TimeSpan.expectation + ", " + bounds) { scalar in
            TimeSpan.parse(scalar.text).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension ValueKind where Value == String {
    /// A text of at most 4,096 bytes without control characters that `accepts` takes.
    static func text(_ expectation: String, where accepts: @escaping (String) -> Bool) -> Self {
        Self(expectation: expectation) { scalar in
            guard scalar.kind == .text || scalar.kind == .untyped, !scalar.text.isEmpty,
                scalar.text.utf8.count <= 4_096,
                !scalar.text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }),
                accepts(scalar.text)
            else { return nil }
            return scalar.text
        }
    }

    static var absolutePath: Self {
        text("an absolute path without '.' and '..' components") { path in
            path.hasPrefix("/") && !path.split(separator: "/").contains { $0 == "." || $0 == ".." }
        }
    }

    /// A host name or an IP address. Never with a leading '-', which a program it is handed to would take for an option.
    static var host: Self {
        text("a host name or an IP address") { host in
            host.utf8.count <= 253 && !host.hasPrefix("-")
                && host.utf8.allSatisfy { byte in
                    isAlphanumeric(byte) || ".-_:%".utf8.contains(byte)
                }
        }
    }

    static var user: Self {
        text("a user name without spaces that does not begin with '-'") { user in
            !user.hasPrefix("-") && user.unicodeScalars.allSatisfy { !$0.properties.isWhitespace }
        }
    }
}

extension ValueKind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    static var choice: Self {
        let names = Value.allCases.map(\.rawValue)
        return Self(expectation: "one of \(names.joined(separator: ", "))") { scalar in
            scalar.kind == .text || scalar.kind == .untyped ? Value(rawValue: scalar.text) : nil
        }
    }
}

/// An ASCII letter or digit.
func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: false
    }
}
