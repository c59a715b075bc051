// UploadDocument: an upload as clients see it. Nulls are written, so that a field is never taken for misspelt.

import Core

/// Why an upload stands still.
struct FailureDocument: Encodable, Hashable {
    var reason: String
    var detail: String

    init(_ failure: Failure) {
        reason = failure.reason.rawValue
        detail = failure.detail
    }
}

/// An upload.
struct UploadDocument: Encodable {
    /// Part numbers as ranges (`"1-40,42"`); known only where one upload is asked for.
    struct PartRanges {
        var received: String
        var shipped: String

        init(_ parts: [PartState], of upload: Upload) {
            let layout = upload.record.layout
            received = PartNumbers(parts.map { layout.number(at: $0.part.offset) }).description
            let shippedParts = parts.filter { $0.shippedIn != nil && $0.shippedIn == upload.generation }
            shipped = PartNumbers(shippedParts.map { layout.number(at: $0.part.offset) }).description
        }
    }

    private let upload: Upload
    private let ranges: PartRanges?

    init(_ upload: Upload, ranges: PartRanges? = nil) {
        self.upload = upload
        self.ranges = ranges
    }

    private enum Key: String, CodingKey {
        case id, owner, target, path, state, size, partSize, digest, overwrite, fingerprint, metadata, mode, modifiedAt
        case receivedBytes, shippedBytes, mergedBytes, receivedParts, shippedParts
        case generation, merge, attempts, verification, atomic, error, createdAt, updatedAt, expiresAt, endedAt
    }

    func encode(to encoder: any Encoder) throws {
        let record = upload.record
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(record.id.description, forKey: .id)
        try container.encode(record.owner.description, forKey: .owner)
        try container.encode(record.target.description, forKey: .target)
        try container.encode(record.path.description, forKey: .path)
        try container.encode(upload.state.rawValue, forKey: .state)
        try container.encode(record.size, forKey: .size)
        try container.encode(record.partSize, forKey: .partSize)
        try container.encode(record.digest.map(DigestDocument.init), forKey: .digest)
        try container.encode(record.overwrite.rawValue, forKey: .overwrite)
        try container.encode(record.fingerprint, forKey: .fingerprint)
        try container.encode(record.metadata, forKey: .metadata)
        try container.encode(record.attributes.mode?.description, forKey: .mode)
        try container.encode(record.attributes.modifiedAt?.description, forKey: .modifiedAt)
        try container.encode(upload.received.bytes, forKey: .receivedBytes)
        try container.encode(upload.shipped.bytes, forKey: .shippedBytes)
        try container.encode(upload.mergedBytes, forKey: .mergedBytes)
        if let ranges {
            try container.encode(ranges.received, forKey: .receivedParts)
            try container.encode(ranges.shipped, forKey: .shippedParts)
        }
        try container.encode(upload.generation?.number, forKey: .generation)
        try container.encode(upload.strategy?.rawValue, forKey: .merge)
        try container.encode(upload.attempts, forKey: .attempts)
        try container.encode(upload.verification?.rawValue, forKey: .verification)
        try container.encode(upload.atomic, forKey: .atomic)
        try container.encode(upload.failure.map(FailureDocument.init), forKey: .error)
        try container.encode(record.createdAt.description, forKey: .createdAt)
        try container.encode(upload.updatedAt.description, forKey: .updatedAt)
        try container.encode(record.expiresAt.description, forKey: .expiresAt)
        try container.encode(upload.endedAt?.description, forKey: .endedAt)
    }
}

/// A page of uploads, newest first.
struct UploadPageDocument: Encodable {
    var uploads: [UploadDocument]
    var next: String?

    init(_ page: UploadPage) {
        uploads = page.uploads.map { UploadDocument($0) }
        next = page.next?.description
    }

    private enum Key: String, CodingKey { case uploads, next }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(uploads, forKey: .uploads)
        try container.encode(next, forKey: .next)
    }
}

/// A stored part.
struct PartDocument: Encodable {
    var number: Int64
    var offset: Int64
    var size: Int64
    var digest: DigestDocument

    init(_ part: Part, number: Int64) {
        self.number = number
        offset = part.offset
        size = part.size
        digest = DigestDocument(part.digest)
    }
}
