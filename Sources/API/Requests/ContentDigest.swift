// ContentDigest: the digest that a request declares for its body (RFC 9530 §2, a Dictionary of RFC 8941 §3.2).

import Core
import Foundation
import HTTPTypes

/// The `Content-Digest` field.
enum ContentDigest {
    /// The SHA-256 that the request declares; nil where it declares none. Other algorithms are ignored.
    static func sha256(in fields: HTTPFields) throws(Problem) -> SHA256Digest? {
        var found: SHA256Digest?
        for value in fields[values: .contentDigest] {
            for member in value.split(separator: ",", omittingEmptySubsequences: false) {
                guard let (name, bytes) = Self.member(trimmed(member)) else {
                    throw Problem(.invalidDigest, "Content-Digest must be like sha-256=:base64:")
                }
                guard name == "sha-256" else { continue }
                guard let digest = SHA256Digest(bytes: bytes) else {
                    throw Problem(.invalidDigest, "a SHA-256 has 32 bytes, not \(bytes.count)")
                }
                // The last of several members of one name counts (RFC 8941 §3.2).
                found = digest
            }
        }
        return found
    }

    /// `name=:base64:`, parameters after it ignored.
    private static func member(_ text: Substring) -> (name: Substring, bytes: Data)? {
        guard let equals = text.firstIndex(of: "=") else { return nil }
        let name = text[..<equals]
        let isName = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "_-.*".utf8.contains(byte)
        }
        guard !name.isEmpty, isName else { return nil }
        let rest = text[text.index(after: equals)...]
        guard rest.first == ":" else { return nil }
        let encoded = rest.dropFirst()
        guard let end = encoded.firstIndex(of: ":") else { return nil }
        let parameters = encoded[encoded.index(after: end)...]
        guard parameters.isEmpty || parameters.first == ";" else { return nil }
        guard let bytes = Data(base64Encoded: String(encoded[..<end])) else { return nil }
        return (name, bytes)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
