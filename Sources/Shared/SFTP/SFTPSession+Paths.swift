// Requests that name a path.

public import NIOCore

extension SFTPSession {
    /// Opens a file. `permissions` is the mode of a file that this creates.
    public func open(
        _ path: String,
        _ flags: OpenFlags,
        permissions: UInt32? = nil
    ) async throws(SFTPError) -> SFTPFile {
        let path = try checked(path)
        let request = Request.open(path: path, flags: flags, attributes: FileAttributes(permissions: permissions))
        guard case .handle(let handle) = try await perform(request, "open", path) else {
            throw .protocolViolation("no handle in answer to open")
        }
        return SFTPFile(session: self, handle: handle, path: path)
    }

    /// Attributes of what `path` leads to.
    public func stat(_ path: String) async throws(SFTPError) -> FileAttributes {
        try await expectAttributes(.stat(checked(path)), "stat", path)
    }

    /// Attributes of `path` itself, even if it is a symbolic link.
    ///
    /// ProFTPD's mod_sftp follows a link all the same, so a server that is not OpenSSH is also asked what the link says,
    /// at the same time; then only the type of a link is told.
    public func lstat(_ path: String) async throws(SFTPError) -> FileAttributes {
        let path = try checked(path)
        if capabilities.isOpenSSH { return try await expectAttributes(.lstat(path), "lstat", path) }
        let link = ask(.readlink(path), "readlink", path)
        let found = try await expectAttributes(.lstat(path), "lstat", path)
        guard !found.isSymbolicLink else { return found }
        do throws(SFTPError) {
            _ = try await link.value()
        } catch {
            // Of what is no link a server says so, each in its own words.
            guard case .status = error, !error.isConnectionLoss else { throw error }
            return found
        }
        return FileAttributes(permissions: 0o120777)
    }

    /// Changes the attributes that are not `nil`; a size truncates or extends.
    public func setstat(_ path: String, _ attributes: FileAttributes) async throws(SFTPError) {
        try await expectStatus(.setstat(checked(path), attributes), "setstat", path)
    }

    /// Makes a directory.
    public func mkdir(_ path: String, permissions: UInt32? = nil) async throws(SFTPError) {
        let attributes = FileAttributes(permissions: permissions)
        try await expectStatus(.mkdir(checked(path), attributes), "mkdir", path)
    }

    /// Removes an empty directory.
    public func rmdir(_ path: String) async throws(SFTPError) {
        try await expectStatus(.rmdir(checked(path)), "rmdir", path)
    }

    /// Removes a file.
    public func remove(_ path: String) async throws(SFTPError) {
        try await expectStatus(.remove(checked(path)), "remove", path)
    }

    /// Plain rename of version 3: must fail when `to` exists (draft-ietf-secsh-filexfer-02 §6.5).
    public func rename(_ from: String, to: String) async throws(SFTPError) {
        try await expectStatus(.rename(from: checked(from), to: checked(to)), "rename", "\(from) → \(to)")
    }

    /// Rename that replaces `to` in one step.
    public func posixRename(_ from: String, to: String) async throws(SFTPError) {
        try await pair(SFTPExtension.posixRename, from, to)
    }

    /// Makes `to` another name of `from`.
    public func hardlink(_ from: String, to: String) async throws(SFTPError) {
        try await pair(SFTPExtension.hardlink, from, to)
    }

    private func pair(_ name: String, _ from: String, _ to: String) async throws(SFTPError) {
        _ = try await extended(name, try pairPayload(from, to), path: "\(from) → \(to)")
    }

    /// What names two paths in an extended request.
    func pairPayload(_ from: String, _ to: String) throws(SFTPError) -> ByteBuffer {
        var payload = ByteBuffer()
        payload.writeText(try checked(from))
        payload.writeText(try checked(to))
        return payload
    }

    /// Makes a symbolic link `link` that says `target`.
    public func symlink(_ link: String, target: String) async throws(SFTPError) {
        try await expectStatus(.symlink(target: checked(target), link: checked(link)), "symlink", link)
    }

    /// What a symbolic link says.
    public func readlink(_ path: String) async throws(SFTPError) -> String {
        try await oneName(.readlink(checked(path)), "readlink", path)
    }

    /// The absolute path without symbolic links, as the server resolves it.
    public func realpath(_ path: String) async throws(SFTPError) -> String {
        try await oneName(.realpath(checked(path)), "realpath", path)
    }

    private func oneName(_ request: Request, _ operation: String, _ path: String) async throws(SFTPError) -> String {
        guard case .names(let names) = try await perform(request, operation, path), names.count == 1 else {
            throw .protocolViolation("not one name in answer to \(operation)")
        }
        return names[0].name
    }

    /// The entries of a directory, without `.` and `..`.
    ///
    /// Throws ``SFTPError/limitExceeded(_:)`` when there are more than `limit`.
    public func list(_ path: String, limit: Int = 10_000) async throws(SFTPError) -> [DirectoryEntry] {
        let path = try checked(path)
        guard case .handle(let handle) = try await perform(.opendir(path), "opendir", path) else {
            throw .protocolViolation("no handle in answer to opendir")
        }
        let directory = OpenHandle(handle, mailbox: mailbox, path: path)
        var entries: [DirectoryEntry] = []
        while true {
            let reply: Reply
            do throws(SFTPError) {
                reply = try await perform(.readdir(handle), "readdir", path)
            } catch .status(code: .endOfFile, message: _, operation: _, path: _) {
                break
            }
            guard case .names(let names) = reply, !names.isEmpty else {
                throw .protocolViolation("no names in answer to readdir")
            }
            entries += names.filter { $0.name != "." && $0.name != ".." }
            guard entries.count <= limit else {
                throw .limitExceeded("more than \(limit) entries in \(path)")
            }
        }
        try await directory.close()
        return entries
    }

    /// Space of the file system that holds `path`.
    public func statvfs(_ path: String) async throws(SFTPError) -> FileSystemSpace {
        var payload = ByteBuffer()
        payload.writeText(try checked(path))
        let answer = try await extended(SFTPExtension.statvfs, payload, path: path)
        return try FileSystemSpace(decoding: answer)
    }

    /// Sends an extended request the server announced and returns the body of its answer, empty for a plain success.
    ///
    /// `force` sends it even if it was not announced: ProFTPD answers `check-file` unannounced.
    public func extended(
        _ name: String,
        _ payload: ByteBuffer,
        path: String,
        force: Bool = false
    ) async throws(SFTPError) -> ByteBuffer {
        guard force || capabilities.supports(name) else { throw .unsupported(extension: name) }
        do throws(SFTPError) {
            let reply = try await perform(.extended(name: name, payload: payload), name, path)
            if case .extended(let body) = reply { return body }
            return ByteBuffer()
        } catch .status(code: .operationUnsupported, message: _, operation: _, path: _) {
            throw .unsupported(extension: name)
        }
    }
}

extension FileSystemSpace {
    /// Decodes the answer to `statvfs@openssh.com` (OpenSSH PROTOCOL §4.4).
    init(decoding answer: ByteBuffer) throws(SFTPError) {
        var reader = PacketReader(answer)
        var fields: [UInt64] = []
        for _ in 0..<11 { fields.append(try reader.integer(UInt64.self, "field of statvfs")) }
        try reader.finish()
        let fragment = fields[1] == 0 ? fields[0] : fields[1]
        func bytes(_ blocks: UInt64) -> UInt64 {
            let (product, overflow) = blocks.multipliedReportingOverflow(by: fragment)
            return overflow ? .max : product
        }
        self.init(
            totalBytes: bytes(fields[2]),
            freeBytes: bytes(fields[3]),
            availableBytes: bytes(fields[4]),
            availableFiles: fields[7],
            isReadOnly: fields[9] & 1 != 0,
            maximumNameLength: fields[10]
        )
    }
}
