// Small files that came in one request: the merge carries the only part to the target itself, so that such a file needs
// one job instead of two, and a fraction of the questions.

extension MergeUpload {
    /// The largest file that is taken and merged in one go, in bytes: what an API or a worker holds of each in memory.
    public static let largestWhole: Int64 = 65_536

    /// Builds a generation of this claim's own out of the only part, and commits it.
    ///
    /// No other claim knows of the file before the commit is recorded, so that none can be in another's way: whoever
    /// follows builds its own, under a number that is the claim's. What a claim leaves behind is counted as a preparation,
    /// and cleaned away as such.
    func carry(_ part: Part, of upload: Upload, fence: Fence) async throws(WorkError) {
        let session = try ports.session(of: upload)
        let strategy = try await ports.reaching { () throws(TargetError) in try await session.strategy() }
        guard strategy == .inPlace else { return try await shipFirst(upload) }
        guard upload.record.digest == nil || upload.record.digest == part.digest else {
            throw .permanent(
                Failure(.digestMismatch, "the file's SHA-256 is \(part.digest), not the one that was declared")
            )
        }
        let bytes = try await staged(part, of: upload)
        let file = PartFile(upload: upload.id, generation: Generation(fence.number), path: upload.record.path)
        let built: BuiltPartFile
        do throws(TargetError) {
            built = try await session.build(
                file,
                of: part,
                bytes,
                modified: ports.surroundings.now().seconds,
                attributes: upload.record.attributes
            )
        } catch {
            // Without a session nothing was made, and whoever was cancelled has no time.
            if ![.cancelled, .unreachable].contains(error.kind) { try? await session.remove(file) }
            // Counted from here, as for any other upload, so that a target that loses file after file is found out.
            if error.kind == .partFileLost { return try await shipFirst(upload) }
            throw .target(error)
        }
        try await commit(
            upload,
            file,
            built.sealed,
            size: part.size,
            verification: built.verification,
            fence: fence
        )
    }

    /// All bytes of the part, as they were acknowledged.
    private func staged(_ part: Part, of upload: Upload) async throws(WorkError) -> any ByteChunk {
        var bytes: (any ByteChunk)?
        do throws(StagingError) { bytes = try await ports.staging.bytes(of: part, of: upload.id) } catch {
            guard error == .notFound else { throw .staging(error) }
        }
        if let bytes { return bytes }
        try await strikeDamaged(upload)
        throw .staging(.notFound)
    }

    /// Sends the upload the way of all others: a generation begins, and a ship job carries the part. This claim is over.
    private func shipFirst(_ upload: Upload) async throws(WorkError) {
        _ = try await generations.current(of: upload)
        try await ports.requeueShips(of: upload.id)
    }
}
