// Parts that lie apart, put together in the part file: by the server itself, or over this worker.
//
// Whatever the strategy, only a part's own bytes are ever written to its own place, into a file that is never made or
// cut here. So two who do it at once, or one who comes late, write the same; a record only saves work.

public import Core
internal import NIOCore
internal import SFTP

/// A step of an assembly.
enum AssemblyStep: Hashable, Sendable {
    /// The part file is open.
    case opened
    /// The part of this index is in its place.
    case placed(Int)
    /// It is flushed, where the target can.
    case flushed(Int)
    /// That it is there is recorded.
    case recorded(Int)
    /// All parts are in their places.
    case written
    /// The part file carries the mark of a file that nobody writes into.
    case marked
    /// All parts are proven.
    case proven
}

/// Is told of every step of an assembly; what it throws ends the assembly there.
typealias AssemblyWatch = @Sendable (AssemblyStep) async throws -> Void

extension SFTPTarget {
    /// The most that a server is asked to copy at once, in bytes: it answers nothing else meanwhile.
    static let copyLength: Int64 = 64 << 20
    /// What a relay reads before it writes it on, in bytes.
    static let relayLength = 1 << 20
    /// How much may be in its place without being recorded, by bytes and by time: what a kill costs.
    static let unrecorded: (bytes: Int64, time: Duration) = (64 << 20, .seconds(2))

    /// Makes the part file out of the parts, and proves each in its place.
    public func assemble(
        _ file: PartFile,
        of parts: [Part],
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) -> Verification? {
        switch file.strategy {
        case .inPlace: return nil
        case .copy, .relay: try await place(parts, in: file)
        case .script: try await scripts.place(parts, in: self, file, reached: reached)
        case .stream:
            if try await showsWhatIsClosed() { return try await streamUnseen(parts, into: file, from: open) }
            try await stream(parts, into: file, from: open)
        }
        return try await proveAll(parts, in: file)
    }

    // MARK: One part after the other

    private func place(_ parts: [Part], in file: PartFile) async throws(TargetError) {
        try await withSession { session in
            if file.strategy == .copy, !session.capabilities.supports(SFTPExtension.copyData) {
                throw SFTPError.unsupported(extension: SFTPExtension.copyData)
            }
            let handle = try await Self.openPartFile(self.absolute(file), .write, on: session)
            do {
                try await self.place(parts, in: file, handle, on: session)
            } catch SFTPError.status(.failure, let message, let operation, let path) {
                let error = SFTPError.status(code: .failure, message: message, operation: operation, path: path)
                try? await handle.close()
                throw await self.explain(error, on: session, needed: parts.map(\.size).max() ?? 1)
            } catch {
                try? await handle.close()
                throw error
            }
            try await handle.close()
            try await self.reached(.written)
        }
    }

    private func place(_ parts: [Part], in file: PartFile, _ handle: SFTPFile, on session: SFTPSession) async throws {
        try await reached(.opened)
        let flushes = options.flushes && session.capabilities.supports(SFTPExtension.fsync)
        let size = Int64(clamping: try await handle.fstat().size ?? 0)
        let record = try await record(of: file, on: session)
        let start = record?.start(of: parts, fileSize: size) ?? 0
        var recorded = (end: start == 0 ? 0 : parts[start - 1].end, at: ContinuousClock.now)
        for index in start..<parts.count {
            let part = parts[index]
            let source = try await Self.openPartFile(place(of: part, in: file).name, .read, on: session)
            do {
                async let isWhole: Void = Self.check(source, has: part)
                do {
                    if file.strategy == .copy {
                        try await Self.copy(part, from: source, to: handle)
                    } else {
                        try await Self.relay(part, from: source, to: handle)
                    }
                } catch {
                    // A part that is too short is why, whatever the server says of it.
                    try await isWhole
                    throw error
                }
                try await isWhole
            } catch {
                try? await source.close()
                throw error
            }
            try await source.close()
            try await reached(.placed(index))
            guard
                part.end - recorded.end >= recordedEvery || .now - recorded.at >= Self.unrecorded.time
                    || index == parts.count - 1
            else { continue }
            // A record must not outlive what it tells of.
            if flushes { try await handle.fsync() }
            try await reached(.flushed(index))
            try await write(AssemblyRecord(next: index + 1, size: part.end), of: file, on: session)
            try await reached(.recorded(index))
            recorded = (part.end, .now)
        }
    }

    private static func check(_ source: SFTPFile, has part: Part) async throws {
        let size = try await source.fstat().size
        guard size == UInt64(part.size) else {
            throw TargetError(.partFileLost, "\(source.path) has \(size ?? 0) bytes instead of \(part.size)")
        }
    }

    /// Has the server copy a part.
    private static func copy(_ part: Part, from source: SFTPFile, to handle: SFTPFile) async throws {
        var position: Int64 = 0
        while position < part.size {
            let length = min(copyLength, part.size - position)
            try await handle.copyData(
                from: source,
                sourceOffset: UInt64(position),
                length: UInt64(length),
                at: UInt64(part.offset + position)
            )
            position += length
        }
    }

    /// Reads a part and writes it on; its bytes are hashed on the way.
    private static func relay(_ part: Part, from source: SFTPFile, to handle: SFTPFile) async throws {
        do {
            try await relay(part, from: source, to: handle, skipping: 0)
        } catch SFTPError.status(let code, let message, let operation, let path) {
            // A server that only writes at a file's end refuses what lies before it.
            let skipped = Int64(clamping: try await handle.fstat().size ?? 0) - part.offset
            guard code == .failure || code == .operationUnsupported, skipped > 0 else {
                throw SFTPError.status(code: code, message: message, operation: operation, path: path)
            }
            try await relay(part, from: source, to: handle, skipping: min(skipped, part.size))
        }
    }

    private static func relay(
        _ part: Part,
        from source: SFTPFile,
        to handle: SFTPFile,
        skipping skipped: Int64
    ) async throws {
        let hasher = try SHA256Hasher()
        var position: Int64 = 0
        try await handle.write(at: UInt64(part.offset + skipped)) {
            while position < part.size {
                let length = min(relayLength, Int(part.size - position))
                var bytes = try await source.read(at: UInt64(position), length: length)
                guard bytes.readableBytes > 0 else { break }
                try bytes.withUnsafeReadableBytes { try hasher.update($0) }
                position += Int64(bytes.readableBytes)
                let surplus = Int64(bytes.readableBytes) - (position - skipped)
                if surplus > 0 { bytes.moveReaderIndex(forwardBy: min(Int(surplus), bytes.readableBytes)) }
                if bytes.readableBytes > 0 { return bytes }
            }
            return nil
        }
        let found = try hasher.finish()
        guard found == part.digest else {
            throw TargetError(.partFileLost, "\(source.path): expected \(part.digest), read \(found)")
        }
    }

    // MARK: The record

    private func record(of file: PartFile, on session: SFTPSession) async throws -> AssemblyRecord? {
        let name = join(partsDirectory(file), PartsDirectory.record)
        let handle: SFTPFile
        do {
            handle = try await session.open(name, .read)
        } catch SFTPError.status(.noSuchFile, _, _, _) {
            return nil
        }
        let bytes = try await handle.read(at: 0, length: AssemblyRecord.limit)
        try await handle.close()
        return AssemblyRecord(json: bytes.readableBytesView)
    }

    /// Replaces the record. Where that is not one step, a broken one tells nothing, and all begins anew.
    private func write(_ record: AssemblyRecord, of file: PartFile, on session: SFTPSession) async throws {
        let name = join(partsDirectory(file), PartsDirectory.record)
        let isOneStep = session.capabilities.supports(SFTPExtension.posixRename)
        let unfinished = isOneStep ? name + PartsDirectory.unfinished : name
        do {
            let handle = try await session.open(unfinished, [.write, .create, .truncate], permissions: 0o600)
            try await handle.write(ByteBuffer(bytes: try record.json()), at: 0)
            try await handle.close()
            if isOneStep { try await session.posixRename(unfinished, to: name) }
        } catch SFTPError.status(.noSuchFile, _, _, _) {
            // Another who records at the same moment may have renamed it already.
            guard try await Self.lstat(partsDirectory(file), on: session) != nil else {
                throw TargetError(.partFileLost, "\(file.directoryName) is gone")
            }
        }
    }

    // MARK: Proving

    /// Proves every part in its place in the part file, as well as was asked for and the target allows; answers the
    /// weakest proof. What is written after it shows in the file's time.
    private func proveAll(_ parts: [Part], in file: PartFile) async throws(TargetError) -> Verification {
        let name = absolute(file)
        let size = parts.last?.end ?? 0
        let methods = try await withSession { session in
            let handle = try await Self.openPartFile(name, Self.sealFlags(of: file), on: session)
            do {
                try? await handle.setAttributes(Self.mark())
                try await self.reached(.marked)
                let found = try await handle.fstat().size ?? 0
                guard found == UInt64(size) else {
                    throw TargetError(.partFileLost, "\(file.name) has \(found) bytes instead of \(size)")
                }
                var methods: [Verification] = []
                for part in parts {
                    let method = await self.verification(on: session, size: part.size)
                    if method == .readback { try await Self.readBack(part, at: part.offset, from: handle) }
                    methods.append(method)
                }
                try await handle.close()
                return methods
            } catch {
                try? await handle.close()
                throw error
            }
        }
        for (part, method) in zip(parts, methods) where method == .digest {
            try await proveByDigest(part, at: PartPlace(name: name, offset: part.offset))
        }
        do { try await reached(.proven) } catch { throw TargetError(any: error) }
        return methods.min() ?? .size
    }
}
