// For gateways that rename nothing, but show a file only once its handle is closed: closing is the commit.

public import Core
internal import SFTP
internal import Synchronization

/// A file that is written whole under its final name, and not shown there yet.
struct OpenStream: Sendable {
    /// A session of its own: giving the file up means to end it, since closing the handle would show the file.
    let session: SFTPSession
    let handle: SFTPFile
    let parts: [Part]
    /// How it is proven once it is shown.
    let verification: Verification
    /// Told when its session has ended.
    let ended: @Sendable () -> Void

    /// Never shows the file.
    func abandon() async {
        await session.close()
        ended()
        // A handle that goes closes its file; until here it must not.
        withExtendedLifetime(handle) {}
    }
}

/// The files that merges of a target have written and not shown yet.
final class OpenStreams: Sendable {
    private let streams = Mutex<[PartFile: OpenStream]>([:])

    func put(_ stream: OpenStream, for file: PartFile) { streams.withLock { $0[file] = stream } }

    /// Whoever takes one ends it.
    func take(_ file: PartFile) -> OpenStream? { streams.withLock { $0.removeValue(forKey: file) } }

    func look(_ file: PartFile) -> OpenStream? { streams.withLock { $0[file] } }

    func abandonAll() async {
        let all = streams.withLock { streams in
            defer { streams = [:] }
            return Array(streams.values)
        }
        for stream in all { await stream.abandon() }
    }
}

/// A whole file that appears when it is renamed, which here is to close it.
private struct SealedStream: SealedPartFile {
    let streams: OpenStreams
    let file: PartFile
    let facts: FileFacts
    /// Nobody else can write into it.
    var isUntouched: Bool { true }

    /// It got all when it was sealed.
    func settle() async throws(TargetError) {}

    func close() async { await streams.take(file)?.abandon() }
}

extension SFTPTarget {
    /// Writes all parts under the final name, on a session of its own, and keeps the handle open.
    func streamUnseen(
        _ parts: [Part],
        into file: PartFile,
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) -> Verification {
        await streams.take(file)?.abandon()
        do {
            let (session, ended) = try await connect(for: file)
            var opened: SFTPFile?
            do {
                let flags: OpenFlags = [.write, .create, .truncate]
                let handle = try await session.open(
                    absolute(file.path),
                    flags,
                    permissions: (options.mode ?? .standard).bits
                )
                opened = handle
                try await write(parts, to: handle, from: open, on: session)
                var weakest = Verification.digest
                for part in parts { weakest = min(weakest, await verification(on: session, size: part.size)) }
                let verification = parts.isEmpty ? .size : weakest
                streams.put(
                    OpenStream(
                        session: session,
                        handle: handle,
                        parts: parts,
                        verification: verification,
                        ended: ended
                    ),
                    for: file
                )
                return verification
            } catch {
                await session.close()
                ended()
                // Half a file must not be seen because its handle goes.
                withExtendedLifetime(opened) {}
                throw error
            }
        } catch {
            throw TargetError(any: error)
        }
    }

    /// A session of the file's own, counted like those of the pool until it is said to have ended.
    private func connect(for file: PartFile) async throws(SFTPError) -> (SFTPSession, ended: @Sendable () -> Void) {
        let name = "stream-\(file.upload)"
        try await pool.enter(name)
        do throws(SFTPError) {
            let session = try await SFTPSession.connect(account, logger: logger)
            await gate?.opened(name)
            return (session, { [gate] in gate?.left(name) })
        } catch {
            await gate?.failed(name, error)
            throw error
        }
    }

    /// Ends the session of a file that was written, and will not be shown.
    public func giveUp(_ file: PartFile) async { await streams.take(file)?.abandon() }

    /// What the file will be. Its time is the gateway's own, unless a client asked for one.
    func seal(
        _ stream: OpenStream,
        _ file: PartFile,
        size: Int64,
        modified: Int64,
        _ attributes: FinalAttributes
    ) async throws(TargetError) -> any SealedPartFile {
        var facts = FileFacts(kind: .file, size: size, modified: modified)
        var before = FileAttributes()
        // Not every gateway tells anything of what is being written.
        if let found = try? await stream.handle.fstat() {
            before = found
            if let found = found.size, found != UInt64(size) {
                await streams.take(file)?.abandon()
                throw TargetError(.partFileLost, "\(file.path) has \(found) bytes instead of \(size)")
            }
            if let found = found.modificationTime { facts.modified = Int64(found) }
        }
        await setBeforeClosing(stream, file, from: before, attributes)
        return SealedStream(streams: streams, file: file, facts: facts)
    }

    /// Shows the file, and proves what is shown. A cancelled merge does not stop between the two.
    func publish(_ stream: OpenStream, _ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult
    {
        let task = Task { () async throws -> RenameResult in
            do {
                let result = try await self.show(stream, file, overwrite: overwrite)
                await stream.abandon()
                return result
            } catch {
                await stream.abandon()
                throw error
            }
        }
        do { return try await task.value } catch { throw TargetError(any: error) }
    }

    private func show(_ stream: OpenStream, _ file: PartFile, overwrite: Overwrite) async throws -> RenameResult {
        let final = absolute(file.path)
        // There is no step that shows it only where nothing is: what appears from here on is replaced.
        if overwrite == .never, try await Self.lstat(final, on: stream.session) != nil { return .taken }
        try await stream.handle.close()
        let shown = try await Self.lstat(final, on: stream.session)
        do {
            switch stream.verification {
            case .size: break
            case .readback:
                let handle = try await Self.openPartFile(final, .read, on: stream.session)
                for part in stream.parts { try await Self.readBack(part, at: part.offset, from: handle) }
                try await handle.close()
            case .digest:
                for part in stream.parts {
                    try await proveByDigest(part, at: PartPlace(name: final, offset: part.offset))
                }
            }
        } catch let error as TargetError where error.kind == .partFileLost {
            guard let shown, try await Self.lstat(final, on: stream.session) == shown else {
                // Others take files as soon as they appear, or put theirs there: only a look at the name tells.
                throw TargetError(.interrupted, "\(file.path) changed since it appeared: \(error)")
            }
            // Wrong bytes must not stay to be seen.
            try? await stream.session.remove(final)
            throw error
        }
        return .renamed(atomic: overwrite == .replace)
    }
}
