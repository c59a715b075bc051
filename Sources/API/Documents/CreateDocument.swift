// CreateDocument: the bodies that clients send.

import Core

/// The body of `POST /v1/uploads`.
struct CreateDocument: Decodable {
    var target: String
    var path: String
    var size: Int64?
    var partSize: Int64?
    var digest: DigestDocument?
    var overwrite: Overwrite?
    var fingerprint: String?
    var metadata: [String: String]?
    var attributes: FinalAttributes

    private enum Key: String, CodingKey, CaseIterable {
        case target, path, size, partSize, digest, overwrite, fingerprint, metadata, mode, modifiedAt
    }

    init(from decoder: any Decoder) throws {
        try decoder.refuseUnknownKeys(Key.self)
        let container = try decoder.container(keyedBy: Key.self)
        target = try container.decode(String.self, forKey: .target)
        path = try container.decode(String.self, forKey: .path)
        size = try container.integer(forKey: .size)
        partSize = try container.integer(forKey: .partSize)
        digest = try container.decodeIfPresent(DigestDocument.self, forKey: .digest)
        if let text = try container.decodeIfPresent(String.self, forKey: .overwrite) {
            guard let value = Overwrite(rawValue: text) else {
                throw Problem.invalid("overwrite", "must be never or replace")
            }
            overwrite = value
        }
        fingerprint = try container.decodeIfPresent(String.self, forKey: .fingerprint)
        metadata = try container.decodeIfPresent([String: String].self, forKey: .metadata)
        attributes = try FinalAttributes(
            mode: (try container.decodeIfPresent(String.self, forKey: .mode), Key.mode.rawValue),
            modifiedAt: (try container.decodeIfPresent(String.self, forKey: .modifiedAt), Key.modifiedAt.rawValue)
        )
    }

    /// What the use case is asked.
    func request(idempotencyKey: String?) -> CreateRequest {
        CreateRequest(
            target: target,
            path: path,
            size: size,
            partSize: partSize,
            digest: digest?.digest,
            overwrite: overwrite ?? .never,
            fingerprint: fingerprint,
            metadata: metadata ?? [:],
            attributes: attributes,
            idempotencyKey: idempotencyKey
        )
    }
}

extension FinalAttributes {
    /// Reads what a client wrote, each with the name that it has in the request.
    init(mode: (text: String?, name: String), modifiedAt: (text: String?, name: String)) throws(Problem) {
        self.init()
        if let text = mode.text {
            guard let found = FileMode(octal: text) else {
                let expected = "must be permission bits in octal such as 0640, the owner's read bit among them"
                throw .invalid(mode.name, expected)
            }
            self.mode = found
        }
        if let text = modifiedAt.text {
            guard let found = Timestamp(rfc3339: text) else {
                throw .invalid(modifiedAt.name, "must be a time such as 2026-01-31T09:05:00Z (RFC 3339)")
            }
            self.modifiedAt = found
        }
    }
}

/// The body of `POST /v1/uploads/{id}/complete`; an empty one means an empty object.
struct CompleteDocument: Decodable {
    var digest: DigestDocument?

    private enum Key: String, CodingKey, CaseIterable { case digest }

    init() {}

    init(from decoder: any Decoder) throws {
        try decoder.refuseUnknownKeys(Key.self)
        digest = try decoder.container(keyedBy: Key.self).decodeIfPresent(DigestDocument.self, forKey: .digest)
    }
}

/// `{"sha-256": hex}`
struct DigestDocument: Codable, Hashable {
    var digest: SHA256Digest

    private enum Key: String, CodingKey, CaseIterable { case sha256 = "sha-256" }

    init(_ digest: SHA256Digest) { self.digest = digest }

    init(from decoder: any Decoder) throws {
        try decoder.refuseUnknownKeys(Key.self)
        let text = try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .sha256)
        guard let digest = SHA256Digest(hex: text) else {
            let place = (decoder.codingPath.map(\.stringValue) + ["sha-256"]).joined(separator: ".")
            throw Problem.invalid(place, "must be 64 hexadecimal digits")
        }
        self.digest = digest
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(digest.hex, forKey: .sha256)
    }
}
