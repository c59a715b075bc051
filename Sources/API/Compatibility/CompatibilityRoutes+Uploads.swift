// How the old interfaces find and make uploads: by path, owner and what is said about the content.

import Core

extension CompatibilityRoutes {
    /// What a request says about the content that it means, beside path and owner.
    struct Binding: Sendable {
        var hash: ContentHash?
        var temporaryPath: FileAddress.TemporaryPath?
    }

    /// Reads `hash_code` and `tmp_path`, each of which may be left out.
    func binding(_ form: CompatibilityForm, _ file: FileAddress) throws(Problem) -> Binding {
        var binding = Binding()
        if let text = form.optional("hash_code") { binding.hash = try ContentHash(text) }
        if let text = form.optional("tmp_path") {
            guard let path = file.temporaryPath(text) else {
                throw .invalid("tmp_path", "is not what get_file_dir_info answers for this path and person")
            }
            binding.temporaryPath = path
        }
        return binding
    }

    /// The caller's own upload at a path, if it is of the content that the request means.
    func own(_ file: FileAddress, _ binding: Binding) async throws -> Upload {
        for _ in 0..<20 {
            switch try await intake.holder(of: file.path, on: file.target, for: principal) {
            case .own(let upload) where ChunkPlacement.isBeingResized(upload):
                try await Task.sleep(for: .milliseconds(50))
            case .own(let upload):
                guard try means(binding, upload.record) else { throw IntakeError.differentContent(upload.id) }
                return upload
            case .somebody: throw IntakeError.uploadInProgress(retryAfter: .seconds(30))
            case .nobody:
                throw Problem(.notFound, "no upload of yours holds this path; begin with get_file_upload_status")
            }
        }
        throw IntakeError.unavailable("the upload is being created anew", retryAfter: .seconds(1))
    }

    /// The upload that a `tmp_path` was made for, if its file is in place.
    func arrived(_ file: FileAddress, _ binding: Binding) async throws -> Upload? {
        guard case .upload(let id, _) = binding.temporaryPath else { return nil }
        let upload: Upload
        do throws(IntakeError) {
            upload = try await intake.upload(id, for: principal)
        } catch {
            guard error == .notFound else { throw error }
            return nil
        }
        guard upload.state == .done, upload.record.target == file.target, upload.record.path == file.path else {
            return nil
        }
        return try means(binding, upload.record) ? upload : nil
    }

    private func means(_ binding: Binding, _ record: UploadRecord) throws -> Bool {
        guard let tag = try tag(of: record) else { return false }
        if let hash = binding.hash, !hash.matches(record) { return false }
        if case .upload(_, let other) = binding.temporaryPath, other != tag { return false }
        return true
    }

    /// Takes a path for a new upload, or finds the own one of the same content; nil where it is somebody else's.
    func take(
        _ file: FileAddress,
        _ hash: ContentHash,
        _ overwrite: Overwrite?,
        _ size: Int64?
    ) async throws -> Upload? {
        let request = CreateRequest(
            target: file.target.description,
            path: file.path.description,
            partSize: size ?? services.chunks.size,
            digest: hash.digest,
            overwrite: overwrite ?? .never,
            fingerprint: hash.fingerprint,
            metadata: ChunkPlacement.notes(size: size),
            isHashed: true
        )
        do throws(IntakeError) {
            let upload = try await intake.create(request, for: principal).upload
            guard upload.record.uploadProtocol == .native else { throw .differentContent(upload.id) }
            return upload
        } catch {
            guard case .uploadInProgress = error else { throw error }
            if case .somebody = try await intake.holder(of: file.path, on: file.target, for: principal) { return nil }
            // It is the caller's own that has just ended, or it is free by now.
            throw IntakeError.unavailable("the path is being cleaned", retryAfter: .seconds(2))
        }
    }

    /// Gives an upload of which nothing was received another part size. Goes on when the client leaves: between its two
    /// steps the path is nobody's.
    func resize(_ upload: Upload, _ size: Int64) async throws -> Upload? {
        let (intake, principal) = (intake, principal)
        return try await Task {
            try await intake.resized(
                upload,
                partSize: size,
                metadata: ChunkPlacement.notes(size: size),
                for: principal
            )
        }.value
    }

    /// Why a failed upload stands still, and what its owner can do about it.
    func failure(of upload: Upload) async throws -> any Error {
        switch upload.failure?.reason {
        case .targetExists: return IntakeError.targetExists(upload.record.path)
        case .partDamaged: return IntakeError.partsMissing(try await intake.missing(upload))
        case let reason:
            let name = reason?.rawValue ?? "unknown"
            return Problem(
                .wrongState,
                "the upload has failed (\(name)) and waits for an operator; nothing needs to be sent again",
                fields: ["state": .text(upload.state.rawValue), "reason": .text(name)]
            )
        }
    }
}
