// A ship job: one staged part goes to its place in the part file on the target.

/// Ships parts. Every step may be repeated, and by two workers at once; the result is the same.
public struct ShipPart: Sendable {
    private let ports: WorkPorts
    private let generations: PrepareGeneration

    /// A use case over these ports.
    public init(_ ports: WorkPorts) {
        self.ports = ports
        generations = PrepareGeneration(ports: ports)
    }

    /// Does what a ship job asks for, if it still is wanted.
    public func perform(_ id: UploadID, offset: Int64) async -> JobOutcome {
        let state: ShipState
        do {
            guard let known = try await ports.store.shipWork(of: id, offset: offset) else { return .done }
            state = known
        } catch {
            return .later(.seconds(1))
        }
        guard state.upload.state.isShippable, let part = state.part else { return .done }
        if let generation = state.upload.generation, part.shippedIn == generation { return .done }
        var used: Generation?
        do throws(WorkError) {
            try await ship(part.part, of: state.upload, using: &used)
            return .done
        } catch {
            let job = Job.ship(id, offset: offset)
            if case .target(let reason) = error, reason.kind == .partFileLost, let used {
                if let end = ports.endOfRestarts(state.upload, used, reason) {
                    return await ports.settle(end, of: job, upload: state.upload, attempt: state.attempt)
                }
                // The attempt counts, so that a target that loses file after file does not keep this up for ever.
                do throws(WorkError) { try await generations.restart(state.upload, replacing: used) } catch {
                    return await ports.settle(error, of: job, upload: state.upload, attempt: state.attempt)
                }
            }
            return await ports.settle(error, of: job, upload: state.upload, attempt: state.attempt)
        }
    }

    private func ship(_ part: Part, of upload: Upload, using used: inout Generation?) async throws(WorkError) {
        let session = try ports.session(of: upload)
        let reader: any PartReader
        do {
            reader = try await ports.staging.openPart(part, of: upload.id)
        } catch .notFound {
            // Struck by a worker that died before it could tell the index, or taken by the disk.
            return try await strike(part, of: upload)
        } catch {
            throw .staging(error)
        }
        do throws(WorkError) {
            // Hashed before its first byte is sent: a damaged part never reaches the target.
            guard try await ports.reading({ () throws(StagingError) in try await reader.isIntact() }) else {
                await reader.close()
                return try await strike(part, of: upload)
            }
            let file = try await generations.current(of: upload)
            used = file.generation
            let verification = try await ports.reaching { () throws(TargetError) in
                try await session.ship(reader, into: file)
            }
            await reader.close()
            try await record(part, of: upload, in: file.generation, verification)
        } catch {
            await reader.close()
            throw error
        }
    }

    private func record(
        _ part: Part,
        of upload: Upload,
        in generation: Generation,
        _ verification: Verification
    ) async throws(WorkError) {
        let change = try await ports.asking { () throws(StoreError) in
            try await ports.store.shipped(
                offset: part.offset,
                of: upload.id,
                in: generation,
                verification: verification
            )
        }
        // Refused: another generation, or the upload has ended. The bytes went into a file that nobody will commit.
        guard case .applied(let upload, let entries) = change else { return }
        ports.relay.dispatch(entries)
        ports.events.publish(.partShipped, upload)
    }

    private func strike(_ part: Part, of upload: Upload) async throws(WorkError) {
        try await ports.reading { () throws(StagingError) in try await ports.staging.strike(part, of: upload.id) }
        let change = try await ports.asking { () throws(StoreError) in
            try await ports.store.strike(part, of: upload.id, by: ports.worker)
        }
        guard case .applied(let upload, _) = change else { return }
        ports.events.publish(.partDamaged, upload)
        if upload.state == .failed { ports.tellFailed(upload) }
    }
}
