// A small file in few round trips: everything that can be asked for at once is.

public import NIOCore

/// What a server said to everything that was asked of a small file at once.
public struct SmallFileResult: Sendable {
    /// What the file has after it: as the server tells it last.
    public let attributes: FileAttributes
    /// The bytes that it gives back; nil where they were not asked for.
    public let bytes: ByteBuffer?
    /// Why the attributes were not set; nil where they were.
    public let refusal: SFTPError?
}

/// What a server said of a file before and after attributes were set.
public struct SettledFile: Sendable {
    /// What it had before.
    public let before: FileAttributes
    /// What it has now, flushed if that was asked for.
    public let after: FileAttributes
    /// Why the attributes were not set; nil where they were.
    public let refusal: SFTPError?
}

/// A file that was opened, and what was seen at the same moment.
public struct OpenedFile: Sendable {
    /// The file.
    public let file: SFTPFile
    /// Where the directory led.
    public let directory: Result<String, SFTPError>
    /// What lay at the other name, without following a symbolic link; nil for nothing.
    public let neighbour: Result<FileAttributes?, SFTPError>
}

extension SFTPSession {
    /// Opens a file; just before, resolves a directory and looks at another name, in the same round trip.
    ///
    /// For OpenSSH: other servers may follow a symbolic link where they are asked not to (see ``lstat(_:)``).
    public func open(
        _ path: String,
        _ flags: OpenFlags,
        permissions: UInt32? = nil,
        resolving directory: String,
        lookingAt neighbour: String
    ) async throws(SFTPError) -> OpenedFile {
        let attributes = FileAttributes(permissions: permissions)
        var breath = Breath()
        let resolving = breath.ask(.realpath(try checked(directory)), "realpath", directory)
        let looking = breath.ask(.lstat(try checked(neighbour)), "lstat", neighbour)
        let opening = breath.ask(.open(path: try checked(path), flags: flags, attributes: attributes), "open", path)
        send(breath)
        guard case .handle(let handle) = try await opening.value() else {
            throw .protocolViolation("no handle in answer to open")
        }
        return OpenedFile(
            file: SFTPFile(session: self, handle: handle, path: path),
            directory: await resolving.result().flatMap { reply in
                if case .names(let names) = reply, names.count == 1 { return .success(names[0].name) }
                return .failure(.protocolViolation("not one name in answer to realpath"))
            },
            neighbour: await looking.result().flatMap { reply in
                if case .attributes(let found) = reply { return .success(found) }
                return .failure(.protocolViolation("no attributes in answer to lstat"))
            }.flatMapError { error in
                if case .status(.noSuchFile, _, _, _) = error { return .success(nil) }
                return .failure(error)
            }
        )
    }
}

extension SFTPFile {
    /// Gives the open file another name, then flushes and closes it, in one round trip; `isReplacing` replaces what has that
    /// name (`posix-rename@openssh.com`). The server must support `fsync@openssh.com`.
    ///
    /// - Returns: why it was not flushed, once it has the name; nil where it was.
    /// - Throws: why it has not got the name, as far as can be told.
    public func renameAndClose(to name: String, isReplacing: Bool) async throws(SFTPError) -> SFTPError? {
        let handle = try openHandle()
        let request: Request =
            if isReplacing {
                .extended(name: SFTPExtension.posixRename, payload: try session.pairPayload(path, name))
            } else {
                .rename(from: try session.checked(path), to: try session.checked(name))
            }
        var breath = Breath()
        let renaming = breath.ask(request, "rename", "\(path) → \(name)")
        let flushing = breath.ask(Self.flush(handle), SFTPExtension.fsync, path)
        release(in: &breath)
        session.send(breath)
        let flushed = await flushing.result()
        _ = try await renaming.value()
        if case .failure(let error) = flushed { return error }
        return nil
    }

    /// Asks what the file is, sets its attributes, flushes it and asks again, all at once: for servers that do what they are
    /// asked for in that order.
    ///
    /// - Parameter flushes: the server must support `fsync@openssh.com`.
    public func settle(_ attributes: FileAttributes, flushes: Bool) async throws(SFTPError) -> SettledFile {
        let handle = try openHandle()
        var breath = Breath()
        let before = breath.ask(.fstat(handle), "fstat", path)
        let setting = breath.ask(.fsetstat(handle, attributes), "fsetstat", path)
        let flush = flushes ? breath.ask(Self.flush(handle), SFTPExtension.fsync, path) : nil
        let after = breath.ask(.fstat(handle), "fstat", path)
        session.send(breath)

        let last = await after.result()
        let refusal = try await Self.refusal(of: setting)
        _ = try await flush?.value()
        guard case .attributes(let found) = try await before.value(), case .attributes(let now) = try last.get() else {
            throw .protocolViolation("no attributes in answer to fstat")
        }
        return SettledFile(before: found, after: now, refusal: refusal)
    }

    /// Why a server did not do what it was asked for; throws where it did not answer.
    private static func refusal(of reply: OneShot<Reply>) async throws(SFTPError) -> SFTPError? {
        do throws(SFTPError) { _ = try await reply.value() } catch {
            guard case .status = error, !error.isConnectionLoss else { throw error }
            return error
        }
        return nil
    }

    /// The most bytes for ``writeSmall(_:setting:flushes:readsBack:)``.
    public static let smallSize = 262_144

    /// Writes all of a small file from its start, sets its attributes, flushes it, reads it back and asks what it is, all at
    /// once: a server works through the requests of a session in the order in which they came, and one that did not would
    /// be told by what it gives back.
    ///
    /// - Parameter flushes: the server must support `fsync@openssh.com`.
    ///
    /// Throws what the server said to writing, flushing or reading; a write that was refused may not have been tried in
    /// small requests, as ``write(_:at:)`` does.
    public func writeSmall(
        _ bytes: ByteBuffer,
        setting attributes: FileAttributes,
        flushes: Bool,
        readsBack: Bool
    ) async throws(SFTPError) -> SmallFileResult {
        guard bytes.readableBytes <= Self.smallSize else {
            throw .invalidArgument("\(bytes.readableBytes) bytes for a small file")
        }
        let handle = try openHandle()
        try await session.mailbox.reserve(bytes.readableBytes)
        var breath = Breath()
        var writes: [OneShot<Reply>] = []
        var rest = bytes
        while rest.readableBytes > 0 {
            let offset = UInt64(bytes.readableBytes - rest.readableBytes)
            guard let piece = rest.readSlice(length: min(rest.readableBytes, session.writeLength)) else { break }
            writes.append(breath.ask(.write(handle, offset: offset, data: piece), "write", path))
        }
        let setting = breath.ask(.fsetstat(handle, attributes), "fsetstat", path)
        let flush = flushes ? breath.ask(Self.flush(handle), SFTPExtension.fsync, path) : nil
        var reads: [(reply: OneShot<Reply>, length: Int)] = []
        var position = 0
        while readsBack, position < bytes.readableBytes {
            let length = min(session.capabilities.readLength, bytes.readableBytes - position)
            let request = Request.read(handle, offset: UInt64(position), length: UInt32(length))
            reads.append((breath.ask(request, "read", path), length))
            position += length
        }
        let facts = breath.ask(.fstat(handle), "fstat", path)
        session.send(breath)

        // The last answer first: all others are there by then, and this task is woken once.
        let last = await facts.result()
        for write in writes { _ = try await write.value() }
        let refusal = try await Self.refusal(of: setting)
        _ = try await flush?.value()
        var found = ByteBuffer()
        // Fewer than asked for, down to nothing: what is missing is not where it belongs, and comparing tells.
        for read in reads {
            do throws(SFTPError) {
                guard case .data(var data) = try await read.reply.value() else {
                    throw .protocolViolation("no data in answer to read")
                }
                found.writeBuffer(&data)
            } catch {
                guard case .status(.endOfFile, _, _, _) = error else { throw error }
            }
        }
        guard case .attributes(let now) = try last.get() else {
            throw .protocolViolation("no attributes in answer to fstat")
        }
        return SmallFileResult(attributes: now, bytes: readsBack ? found : nil, refusal: refusal)
    }
}
