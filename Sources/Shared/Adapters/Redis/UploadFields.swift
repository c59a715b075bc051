// An upload as the fields of its hash, and back.

internal import Core
internal import Foundation

/// The fields of an upload's hash. Fields that are not there are nil; unknown ones, of newer programs, are left alone.
struct UploadFields {
    /// The version of the hash's form.
    static let version = 1

    let values: [String: String]

    // MARK: To the index

    /// The fields of a newly created upload, in the order in which a script takes them.
    static func created(_ record: UploadRecord) throws(StoreError) -> [(String, String)] {
        var fields: [(String, String)] = [
            ("v", String(version)),
            ("id", record.id.description),
            ("owner", record.owner.description),
            ("target", record.target.description),
            ("path", record.path.description),
            ("pathHash", try UploadKeys.hash(record.path.description)),
            ("protocol", record.uploadProtocol.rawValue),
            ("partSize", String(record.partSize)),
            ("overwrite", record.overwrite.rawValue),
            ("createdAt", String(record.createdAt.microseconds)),
            ("expiresAt", String(record.expiresAt.microseconds)),
            ("expiresIn", String((record.expiresAt - record.createdAt).microseconds)),
        ]
        for counter in ["receivedBytes", "receivedParts", "shippedBytes", "shippedParts", "attempts", "preparations"] {
            fields.append((counter, "0"))
        }
        if let size = record.size { fields.append(("size", String(size))) }
        if let digest = record.digest { fields.append(("digest", digest.hex)) }
        if let fingerprint = record.fingerprint { fields.append(("fingerprint", fingerprint)) }
        if let mode = record.attributes.mode { fields.append(("mode", mode.description)) }
        if let time = record.attributes.modifiedAt { fields.append(("modifiedAt", String(time.microseconds))) }
        if let key = record.idempotencyKey {
            fields.append(("idempotencyKey", key))
            fields.append(("idempotencyHash", try UploadKeys.hash(key)))
        }
        if !record.metadata.isEmpty { fields.append(("metadata", try json(record.metadata))) }
        return fields
    }

    static func json(_ value: some Encodable) throws(StoreError) -> String {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw .unreadable("JSON for the index: \(error)")
        }
    }

    static func value<Value: Decodable>(_ type: Value.Type, json: String) throws(StoreError) -> Value {
        do { return try JSONDecoder().decode(type, from: Data(json.utf8)) } catch {
            throw .unreadable("JSON in the index: \(error)")
        }
    }

    // MARK: From the index

    func upload() throws(StoreError) -> Upload {
        guard try number("v") == Self.version else {
            throw .unreadable("upload \(values["id"] ?? "?") has the form \(values["v"] ?? "?")")
        }
        var upload = Upload(record: try record())
        upload.state = try required("state", UploadState.init(rawValue:))
        upload.isComplete = values["complete"] == "1"
        upload.received = Upload.Tally(bytes: try number("receivedBytes"), parts: try number("receivedParts"))
        upload.shipped = Upload.Tally(bytes: try number("shippedBytes"), parts: try number("shippedParts"))
        upload.generation = try optional("generation", UInt64.init).map(Generation.init)
        if upload.generation != nil {
            // An older program recorded none: it knew no other.
            upload.strategy = try optional("strategy", MergeStrategy.init(rawValue:)) ?? .inPlace
        }
        if let digest = try optional("whole", SHA256Digest.init(hex:)) {
            upload.whole = Part(offset: 0, size: try number("size"), digest: digest)
        }
        upload.restarts = Int(try optional("restarts", Int64.init) ?? 0)
        upload.preparations = Int(try number("preparations"))
        upload.fence = try optional("fence", UInt64.init).map(Fence.init)
        upload.attempts = Int(try number("attempts"))
        if let reason = try optional("reason", FailureReason.init(rawValue:)) {
            upload.failure = Failure(reason, values["detail"] ?? "")
        }
        upload.deadLetter = try deadLetter()
        upload.verification = try optional("verification", Verification.init(rawValue:))
        if let size = try optional("finalSize", Int64.init) {
            upload.finalFile = FinalFile(
                size: size,
                digest: try optional("finalDigest", SHA256Digest.init(hex:)),
                modified: try number("finalModified")
            )
        }
        upload.sealedBy = try optional("sealedBy", UInt64.init).map(Fence.init)
        upload.atomic = values["atomic"].map { $0 == "1" }
        upload.updatedAt = Timestamp(microseconds: try number("updatedAt"))
        upload.endedAt = try optional("endedAt", Int64.init).map(Timestamp.init(microseconds:))
        return upload
    }

    private func deadLetter() throws(StoreError) -> DeadLetter? {
        guard let time = try optional("failedAt", Int64.init) else { return nil }
        return DeadLetter(
            job: values["failedJob"].flatMap { Job($0) },
            attempts: Int(try optional("failedAttempts", Int64.init) ?? 0),
            first: Failure(try required("firstReason", FailureReason.init(rawValue:)), values["firstDetail"] ?? ""),
            firstAt: Timestamp(microseconds: try number("firstAt")),
            at: Timestamp(microseconds: time)
        )
    }

    private func record() throws(StoreError) -> UploadRecord {
        let metadata = try values["metadata"].map { json throws(StoreError) in
            try Self.value([String: String].self, json: json)
        }
        return UploadRecord(
            id: try required("id", UploadID.init),
            owner: try required("owner", Owner.init),
            target: try required("target", TargetID.init),
            path: try required("path") { try? TargetPath($0) },
            uploadProtocol: try required("protocol", UploadProtocol.init(rawValue:)),
            size: try optional("size", Int64.init),
            partSize: try number("partSize"),
            digest: try optional("digest", SHA256Digest.init(hex:)),
            overwrite: try required("overwrite", Overwrite.init(rawValue:)),
            fingerprint: values["fingerprint"],
            metadata: metadata ?? [:],
            attributes: FinalAttributes(
                mode: try optional("mode") { FileMode(octal: $0) },
                modifiedAt: try optional("modifiedAt", Int64.init).map(Timestamp.init(microseconds:))
            ),
            idempotencyKey: values["idempotencyKey"],
            createdAt: Timestamp(microseconds: try number("createdAt")),
            expiresAt: Timestamp(microseconds: try number("expiresAt"))
        )
    }

    /// The round in which attempts of parts count.
    var round: String { values["round"] ?? "0" }

    /// How often the clean job has failed.
    func cleanAttempts() throws(StoreError) -> Int { Int(try optional("cleanAttempts", Int64.init) ?? 0) }

    private func number(_ name: String) throws(StoreError) -> Int64 { try required(name, Int64.init) }

    private func required<Value>(_ name: String, _ read: (String) -> Value?) throws(StoreError) -> Value {
        guard let value = try optional(name, read) else { throw unreadable(name) }
        return value
    }

    private func optional<Value>(_ name: String, _ read: (String) -> Value?) throws(StoreError) -> Value? {
        guard let text = values[name] else { return nil }
        guard let value = read(text) else { throw unreadable(name) }
        return value
    }

    private func unreadable(_ name: String) -> StoreError {
        .unreadable("field \(name) of upload \(values["id"] ?? "?")")
    }
}
