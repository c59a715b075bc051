// For servers that take a file only from its start to its end: all of it, from staging, through one handle.

internal import Core
internal import NIOCore
internal import SFTP

/// The bytes of staged parts, one part after the other. Used by one task, and closed by it.
private final class PartChain {
    private let parts: [Part]
    private let open: @Sendable (Part) async throws(StagingError) -> any PartReader
    private let reached: AssemblyWatch
    private var index = 0
    private var position: Int64 = 0
    private var reader: (any PartReader)?

    init(
        _ parts: [Part],
        _ open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader,
        _ reached: @escaping AssemblyWatch
    ) {
        self.parts = parts
        self.open = open
        self.reached = reached
    }

    func next(piece: Int) async throws -> ByteBuffer? {
        while index < parts.count {
            let current: any PartReader
            if let reader { current = reader } else { current = try await open(parts[index]) }
            reader = current
            if let bytes = try await SFTPTarget.read(current, at: position, piece: piece) {
                position += Int64(bytes.readableBytes)
                return bytes
            }
            await close()
            try await reached(.placed(index))
            index += 1
            position = 0
        }
        return nil
    }

    func close() async {
        await reader?.close()
        reader = nil
    }
}

extension SFTPTarget {
    /// Writes all parts into a file of this claim's own, which is made anew.
    func stream(
        _ parts: [Part],
        into file: PartFile,
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) {
        await removeEarlierClaims(of: file)
        let name = absolute(file)
        try await withSession { session in
            let handle = try await session.open(name, [.write, .create, .exclusive], permissions: 0o600)
            do {
                try await self.write(parts, to: handle, from: open, on: session)
                if self.options.flushes, session.capabilities.supports(SFTPExtension.fsync) {
                    try await handle.fsync()
                }
                // A gateway keeps nothing before this.
                try await handle.close()
            } catch {
                try? await handle.close()
                throw error
            }
            try await self.reached(.written)
        }
    }

    /// Writes all parts, one after the other, from the start of a file.
    func write(
        _ parts: [Part],
        to handle: SFTPFile,
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader,
        on session: SFTPSession
    ) async throws {
        let chain = PartChain(parts, open, reached)
        do {
            try await reached(.opened)
            try await handle.write(at: 0) { try await chain.next(piece: session.writeLength) }
        } catch {
            await chain.close()
            guard let refused = error as? SFTPError, refused.isUnexplained else { throw error }
            throw await explain(refused, on: session, needed: parts.map(\.size).max() ?? 1)
        }
    }

    /// What earlier claims of this generation wrote is never committed: no claim that another has followed can begin a
    /// commit. Best effort, since all of it goes in the end.
    private func removeEarlierClaims(of file: PartFile) async {
        guard let own = file.claim else { return }
        let directory = directory(of: file.path)
        try? await withSession { session in
            for entry in try await session.list(directory, limit: 1_000_000) where !entry.attributes.isDirectory {
                guard PartFile.generation(inName: entry.name, of: file.upload) == file.generation,
                    let claim = PartFile.claim(inName: entry.name, of: file.upload), claim < own
                else { continue }
                try await session.remove("\(directory)/\(entry.name)")
            }
        }
    }
}
