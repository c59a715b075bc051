// The bytes of test files, and digests of bytes.

internal import COpenSSL
import Foundation

/// Bytes that look random and are decided by a number.
enum Content {
    static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        return [UInt8](unsafeUninitializedCapacity: count) { room, used in
            for index in 0..<count {
                if index % 8 == 0 {
                    // xorshift64
                    state ^= state << 13
                    state ^= state >> 7
                    state ^= state << 17
                }
                room[index] = UInt8(truncatingIfNeeded: state >> UInt64(index % 8 * 8))
            }
            used = count
        }
    }
}

/// Digests, by OpenSSL.
enum Digest {
    static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] { digest(Array(bytes), EVP_sha256()) }

    static func sha256Hex(_ bytes: some Collection<UInt8>) -> String { hex(sha256(bytes)) }

    static func sha1Hex(_ bytes: some Collection<UInt8>) -> String { hex(digest(Array(bytes), EVP_sha1())) }

    static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    private static func digest(_ bytes: [UInt8], _ kind: OpaquePointer?) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 64)
        var size: UInt32 = 0
        guard EVP_Digest(bytes, bytes.count, &result, &size, kind, nil) == 1 else { return [] }
        return Array(result.prefix(Int(size)))
    }
}
