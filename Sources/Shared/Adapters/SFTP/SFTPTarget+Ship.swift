// Parts on their way to the target: written, flushed, and proven where they lie.

public import Core
internal import NIOCore
internal import SFTP

/// Where a part lies on the target.
struct PartPlace: Sendable {
    /// The file's absolute path.
    let name: String
    /// Where the part begins in it.
    let offset: Int64
}

extension SFTPTarget {
    /// Where a part is shipped to.
    func place(of part: Part, in file: PartFile) -> PartPlace {
        guard file.strategy.keepsPartsApart else { return PartPlace(name: absolute(file), offset: part.offset) }
        return PartPlace(name: join(partsDirectory(file), PartsDirectory.name(of: part)), offset: 0)
    }

    /// Writes a part to its place, flushes it, and proves that it arrived.
    public func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification {
        if file.strategy.shipsInMerge { return .size }
        let part = reader.part
        let place = place(of: part, in: file)
        let flushes = options.flushes
        return try await withSession { session in
            let method = await self.verification(on: session, size: part.size)
            let canFlush = flushes && session.capabilities.supports(SFTPExtension.fsync)
            // Nothing is asked of the file afterwards.
            let closes = method == .size && session.capabilities.isOpenSSH && !file.strategy.keepsPartsApart
            var handle = try await self.open(place, of: file, reads: method == .readback, on: session)
            do {
                do {
                    let flushesAtOnce = closes ? canFlush : nil
                    try await Self.write(reader, to: handle, at: place.offset, on: session, closing: flushesAtOnce)
                    if closes { return method }
                } catch let refusal as SFTPError
                    where refusal.isRefusedWrite && (closes || file.strategy.keepsPartsApart)
                {
                    // Where only the end of a file is written, what an earlier attempt left is in the way.
                    try? await handle.close()
                    if !closes { try await session.remove(place.name) }
                    handle = try await self.open(place, of: file, reads: method == .readback, on: session)
                    try await Self.write(reader, to: handle, at: place.offset, on: session)
                }
                try await self.prove(part, at: place, by: method, handle, flushes: canFlush)
            } catch SFTPError.status(.failure, let message, let operation, let path) {
                let error = SFTPError.status(code: .failure, message: message, operation: operation, path: path)
                try? await handle.close()
                throw await self.explain(error, on: session, needed: part.size)
            } catch {
                try? await handle.close()
                throw error
            }
            return method
        }
    }

    /// Flushes what was written, proves it, and closes the file.
    private func prove(
        _ part: Part,
        at place: PartPlace,
        by method: Verification,
        _ handle: SFTPFile,
        flushes: Bool
    ) async throws {
        switch method {
        case .size: try await handle.close(flushing: flushes)
        case .readback:
            if flushes { try await handle.fsync() }
            try await Self.readBack(part, at: place.offset, from: handle)
            try await handle.close()
        case .digest:
            // It reads what the server has confirmed, be that flushed or not.
            async let isFlushed: Void = handle.close(flushing: flushes)
            do { try await proveByDigest(part, at: place) } catch {
                guard error.kind == .partFileLost else { throw error }
                // Where a target is several machines, another one may see it only now.
                try await isFlushed
                try await proveByDigest(part, at: place)
            }
            try await isFlushed
        }
    }

    /// Opens what a part is written into. Never makes the part file, so that a late worker must not bring a finished one
    /// back; a file for a part alone only where the directory of its generation still is.
    private func open(
        _ place: PartPlace,
        of file: PartFile,
        reads: Bool,
        on session: SFTPSession
    ) async throws -> SFTPFile {
        let isApart = file.strategy.keepsPartsApart
        var flags: OpenFlags = reads ? [.read, .write] : .write
        if isApart { flags.insert(.create) }
        let refusal: SFTPError
        do throws(SFTPError) {
            return try await session.open(place.name, flags, permissions: isApart ? 0o600 : nil)
        } catch {
            refusal = error
        }
        guard case .status(let code, _, _, _) = refusal, code == .noSuchFile || code == .failure else { throw refusal }
        // Not every server tells a missing directory from any other failure.
        let needed = isApart ? partsDirectory(file) : place.name
        guard try await Self.lstat(needed, on: session) == nil else {
            throw code == .failure ? await explain(refusal, on: session, needed: 4_096) : TargetError(refusal)
        }
        throw TargetError(.partFileLost, "the part file \(file.name) is gone")
    }

    func proveByDigest(_ part: Part, at place: PartPlace) async throws(TargetError) {
        guard let found = try await digests.digest(of: place.name, offset: place.offset, size: part.size) else {
            let isThere = try await withSession { try await Self.lstat(place.name, on: $0) != nil }
            guard isThere else { throw TargetError(.partFileLost, "\(place.name) is gone") }
            // Commands see other files than SFTP does, where an account is shown one directory only.
            await digests.distrust()
            throw TargetError(.interrupted, "commands on the target do not see \(place.name)")
        }
        guard found == part.digest else {
            throw TargetError(
                .partFileLost,
                "\(place.name) at \(place.offset): expected \(part.digest), found \(found)"
            )
        }
    }

    /// Proves a part once more, by a digest taken on the target or by reading it back.
    public func prove(_ part: Part, in file: PartFile) async throws(TargetError) {
        let place = PartPlace(name: absolute(file), offset: part.offset)
        if await digests.isAvailable { return try await proveByDigest(part, at: place) }
        try await withSession { session in
            let handle = try await Self.openPartFile(place.name, .read, on: session)
            do { try await Self.readBack(part, at: place.offset, from: handle) } catch {
                try? await handle.close()
                throw error
            }
            try? await handle.close()
        }
    }

    /// Opens a part file that must be there.
    static func openPartFile(_ name: String, _ flags: OpenFlags, on session: SFTPSession) async throws -> SFTPFile {
        do throws(SFTPError) {
            return try await session.open(name, flags, permissions: nil)
        } catch {
            guard case .status(.noSuchFile, _, _, _) = error else { throw error }
            throw TargetError(.partFileLost, "\(name) is gone")
        }
    }

    /// Writes a part and marks its file, before the proof: what is written after it leaves another time.
    ///
    /// - Parameter flushes: closes it, too, all in one round trip, and whether it is flushed before; nil leaves it open.
    private static func write(
        _ reader: any PartReader,
        to handle: SFTPFile,
        at offset: Int64,
        on session: SFTPSession,
        closing flushes: Bool? = nil
    ) async throws {
        let piece = session.writeLength
        var position: Int64 = 0
        func next() async throws -> ByteBuffer? {
            let bytes = try await read(reader, at: position, piece: piece)
            position += Int64(bytes?.readableBytes ?? 0)
            return bytes
        }
        if let flushes {
            try await handle.writeAndClose(at: UInt64(offset), thenSetting: mark(), flushing: flushes, from: next)
        } else {
            try await handle.write(at: UInt64(offset), thenSetting: mark(), from: next)
        }
    }

    /// The bytes of a staged part from a position on, so many at most; nil at its end.
    static func read(_ reader: any PartReader, at position: Int64, piece: Int) async throws -> ByteBuffer? {
        let size = reader.part.size
        guard position < size else { return nil }
        let chunk = try await reader.read(at: position, count: piece)
        guard chunk.count > 0 else { throw StagingError.wrongLength(expected: size, received: position) }
        if let buffer = chunk as? ByteBuffer { return buffer }
        return chunk.withUnsafeBytes { ByteBuffer(bytes: $0) }
    }

    static func readBack(_ part: Part, at offset: Int64, from handle: SFTPFile) async throws {
        try expect(try await sha256(of: handle, at: offset, length: part.size), of: part, at: offset, in: handle)
    }

    /// Holds what was read back against what was shipped.
    static func expect(
        _ found: SHA256Digest,
        of part: Part,
        at offset: Int64,
        in handle: SFTPFile
    ) throws(TargetError) {
        guard found == part.digest else {
            throw TargetError(
                .partFileLost,
                "\(handle.path) at \(offset): expected \(part.digest), read back \(found)"
            )
        }
    }

    static func sha256(of handle: SFTPFile, at offset: Int64, length: Int64) async throws -> SHA256Digest {
        let hasher = try SHA256Hasher()
        try await handle.read(at: UInt64(offset), length: UInt64(length)) { piece in
            try piece.withUnsafeReadableBytes { try hasher.update($0) }
        }
        return try hasher.finish()
    }

    /// How a part will be proven: where nothing else is asked for, by a digest if the target runs commands, by reading
    /// back small parts and where nothing is flushed, else by size.
    func verification(on session: SFTPSession, size: Int64) async -> Verification {
        switch options.verify {
        case .digest: return .digest
        case .size: return .size
        case .readback: return .readback
        case .auto:
            // Taking a digest costs two processes on the target: reading a few bytes back is cheaper.
            if size <= 65_536 { return .readback }
            if await digests.isAvailable { return .digest }
            let canFlush = session.capabilities.supports(SFTPExtension.fsync) || !options.flushes
            return size <= Self.readBackSize || !canFlush ? .readback : .size
        }
    }

    /// Version 3 has one code for most failures (draft-ietf-secsh-filexfer-02 §7): a full disk is told from the rest
    /// by looking at the space that is left.
    func explain(_ error: SFTPError, on session: SFTPSession, needed: Int64) async -> TargetError {
        let plain = TargetError(error)
        guard plain.kind == .failed, session.capabilities.supports(SFTPExtension.statvfs),
            let space = try? await session.statvfs(options.root)
        else { return plain }
        guard space.availableBytes >= UInt64(max(needed, 1)) else {
            return TargetError(.diskFull, "\(space.availableBytes) bytes are left on the target: \(error)")
        }
        guard case .status(_, _, "write", _) = error else { return plain }
        return TargetError(
            .failed,
            "\(error), though \(space.availableBytes) bytes are left: is it a quota, or a limit of the server?"
        )
    }
}
