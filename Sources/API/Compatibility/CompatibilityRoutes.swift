// CompatibilityRoutes: the four interfaces of the system that Ferry replaces, on Ferry's own use cases (docs/compat.md).

import Core
import Hummingbird
import HummingbirdCore

/// `get_file_upload_status`, `get_file_dir_info`, `file_chunk_upload` and `bigfile_merge`.
struct CompatibilityRoutes {
    let services: APIServices
    let principal: Principal

    var intake: UploadIntake { services.intake }

    /// Whether a file may be uploaded: takes the path for it, or finds the own interrupted upload.
    func fileUploadStatus(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let form = try await CompatibilityForm.read(request, scope)
        return try await refusing(form.fields) {
            let file = try address(form)
            let hash = try ContentHash(try form.required("hash_code"))
            let overwrite = try form.overwrite()
            let size = try form.number("chunk_size", in: PartLayout.partSizes)
            guard var upload = try await take(file, hash, overwrite, size) else {
                let document = CompatibilityDocument(
                    code: .somebody,
                    data: file.fullPath,
                    msg: "this file is being uploaded by somebody else"
                )
                return try JSON.response(document)
            }
            if upload.state == .failed { throw try await failure(of: upload) }
            if let overwrite, overwrite != upload.record.overwrite {
                throw Problem(
                    .differentContent,
                    "your unfinished upload at this path was begun with overwrite: \(upload.record.overwrite.rawValue)",
                    fields: ["upload": .text(upload.id.description)]
                )
            }
            if let size, size != upload.record.partSize, ChunkPlacement.isResizable(upload) {
                upload = try await resize(upload, size) ?? upload
            }
            return try JSON.response(
                CompatibilityDocument(
                    code: .done,
                    data: file.fullPath,
                    msg: upload.received.parts == 0 ? "the file can be uploaded" : "the upload can be continued",
                    state: upload.state.rawValue,
                    chunkSize: upload.record.partSize
                )
            )
        }
    }

    /// What was received of an upload.
    func fileDirInfo(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let form = try await CompatibilityForm.read(request, scope)
        return try await refusing(form.fields) {
            let file = try address(form)
            let found = try await own(file, try binding(form, file))
            if found.state.isEnded { throw IntakeError.gone(found.state) }
            let (upload, parts) = try await settled { () throws(IntakeError) in
                try await intake.parts(found.id, for: principal)
            }
            let layout = upload.record.layout
            let path = file.temporaryPath(of: upload.id, tag: try tag(of: upload.record) ?? "")
            let directory = DirectoryDocument(
                name: file.path.name,
                size: upload.received.bytes,
                chunk: upload.shipped.parts,
                path: path,
                num: Int64(parts.count),
                dirHashcode: services.authenticator.sha256(Array(path.utf8))?.hex ?? "",
                chunkList: parts.map { layout.number(at: $0.part.offset) },
                chunkSize: upload.record.partSize,
                state: upload.state.rawValue
            )
            let msg = parts.isEmpty ? "nothing was received yet" : "send the chunks that are not in chunk_list"
            return try JSON.response(CompatibilityDocument(code: .state, data: directory, msg: msg))
        }
    }

    /// Says that all chunks were sent. Asked again, it tells how far the merge is.
    func bigFileMerge(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let form = try await CompatibilityForm.read(request, scope)
        return try await refusing(form.fields) {
            let file = try address(form)
            guard let count = try form.number("chunk_num", in: 0...PartLayout.maximumParts) else {
                throw Problem.invalid("chunk_num", "is required")
            }
            let binding = try binding(form, file)
            let found: Upload
            do {
                found = try await own(file, binding)
            } catch {
                // It may have arrived, and its path be free or somebody else's by now.
                guard let arrived = try await arrived(file, binding) else { throw error }
                found = arrived
            }
            let upload = try await settled { () throws(IntakeError) in
                try await intake.complete(found.id, digest: binding.hash?.digest, count: count, for: principal)
            }
            if upload.state == .failed { throw try await failure(of: upload) }
            return try JSON.response(
                CompatibilityDocument(
                    code: .done,
                    data: file.fullPath,
                    msg: upload.state == .done ? "the file is merged" : "the file is being merged; ask again",
                    state: upload.state.rawValue
                )
            )
        }
    }

    // MARK: What the four share

    /// Does a request's work; what goes wrong in it is answered with what the request was about.
    func refusing(_ fields: FormFields, _ work: () async throws -> Response) async throws -> Response {
        do { return try await work() } catch {
            let isTarget = if case IntakeError.targetUnknown = error { true } else { false }
            throw CompatibilityRefusal(cause: error, data: fields[isTarget ? "host_id" : "full_path"] ?? "")
        }
    }

    /// Which file a request is about, once it is sure that who asks is whom it says to be.
    func address(_ form: CompatibilityForm) throws -> FileAddress {
        let person = try form.required("person_id")
        guard person.utf8.elementsEqual(principal.owner.description.utf8) else {
            throw Problem(.forbidden, "person_id is not the owner that the token stands for")
        }
        let host = try form.required("host_id")
        guard let target = TargetID(host), let root = services.roots[target] else {
            throw IntakeError.targetUnknown(host)
        }
        let fullPath = try form.required("full_path")
        do {
            return try FileAddress(target: target, root: root, fullPath: fullPath, owner: principal.owner)
        } catch {
            throw Problem.invalid("full_path", error.description)
        }
    }

    /// A short word for an upload's content; nil for one that these interfaces cannot go on with.
    func tag(of record: UploadRecord) throws -> String? {
        guard let identity = ContentHash.identity(of: record) else { return nil }
        guard let digest = services.authenticator.sha256(Array(identity.utf8)) else {
            throw IntakeError.internal("a SHA-256 could not be computed")
        }
        return String(digest.hex.prefix(FileAddress.tagLength))
    }

    /// Runs a use case on an upload that was just found by its path: that it is gone by then is a race that a retry
    /// settles.
    func settled<Value>(_ work: () async throws(IntakeError) -> Value) async throws(IntakeError) -> Value {
        do throws(IntakeError) { return try await work() } catch {
            if error == .notFound { throw .unavailable("the upload changed meanwhile", retryAfter: .seconds(1)) }
            throw error
        }
    }
}
