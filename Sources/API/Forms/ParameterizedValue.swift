// ParameterizedValue: a header value with parameters, as Content-Type and Content-Disposition have them.

/// `value; name=token; name="quoted text"` (RFC 9110 §5.6.6).
struct ParameterizedValue: Hashable, Sendable {
    /// What comes before the first parameter, in lower case.
    let value: String
    /// Parameters by name in lower case; as bytes, for a file's name may have any.
    let parameters: [String: [UInt8]]

    /// Reads a value; nil where it is malformed, or a parameter comes twice.
    init?(_ bytes: some Collection<UInt8>) {
        var rest = ArraySlice(bytes)
        let value = Self.trimmed(rest.prefix { $0 != UInt8(ascii: ";") })
        rest = rest.drop { $0 != UInt8(ascii: ";") }
        guard !value.isEmpty, value.allSatisfy({ Self.isToken($0) || $0 == UInt8(ascii: "/") }) else { return nil }
        self.value = String(decoding: value, as: UTF8.self).lowercased()
        var parameters: [String: [UInt8]] = [:]
        while rest.popFirst() != nil {
            rest = rest.drop(while: Self.isBlank)
            // A semicolon at the end, as some clients write it.
            if rest.isEmpty { break }
            let name = rest.prefix(while: Self.isToken)
            rest = rest.dropFirst(name.count)
            guard !name.isEmpty, rest.popFirst() == UInt8(ascii: "="), let text = Self.text(&rest) else { return nil }
            rest = rest.drop(while: Self.isBlank)
            guard rest.isEmpty || rest.first == UInt8(ascii: ";") else { return nil }
            let key = String(decoding: name, as: UTF8.self).lowercased()
            guard parameters.updateValue(text, forKey: key) == nil else { return nil }
        }
        self.parameters = parameters
    }

    /// A token, or a quoted string with its escapes undone.
    private static func text(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        guard rest.first == UInt8(ascii: "\"") else {
            let token = rest.prefix(while: isToken)
            rest = rest.dropFirst(token.count)
            return token.isEmpty ? nil : Array(token)
        }
        rest = rest.dropFirst()
        var text: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return text
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { return nil }
                text.append(escaped)
            default: text.append(byte)
            }
        }
        return nil
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text.drop(while: isBlank)
        while let last = text.last, isBlank(last) { text.removeLast() }
        return text
    }

    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// A character of a token (RFC 9110 §5.6.2).
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

extension ParameterizedValue {
    /// The boundary of a multipart body: 1 to 70 characters, the last no space (RFC 2046 §5.1.1); nil where there is none.
    var boundary: [UInt8]? {
        guard let boundary = parameters["boundary"], (1...70).contains(boundary.count), boundary.last != 0x20,
            boundary.allSatisfy(Self.isBoundaryCharacter)
        else { return nil }
        return boundary
    }

    private static func isBoundaryCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "'()+_,-./:=? ".utf8.contains(byte)
        }
    }
}
