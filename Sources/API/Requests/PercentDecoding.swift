// PercentDecoding: parts of a request's path turned into text exactly once (RFC 3986 §2.1).

/// Percent-decoding that keeps nothing it does not understand.
enum PercentDecoding {
    /// The decoded text; a problem where an escape is malformed or the bytes are not UTF-8.
    ///
    /// An encoded slash becomes a slash, and is then judged like one: whoever checks the result sees what will be used.
    static func decode(_ text: Substring, field: String) throws(Problem) -> String {
        // What was not UTF-8 on the wire has become U+FFFD by now, and would name another file.
        guard !text.unicodeScalars.contains("\u{FFFD}") else { throw .invalid(field, "is not valid UTF-8") }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                throw .invalid(field, "has a malformed percent-escape")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw .invalid(field, "is not valid UTF-8")
        }
        return decoded
    }

    /// The value of a hexadecimal digit of either case.
    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
