// ContentHash: the client's hash of a file, by which an interrupted upload is found again.

import Core

/// `hash_code`: what the client says that the content is.
enum ContentHash: Hashable, Sendable {
    /// `sha-256:` and 64 hexadecimal digits: declared as the file's digest, and proven before the file appears.
    case sha256(SHA256Digest)
    /// Any other hash; only ever compared.
    case opaque(String)

    private static let prefix = "sha-256:"
    /// Keeps it apart from fingerprints of the native interface.
    private static let mark = "hash_code:"

    /// Reads a field. Hexadecimal digits mean the same in either case, so that they are compared in lower case.
    init(_ text: String) throws(Problem) {
        guard (1...256).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .invalid("hash_code", "must be 1 to 256 visible ASCII characters")
        }
        if text.lowercased().hasPrefix(Self.prefix) {
            guard let digest = SHA256Digest(hex: text.dropFirst(Self.prefix.count)) else {
                throw .invalid("hash_code", "must have 64 hexadecimal digits after sha-256:")
            }
            self = .sha256(digest)
        } else {
            self = .opaque(text.utf8.allSatisfy({ PercentDecoding.digit($0) != nil }) ? text.lowercased() : text)
        }
    }

    /// The digest to declare.
    var digest: SHA256Digest? { if case .sha256(let digest) = self { digest } else { nil } }

    /// The mark to leave in an upload's record. A digest needs none.
    var fingerprint: String? { if case .opaque(let text) = self { Self.mark + text } else { nil } }

    /// Whether an upload is of this content. One that declared no digest cannot be told to have this one.
    func matches(_ record: UploadRecord) -> Bool {
        switch self {
        case .sha256(let digest): record.digest == digest
        case .opaque: record.fingerprint == fingerprint
        }
    }

    /// What an upload's record says about its content, in a word; nil for one that the old interfaces cannot go on with,
    /// because it declared neither a digest nor one of their hashes.
    static func identity(of record: UploadRecord) -> String? {
        guard record.uploadProtocol == .native else { return nil }
        if let fingerprint = record.fingerprint, fingerprint.utf8.starts(with: mark.utf8) { return fingerprint }
        return record.digest.map { prefix + $0.hex }
    }
}
