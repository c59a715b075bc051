// A clean job: nothing is left of an upload that has ended but its history record.

/// Removes what an ended upload left in staging and on its target. May be repeated at any point.
public struct CleanUpload: Sendable {
    private let ports: WorkPorts

    /// A use case over these ports.
    public init(_ ports: WorkPorts) { self.ports = ports }

    /// Does what a clean job asks for.
    public func perform(_ id: UploadID) async -> JobOutcome {
        let job = Job.clean(id)
        let upload: Upload
        let attempt: Int
        do {
            guard let known = try await ports.store.upload(id), known.state.isEnded else { return .done }
            upload = known
            attempt = try await ports.store.attempt(of: job)
        } catch {
            return .later(.seconds(1))
        }
        do throws(WorkError) {
            try await clean(upload)
            return .done
        } catch {
            return await ports.settle(error, of: job, upload: upload, attempt: attempt)
        }
    }

    /// Cleans up after an upload that has ended.
    ///
    /// - Parameter isMarked: whether the ending was in staging before the index told of it.
    func clean(_ upload: Upload, isMarked: Bool = false) async throws(WorkError) {
        if !isMarked { try await mark(upload) }
        // A committed upload's only part file became the final one, unless another was ever begun, parts lie apart, or what
        // was replaced stepped aside; a rebuilt index, which knows no generation, cannot tell.
        let isAlone =
            upload.state == .done && upload.strategy == .inPlace && upload.preparations == 1
            && upload.atomic == true
        if upload.preparations > 0, !isAlone,
            let session = ports.target(upload.record.target)
        {
            _ = try await ports.reaching { () throws(TargetError) in
                try await session.removePartFiles(of: upload.id, beside: upload.record.path, before: nil)
            }
        }
        try await ports.reading { () throws(StagingError) in try await ports.staging.discard(upload.id) }
        try await ports.asking { () throws(StoreError) in try await ports.store.cleaned(upload.id) }
    }

    /// The ending is durable, and known, before anything that it allows to be deleted is.
    private func mark(_ upload: Upload) async throws(WorkError) {
        let now = ports.surroundings.now()
        switch upload.state {
        case .done:
            if let finalFile = upload.finalFile { try await mark(.done(finalFile, at: now), on: upload.id) }
        case .cancelled: try await mark(.cancelled(by: ports.worker, at: now), on: upload.id)
        case .expired: try await mark(.expired(at: now), on: upload.id)
        case .receiving, .shipping, .merging, .committing, .failed: throw .unwanted
        }
        let known = try await ports.asking { () throws(StoreError) in try await ports.store.upload(upload.id) }
        if known?.state.isEnded != true { _ = try await tellEnd(of: upload.id) }
    }

    /// Tells the index of an end that staging has and it has not: it was set back, or is being read anew by somebody
    /// who had read the upload before it ended. Answers the upload.
    func tellEnd(of id: UploadID) async throws(WorkError) -> Upload {
        var staged = try await ports.reading { () throws(StagingError) in try await ports.staging.read(id) }
        if staged == nil {
            staged = try await ports.reading { () throws(StagingError) in try await ports.staging.readDiscarded(id) }
        }
        guard let staged else { throw .unwanted }
        let told = try await ports.asking { () throws(StoreError) in
            try await RestoreUpload(store: ports.store, relay: ports.relay).restore(staged)
        }
        guard let told, told.state.isEnded else { throw .unwanted }
        return told
    }

    /// Publishes an ending; where there is nothing to end any more, somebody else has.
    func mark(_ marker: Marker, on id: UploadID) async throws(WorkError) {
        do {
            _ = try await ports.staging.mark(marker, on: id)
        } catch .notFound {
            return
        } catch {
            throw .staging(error)
        }
    }
}
