// How a target in memory puts parts together that lie apart, or are still in staging.

public import Core
internal import Synchronization

extension InMemoryTarget {
    /// What a test chose.
    public func strategy() async throws(TargetError) -> MergeStrategy { nextStrategy }

    /// Hands the bytes of a staged part on, piece by piece, with each piece's place in the part.
    func read(
        _ reader: any PartReader,
        into consume: (Int64, [UInt8]) throws(TargetError) -> Void
    ) async throws(TargetError) {
        var position: Int64 = 0
        while position < reader.part.size {
            let bytes: [UInt8]
            do {
                bytes = Bytes(copying: try await reader.read(at: position, count: piece)).array
            } catch {
                throw TargetError(.staging, "read a part: \(error)")
            }
            guard !bytes.isEmpty else { throw TargetError(.staging, "read a part: it is too short") }
            try consume(position, bytes)
            position += Int64(bytes.count)
        }
    }

    /// Writes a part into a file of its own, piece by piece, and proves it.
    func shipApart(_ reader: any PartReader, of file: PartFile) async throws(TargetError) -> Verification {
        let name = PartsDirectory.name(of: reader.part)
        try begin(name, of: file)
        try await read(reader) { position, bytes throws(TargetError) in
            let failure = state.withLock { state -> TargetError? in
                guard var part = state.apart[file]?[name] else { return Self.lost(file) }
                let end = Int(position) + bytes.count
                guard Int64(max(0, end - part.count)) <= state.room - state.used else {
                    return TargetError(.diskFull, "write \(name): the disk is full")
                }
                if part.count < end { part.append(contentsOf: [UInt8](repeating: 0, count: end - part.count)) }
                part.replaceSubrange(Int(position)..<end, with: bytes)
                state.apart[file]?[name] = part
                return nil
            }
            if let failure { throw failure }
        }
        return try await faults.perform(.ship) { () throws(TargetError) in
            guard let content = state.withLock({ $0.apart[file]?[name] }) else { throw Self.lost(file) }
            if verification != .size { try prove(reader.part, content[...], of: file) }
            return verification
        }
    }

    private func begin(_ name: String, of file: PartFile) throws(TargetError) {
        let isThere = state.withLock { state in
            guard state.apart[file] != nil else { return false }
            if state.apart[file]?[name] == nil { state.apart[file]?[name] = [] }
            return true
        }
        guard isThere else { throw Self.lost(file) }
    }

    /// Puts parts in their places, one after the other, from where a record says; proves all of them in the end.
    public func assemble(
        _ file: PartFile,
        of parts: [Part],
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) -> Verification? {
        switch file.strategy {
        case .inPlace: return nil
        case .copy, .script, .relay: try await copy(parts, of: file)
        case .stream: try await stream(parts, into: file, from: open)
        }
        return try await faults.perform(.prove) { () throws(TargetError) in
            let content = state.withLock { state in
                state.parts[file]?.modified = Self.marked
                return state.parts[file]?.bytes
            }
            guard let content else { throw Self.lost(file) }
            if verification != .size { for part in parts { try prove(part, in: content, of: file) } }
            return verification
        }
    }

    private func copy(_ parts: [Part], of file: PartFile) async throws(TargetError) {
        let recorded = state.withLock { state in
            let next = min(state.records[file] ?? 0, parts.count)
            let end = next == 0 ? 0 : parts[next - 1].end
            return Int64(state.parts[file]?.bytes.count ?? 0) >= end ? next : 0
        }
        for (index, part) in parts.enumerated().dropFirst(recorded) {
            try await faults.perform(.assemble) { () throws(TargetError) in
                let bytes = state.withLock { $0.apart[file]?[PartsDirectory.name(of: part)] }
                guard let bytes, bytes.count == Int(part.size) else { throw Self.lost(file) }
                try write(bytes, at: part.offset, file)
            }
            try await faults.perform(.record) {
                state.withLock { if $0.apart[file] != nil { $0.records[file] = index + 1 } }
            }
        }
    }

    private func stream(
        _ parts: [Part],
        into file: PartFile,
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) {
        try await faults.perform(.assemble) { () throws(TargetError) in
            let isNew = state.withLock { state in
                // What earlier claims began is never committed.
                for other in state.parts.keys where other.claimed(by: file.claim) == file {
                    if let claim = other.claim, let own = file.claim, claim < own { state.parts[other] = nil }
                }
                guard state.parts[file] == nil else { return false }
                state.parts[file] = File(bytes: [])
                return true
            }
            guard isNew else { throw TargetError(.failed, "begin \(file.name): it exists") }
        }
        for part in parts {
            let reader: any PartReader
            do { reader = try await open(part) } catch { throw TargetError(.staging, "open a part: \(error)") }
            do throws(TargetError) {
                try await read(reader) { position, bytes throws(TargetError) in
                    try write(bytes, at: part.offset + position, file)
                }
                await reader.close()
            } catch {
                await reader.close()
                throw error
            }
            try await faults.perform(.assemble) {}
        }
    }
}
