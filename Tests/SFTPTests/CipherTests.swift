// The cipher that libssh2 gets from us against OpenSSL's own.

import COpenSSL
import Harness
import Testing

@testable import SFTP

@Suite struct CipherTests {
    private func encrypt(
        _ name: String,
        _ properties: String?,
        key: [UInt8],
        _ text: [UInt8],
        pieces: (inout SeededGenerator) -> Int
    ) throws -> [UInt8] {
        #expect(LibSSH2Library.status == 0)
        let cipher = try #require(EVP_CIPHER_fetch(nil, name, properties))
        defer { EVP_CIPHER_free(cipher) }
        let context = try #require(EVP_CIPHER_CTX_new())
        defer { EVP_CIPHER_CTX_free(context) }
        let vector = (0..<16).map { UInt8(0xf0 + $0) }
        try #require(EVP_CipherInit_ex2(context, cipher, key, vector, 1, nil) == 1)
        var random = SeededGenerator(seed: 31)
        var out: [UInt8] = []
        var rest = text[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(pieces(&random)))
            var room = [UInt8](repeating: 0, count: piece.count + 16)
            var length: CInt = 0
            try #require(EVP_CipherUpdate(context, &room, &length, piece, CInt(piece.count)) == 1)
            out += room.prefix(Int(length))
            rest = rest.dropFirst(piece.count)
        }
        return out
    }

    /// NIST SP 800-38A F.5.1.
    @Test func theStandardsExample() throws {
        let key: [UInt8] = [
            0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c,
        ]
        let text: [UInt8] = [
            0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
        ]
        #expect(
            try encrypt("AES-128-CTR", nil, key: key, text) { _ in 16 } == [
                0x87, 0x4d, 0x61, 0x91, 0xb6, 0x20, 0xe3, 0x26, 0x1b, 0xef, 0x68, 0x64, 0x99, 0x0d, 0xb6, 0xce,
            ]
        )
    }

    @Test(arguments: [("AES-128-CTR", 16), ("AES-192-CTR", 24), ("AES-256-CTR", 32)])
    func anyPiecesGiveWhatOpenSSLGives(_ name: String, _ keyLength: Int) throws {
        var random = SeededGenerator(seed: 32)
        let key = random.bytes(keyLength)
        let text = random.bytes(100_003)
        let expected = try encrypt(name, "provider=default", key: key, text) { _ in 100_003 }
        #expect(try encrypt(name, nil, key: key, text) { _ in 16 } == expected)
        #expect(try encrypt(name, nil, key: key, text) { _ in 100_003 } == expected)
        #expect(try encrypt(name, nil, key: key, text) { Int.random(in: 1...9000, using: &$0) } == expected)
    }

    @Test func oursIsTheOneThatIsUsed() throws {
        #expect(LibSSH2Library.status == 0)
        let cipher = try #require(EVP_CIPHER_fetch(nil, "AES-128-CTR", nil))
        defer { EVP_CIPHER_free(cipher) }
        let provider = try #require(EVP_CIPHER_get0_provider(cipher))
        #expect(OSSL_PROVIDER_get0_name(provider).map { String(cString: $0) } == "ferry")
        // Everything else still comes from OpenSSL, and its random generator works on top of ours.
        #expect(sha256([]).first == 0xe3)
        var bytes = [UInt8](repeating: 0, count: 1000)
        #expect(RAND_bytes(&bytes, 1000) == 1)
        #expect(Set(bytes).count > 100)
    }
}
