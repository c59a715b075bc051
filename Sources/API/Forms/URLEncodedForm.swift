// URLEncodedForm: reads application/x-www-form-urlencoded (WHATWG URL Standard §5.1), in bodies and in queries.

/// A form of `name=value` pairs joined by `&`.
enum URLEncodedForm {
    /// The fields of a form. Unlike in browsers, a malformed escape is refused: what is mended is not what was meant.
    static func parse(_ bytes: some Collection<UInt8>) throws(FormError) -> FormFields {
        var fields = FormFields()
        for pair in bytes.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
            let equals = pair.firstIndex(of: UInt8(ascii: "="))
            let name = try decode(pair[..<(equals ?? pair.endIndex)])
            let value = try equals.map { equals throws(FormError) in
                try decode(pair[pair.index(after: equals)...])
            }
            try fields.add(name, value ?? [])
        }
        return fields
    }

    /// Plus signs are spaces, and `%` begins an escape of two hexadecimal digits.
    private static func decode(_ text: some Collection<UInt8>) throws(FormError) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.count)
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "+"): decoded.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(PercentDecoding.digit),
                    let low = iterator.next().flatMap(PercentDecoding.digit)
                else {
                    throw .malformed("the form has a malformed percent-escape")
                }
                decoded.append(high << 4 | low)
            default: decoded.append(byte)
            }
        }
        return decoded
    }
}
