// SHA-256 by OpenSSL, which uses the processor's own instructions for it.

internal import COpenSSL
public import Core

/// The SHA-256 of bytes that come in pieces. One value belongs to one thread at a time.
public final class SHA256Hasher {
    /// OpenSSL refused: no memory, or a policy that forbids the algorithm.
    public struct Unavailable: Error, Hashable, Sendable, CustomStringConvertible {
        /// What was refused.
        public let description: String
    }

    private let context: OpaquePointer

    /// By default OpenSSL takes its own state down in `exit()`, under the feet of threads that still run then. Whoever
    /// uses it first decides.
    private static let isStarted = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1

    /// Begins with no bytes.
    public init() throws(Unavailable) {
        guard Self.isStarted, let context = EVP_MD_CTX_new() else {
            throw Unavailable(description: "no memory for a digest")
        }
        guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            EVP_MD_CTX_free(context)
            throw Unavailable(description: "SHA-256 is not available")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Takes the next bytes.
    public func update(_ bytes: UnsafeRawBufferPointer) throws(Unavailable) {
        guard !bytes.isEmpty else { return }
        guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
            throw Unavailable(description: "SHA-256 failed")
        }
    }

    /// The digest of everything taken; the hasher begins anew with no bytes.
    public func finish() throws(Unavailable) -> SHA256Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        guard EVP_DigestFinal_ex(context, &bytes, &count) == 1, count == 32,
            EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, let digest = SHA256Digest(bytes: bytes)
        else { throw Unavailable(description: "SHA-256 failed") }
        return digest
    }

    /// The digest of one piece.
    public static func digest(of chunk: some ByteChunk) throws(Unavailable) -> SHA256Digest {
        let hasher = try SHA256Hasher()
        try chunk.withUnsafeBytes { bytes throws(Unavailable) in try hasher.update(bytes) }
        return try hasher.finish()
    }
}
