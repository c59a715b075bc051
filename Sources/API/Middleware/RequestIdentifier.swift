// RequestIdentifier: the name under which a request is found in every log.

import HTTPTypes

/// Identifiers of requests.
enum RequestIdentifier {
    /// The client's own, if it is 1 to 128 letters, digits, `.`, `_`, `:` and `-`; else a new one.
    static func accept(_ fields: HTTPFields) -> String {
        let values = fields[values: .requestID]
        guard values.count == 1, let value = values.first, (1...128).contains(value.utf8.count),
            value.utf8.allSatisfy(isAccepted)
        else { return make() }
        return value
    }

    /// 128 random bits in hexadecimal digits.
    static func make() -> String {
        func half() -> String {
            let digits = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return half() + half()
    }

    private static func isAccepted(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "._:-".utf8.contains(byte)
        }
    }
}
