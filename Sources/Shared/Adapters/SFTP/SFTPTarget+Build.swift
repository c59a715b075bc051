// Small files, prepared, shipped and sealed in two round trips where nothing is in the way.

public import Core
internal import NIOCore
internal import SFTP

extension SFTPTarget {
    /// Makes a part file out of the only part of a small file and seals it.
    public func build(
        _ file: PartFile,
        of part: Part,
        _ bytes: any ByteChunk,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> BuiltPartFile {
        let content = (bytes as? ByteBuffer) ?? bytes.withUnsafeBytes { ByteBuffer(bytes: $0) }
        let built = try await withSession { session in
            let method = await self.verification(on: session, size: part.size)
            let (handle, taken) = try await self.begin(file, on: session)
            do {
                let time = taken?.modified == modified ? modified - 1 : modified
                let wanted = Wanted(modified: UInt32(clamping: time), attributes: attributes, method: method)
                let filled = try await self.fill(handle, file, part, content, wanted, on: session)
                guard filled.facts.size == part.size else {
                    throw TargetError(
                        .partFileLost,
                        "\(file.name) has \(filled.facts.size) bytes instead of \(part.size)"
                    )
                }
                let sealed = SealedSFTPFile(
                    target: self,
                    file: file,
                    handle: handle,
                    facts: filled.facts,
                    isUntouched: true,
                    flushes: self.flushes(on: session),
                    rest: filled.rest
                )
                return BuiltPartFile(sealed: sealed, verification: method)
            } catch SFTPError.status(.failure, let message, let operation, let path) {
                handle.release()
                let error = SFTPError.status(code: .failure, message: message, operation: operation, path: path)
                throw await self.explain(error, on: session, needed: part.size)
            } catch {
                handle.release()
                throw error
            }
        }
        guard built.verification == .digest else { return built }
        do throws(TargetError) { try await proveByDigest(part, at: PartPlace(name: absolute(file), offset: 0)) } catch {
            await built.sealed.close()
            throw error
        }
        return built
    }

    /// What a part file is to be.
    private struct Wanted {
        let modified: UInt32
        let attributes: FinalAttributes
        let method: Verification
    }

    /// What a part file is, and the attributes that it gets once it has its name.
    private struct Filled {
        let facts: FileFacts
        let rest: FileAttributes
    }

    // MARK: Making it

    /// Makes the part file where nothing but it can be meant; answers what lies at its final path, too.
    private func begin(_ file: PartFile, on session: SFTPSession) async throws -> (SFTPFile, FileFacts?) {
        let directory = directory(of: file.path)
        if let home = homes.home(of: directory), let begun = try await begin(file, in: home, on: session) {
            return begun
        }
        homes.forget(directory)
        try await ensure(file.path.directory, at: directory, on: session)
        let found = try await Self.lstat(absolute(file.path), on: session)
        try Self.checkFinal(found, file.path)
        // Looked at again after everything else, and believed only if it still lies below the root.
        let home = try await session.realpath(directory)
        guard Self.isInside(home, try await session.realpath(options.root)) else {
            throw TargetError(.pathRefused, "\(home) is not below the root \(options.root)")
        }
        let handle = try await make(file, on: session)
        homes.note(directory, leadsTo: home)
        return (handle, found.map(FileFacts.init))
    }

    /// The same in one round trip, in a directory that was looked at before; nil where it leads elsewhere now, or is gone.
    private func begin(
        _ file: PartFile,
        in home: String,
        on session: SFTPSession
    ) async throws -> (SFTPFile, FileFacts?)? {
        let opened: Opened
        do throws(SFTPError) { opened = try await look(file, on: session) } catch {
            // Whatever it was, the long way finds it again, and says what.
            guard case .status = error, !error.isConnectionLoss else { throw error }
            return nil
        }
        do {
            let found = try opened.final.get()
            guard try opened.home.get() == home else {
                // Where its directory led just now. No byte was written there.
                opened.handle.release()
                try? await session.remove(absolute(file))
                return nil
            }
            try Self.checkFinal(found, file.path)
            return (opened.handle, found.map(FileFacts.init))
        } catch {
            opened.handle.release()
            try? await session.remove(absolute(file))
            throw error
        }
    }

    /// A part file that was opened, where its directory leads, and what lies at its final path.
    private typealias Opened = (
        handle: SFTPFile, home: Result<String, SFTPError>, final: Result<FileAttributes?, SFTPError>
    )

    private func look(_ file: PartFile, on session: SFTPSession) async throws(SFTPError) -> Opened {
        let (directory, final) = (directory(of: file.path), absolute(file.path))
        if session.capabilities.isOpenSSH {
            let opened = try await session.open(
                absolute(file),
                Self.buildFlags,
                permissions: 0o600,
                resolving: directory,
                lookingAt: final
            )
            return (opened.file, opened.directory, opened.neighbour)
        }
        async let home = Self.result { () async throws(SFTPError) in try await session.realpath(directory) }
        async let found = Self.result { () async throws(SFTPError) in try await Self.lstat(final, on: session) }
        return (try await open(file, on: session), await home, await found)
    }

    private static func result<Value: Sendable>(
        _ ask: @Sendable () async throws(SFTPError) -> Value
    ) async -> Result<Value, SFTPError> {
        do throws(SFTPError) { return .success(try await ask()) } catch { return .failure(error) }
    }

    private static var buildFlags: OpenFlags { [.read, .write, .create, .exclusive] }

    private func open(_ file: PartFile, on session: SFTPSession) async throws(SFTPError) -> SFTPFile {
        try await session.open(absolute(file), Self.buildFlags, permissions: 0o600)
    }

    private func make(_ file: PartFile, on session: SFTPSession) async throws -> SFTPFile {
        do throws(SFTPError) { return try await open(file, on: session) } catch {
            guard error.isUnexplained else { throw error }
            throw await explain(error, on: session, needed: 4_096)
        }
    }

    // MARK: Filling it

    /// Writes, flushes, proves and seals.
    private func fill(
        _ handle: SFTPFile,
        _ file: PartFile,
        _ part: Part,
        _ content: ByteBuffer,
        _ wanted: Wanted,
        on session: SFTPSession
    ) async throws -> Filled {
        var attributes = FileAttributes(accessTime: wanted.modified, modificationTime: wanted.modified)
        attributes.permissions = mode(wanted.attributes).untilRenamed.bits
        let reads = wanted.method == .readback
        var result: SmallFileResult?
        do throws(SFTPError) {
            result = try await handle.writeSmall(
                content,
                setting: attributes,
                flushes: flushes(on: session),
                readsBack: reads
            )
        } catch {
            guard error.isRefusedWrite else { throw error }
        }
        guard let result else {
            // Some servers announce more than they take: again in small requests, and one after the other.
            try await handle.write(content, at: 0)
            return try await finish(handle, file, part, wanted, on: session)
        }
        if let bytes = result.bytes {
            try Self.expect(try SHA256Hasher.digest(of: bytes), of: part, at: 0, in: handle)
        }
        // Owner and group are for one after the other, too: some are refused apart from the rest.
        guard result.refusal == nil, options.owner == nil, options.group == nil else {
            return try await finish(handle, file, part, wanted, on: session)
        }
        return Filled(facts: FileFacts(result.attributes), rest: rest(wanted.attributes))
    }

    /// The steps after writing, each on its own.
    private func finish(
        _ handle: SFTPFile,
        _ file: PartFile,
        _ part: Part,
        _ wanted: Wanted,
        on session: SFTPSession
    ) async throws -> Filled {
        let rest = try await setBeforeRename(
            handle,
            file,
            from: try await handle.fstat(),
            modified: wanted.modified,
            wanted.attributes,
            on: session
        )
        if flushes(on: session) { try await handle.fsync() }
        if wanted.method == .readback { try await Self.readBack(part, at: 0, from: handle) }
        return Filled(facts: FileFacts(try await handle.fstat()), rest: rest)
    }

    private func flushes(on session: SFTPSession) -> Bool {
        options.flushes && session.capabilities.supports(SFTPExtension.fsync)
    }
}
