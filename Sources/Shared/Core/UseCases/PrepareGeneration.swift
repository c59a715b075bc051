// A generation begins: an empty part file on the target that the index then calls the current one.

/// Starts generations of uploads on their targets.
///
/// The file is made first, under a number that never repeats; then the index is asked to make it the current one, by
/// compare-and-set; only then are older part files removed, by number. So whoever comes late, in whatever order, can
/// remove nothing that is or will be current.
struct PrepareGeneration: Sendable {
    let ports: WorkPorts

    /// How long one worker has for a preparation before another may begin one too.
    static let lease = Duration.seconds(10)

    /// The part file of an upload's current generation, which is started now if there is none.
    func current(of upload: Upload) async throws(WorkError) -> PartFile {
        if let file = upload.partFile { return file }
        let name = "prepare:\(upload.id)"
        let holder = "\(ports.worker)#\(ports.surroundings.random())"
        let deadline = ports.surroundings.now() + Self.lease
        var pause = Duration.milliseconds(10)
        // One prepares, the others wait for its result; were the lease lost, two would prepare, and one would win.
        while try await !ports.asking({ () throws(StoreError) in
            try await ports.leases.acquire(name, holder: holder, for: Self.lease)
        }) {
            guard ports.surroundings.now() < deadline else {
                throw .target(TargetError(.interrupted, "another worker is preparing the part file"))
            }
            do { try await ports.surroundings.sleep(pause) } catch {
                throw .target(TargetError(.cancelled, "waiting for another worker's preparation"))
            }
            pause = min(pause * 2, .milliseconds(50))
            if let file = try await wanted(upload.id).partFile { return file }
        }
        do throws(WorkError) {
            let now = try await wanted(upload.id)
            let file: PartFile
            if let current = now.partFile { file = current } else { file = try await start(now, replacing: nil).file }
            try? await ports.leases.release(name, holder: holder)
            return file
        } catch {
            try? await ports.leases.release(name, holder: holder)
            throw error
        }
    }

    /// Starts a new generation in place of one that is lost or wrong, and records the ship jobs of all its parts.
    func restart(_ upload: Upload, replacing generation: Generation) async throws(WorkError) {
        let (_, safety) = try await start(upload, replacing: generation)
        // Somebody else's restart records the jobs itself.
        guard !safety.isEmpty else { return }
        guard upload.received.parts > 0 else { return ports.relay.dispatch(safety) }
        try await ports.requeueShips(of: upload.id)
        // All is recorded; without this the merge job would come, find nothing else to do and record it once more.
        try? await ports.store.confirm(safety)
    }

    private func wanted(_ id: UploadID) async throws(WorkError) -> Upload {
        let upload = try await ports.asking { () throws(StoreError) in try await ports.store.upload(id) }
        guard let upload, upload.state.isShippable || upload.state == .merging else { throw .unwanted }
        return upload
    }

    private func start(_ upload: Upload, replacing previous: Generation?) async throws(WorkError)
        -> (file: PartFile, safety: [OutboxEntry])
    {
        let session = try ports.session(of: upload)
        let strategy = try await ports.reaching { () throws(TargetError) in try await session.strategy() }
        let next = try await ports.asking { () throws(StoreError) in try await ports.store.nextGeneration(of: upload.id)
        }
        guard let next else { throw .unwanted }
        let path = upload.record.path
        let file = PartFile(upload: upload.id, generation: next.generation, path: path, strategy: strategy)
        try await ports.reaching { () throws(TargetError) in
            try await session.prepare(file, size: upload.record.size)
        }
        let change = try await ports.asking { () throws(StoreError) in
            try await ports.store.startGeneration(next.generation, of: upload.id, replacing: previous, by: strategy)
        }
        guard case .applied(let started, let safety) = change else {
            // Somebody else's became current, or the upload is not wanted any more: this file is nobody's.
            try? await session.remove(file)
            if case .refused(.staleGeneration) = change, let current = try await wanted(upload.id).partFile {
                return (current, [])
            }
            throw .unwanted
        }
        if next.upload.preparations > 1 {
            _ = try? await session.removePartFiles(
                of: upload.id,
                beside: path,
                before: next.generation
            )
        }
        return (started.partFile ?? file, safety)
    }
}

extension WorkPorts {
    /// Records the ship jobs of all parts that are received and not on the target, page by page.
    func requeueShips(of id: UploadID) async throws(WorkError) {
        try await asking { () throws(StoreError) in
            try await RestoreUpload(store: store, relay: relay).requeueShips(of: id)
        }
    }
}
