// The small JSON files in staging: their exact form, with a version, apart from the domain's types.

internal import Core
internal import FoundationEssentials

/// A JSON file in staging. A program that meets a newer version leaves the file, and what it belongs to, alone.
protocol StagingDocument: Codable {
    /// The newest version that this program reads, and the one that it writes.
    static var version: Int { get }
}

/// Encoding and decoding of the small files.
enum StagingJSON {
    private struct VersionOnly: Codable { var v: Int }

    static func encode(_ document: some StagingDocument, _ path: String) throws(StagingError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
        } catch {
            throw .failed("encode \(path): \(error)")
        }
    }

    static func decode<Document: StagingDocument>(
        _ type: Document.Type,
        _ bytes: [UInt8],
        _ path: String
    ) throws(StagingError) -> Document {
        let decoder = JSONDecoder()
        let data = Data(bytes)
        guard let version = try? decoder.decode(VersionOnly.self, from: data).v else {
            throw .unreadable("\(path) is damaged: no version")
        }
        guard version >= 1, version <= Document.version else {
            throw .unreadable("\(path) has version \(version), this program reads up to \(Document.version)")
        }
        do {
            return try decoder.decode(type, from: data)
        } catch {
            throw .unreadable("\(path) is damaged: a field is missing or of a wrong type")
        }
    }
}

/// `upload.json`. Times are microseconds since 1970.
struct UploadDocument: StagingDocument {
    static let version = UploadRecord.currentVersion

    var v = UploadDocument.version
    var id: String
    var owner: String
    var target: String
    var path: String
    var `protocol`: String
    var size: Int64?
    var partSize: Int64
    var sha256: String?
    var overwrite: String
    var fingerprint: String?
    var metadata: [String: String]
    var mode: String?
    var modifiedAt: Int64?
    var idempotencyKey: String?
    var createdAt: Int64
    var expiresAt: Int64

    init(_ record: UploadRecord) {
        id = record.id.description
        owner = record.owner.description
        target = record.target.description
        path = record.path.description
        self.protocol = record.uploadProtocol.rawValue
        size = record.size
        partSize = record.partSize
        sha256 = record.digest?.hex
        overwrite = record.overwrite.rawValue
        fingerprint = record.fingerprint
        metadata = record.metadata
        mode = record.attributes.mode?.description
        modifiedAt = record.attributes.modifiedAt?.microseconds
        idempotencyKey = record.idempotencyKey
        createdAt = record.createdAt.microseconds
        expiresAt = record.expiresAt.microseconds
    }

    /// The record, if it is whole and belongs to the directory that it was found in.
    func record(of directory: UploadID, _ file: String) throws(StagingError) -> UploadRecord {
        guard id == directory.description else { throw .unreadable("\(file) belongs to another upload") }
        func checked<Value>(_ value: Value?, _ field: String) throws(StagingError) -> Value {
            guard let value else { throw .unreadable("\(file) is damaged: \(field)") }
            return value
        }
        return UploadRecord(
            id: directory,
            owner: try checked(Owner(owner), "owner"),
            target: try checked(TargetID(target), "target"),
            path: try checked(try? TargetPath(path), "path"),
            uploadProtocol: try checked(UploadProtocol(rawValue: self.protocol), "protocol"),
            size: try size.map { size throws(StagingError) in try checked(size >= 0 ? size : nil, "size") },
            partSize: try checked(partSize > 0 ? partSize : nil, "partSize"),
            digest: try sha256.map { hex throws(StagingError) in try checked(SHA256Digest(hex: hex), "sha256") },
            overwrite: try checked(Overwrite(rawValue: overwrite), "overwrite"),
            fingerprint: fingerprint,
            metadata: metadata,
            attributes: FinalAttributes(
                mode: try mode.map { text throws(StagingError) in try checked(FileMode(octal: text), "mode") },
                modifiedAt: modifiedAt.map(Timestamp.init(microseconds:))
            ),
            idempotencyKey: idempotencyKey,
            createdAt: Timestamp(microseconds: createdAt),
            expiresAt: Timestamp(microseconds: expiresAt)
        )
    }
}

/// `complete`, `cancelled`, `expired`, `done`.
struct MarkerDocument: StagingDocument {
    static let version = 1

    var v = MarkerDocument.version
    var kind: String
    var at: Int64
    var size: Int64?
    var sha256: String?
    var modified: Int64?
    var by: String?

    init(_ marker: Marker) {
        kind = marker.kind.rawValue
        switch marker {
        case .complete(let size, let digest, let time):
            self.size = size
            sha256 = digest?.hex
            at = time.microseconds
        case .cancelled(let name, let time):
            by = name
            at = time.microseconds
        case .expired(let time): at = time.microseconds
        case .done(let file, let time):
            size = file.size
            sha256 = file.digest?.hex
            modified = file.modified
            at = time.microseconds
        }
    }

    /// The marker, if it is whole and of the kind that its name says.
    func marker(of expected: Marker.Kind, _ file: String) throws(StagingError) -> Marker {
        guard kind == expected.rawValue else { throw .unreadable("\(file) is damaged: kind") }
        let digest = sha256.flatMap { SHA256Digest(hex: $0) }
        guard digest != nil || sha256 == nil else { throw .unreadable("\(file) is damaged: sha256") }
        let time = Timestamp(microseconds: at)
        switch expected {
        case .complete:
            guard let size, size >= 0 else { throw .unreadable("\(file) is damaged: size") }
            return .complete(size: size, digest: digest, at: time)
        case .cancelled:
            guard let by else { throw .unreadable("\(file) is damaged: by") }
            return .cancelled(by: by, at: time)
        case .expired: return .expired(at: time)
        case .done:
            guard let size, size >= 0, let modified else { throw .unreadable("\(file) is damaged: size or modified") }
            return .done(FinalFile(size: size, digest: digest, modified: modified), at: time)
        }
    }
}

/// `epoch`.
struct EpochDocument: StagingDocument {
    static let version = 1

    var v = EpochDocument.version
    var epoch: String
}
