// Making room for a generation on a target: directories below the root, space, and an empty part file.

public import Core
internal import SFTP

extension SFTPTarget {
    /// Makes an empty part file where nothing but it can be meant, and a directory for parts that lie apart.
    public func prepare(_ file: PartFile, size: Int64?) async throws(TargetError) {
        try await withSession { session in try await self.prepare(file, size: size, on: session) }
    }

    private func prepare(_ file: PartFile, size: Int64?, on session: SFTPSession) async throws {
        let directory = directory(of: file.path)
        let final = absolute(file.path)
        let tellsSpace = size != nil && session.capabilities.supports(SFTPExtension.statvfs)
        // All that is only looked at travels together.
        async let there = Self.lstat(final, on: session)
        async let early = tellsSpace ? try? session.statvfs(directory) : nil
        try await ensure(file.path.directory, at: directory, on: session)
        try Self.checkFinal(try await there, file.path)
        if let size, tellsSpace {
            // Of a directory that is made only now nothing was told.
            var space = await early?.availableBytes ?? 0
            if space < UInt64(max(size, 0)) { space = try await session.statvfs(directory).availableBytes }
            // Parts that lie apart stay until the commit, beside what is made of them.
            let (twice, overflow) = size.multipliedReportingOverflow(by: 2)
            let needed = file.strategy.keepsPartsApart ? (overflow ? .max : twice) : size
            guard space >= UInt64(max(needed, 0)) else {
                throw TargetError(.diskFull, "\(needed) bytes are needed, \(space) are left")
            }
        }
        if file.strategy.shipsInMerge { return }
        do throws(SFTPError) {
            if file.strategy.keepsPartsApart {
                try await session.mkdir(partsDirectory(file), permissions: 0o700)
            }
            let handle = try await session.open(
                absolute(file),
                [.write, .create, .exclusive],
                permissions: 0o600
            )
            // A gateway keeps nothing before this.
            if session.capabilities.isOpenSSH { handle.release() } else { try await handle.close() }
        } catch {
            guard error.isUnexplained else { throw error }
            throw await explain(error, on: session, needed: 4_096)
        }
    }

    /// What lies at a final path may be replaced, or be in the way, but only where it is a file.
    static func checkFinal(_ found: FileAttributes?, _ path: TargetPath) throws(TargetError) {
        guard let facts = found.map(FileFacts.init), facts.kind != .file else { return }
        throw TargetError(.pathRefused, "\(path) is there and is not a file but a \(facts.kind)")
    }

    /// Makes sure that a directory is there, below the root, and that no symbolic link on the way leads out.
    func ensure(_ components: [String], at directory: String, on session: SFTPSession) async throws {
        async let root = session.realpath(options.root)
        async let place = components.isEmpty ? nil : Self.stat(directory, on: session)
        async let end = components.isEmpty ? nil : session.realpath(directory)
        try await Self.check(root: options.root, on: session)
        guard !components.isEmpty else { return }
        if let attributes = try await place {
            guard attributes.isDirectory else { throw TargetError(.pathRefused, "\(directory) is not a directory") }
            guard let end = try await end else { return }
            return try check(end, below: try await root)
        }
        try await makeDirectories(components, below: try await root, on: session)
    }

    /// The root is the directory that was configured, and not what somebody lets its name lead to.
    static func check(root: String, on session: SFTPSession) async throws {
        // With a slash at its end it would be what a link leads to.
        let name = String(root.reversed().drop { $0 == "/" }.reversed())
        guard let found = try await lstat(name.isEmpty ? "/" : name, on: session) else {
            // A disk that is not mounted comes back; a client's path is not to blame.
            throw TargetError(.rootMissing, "the root \(root) is missing; is it mounted?")
        }
        if found.isSymbolicLink {
            let end = (try? await session.realpath(root)).map { ", to \($0)" } ?? ""
            throw TargetError(.rootRefused, "the root \(root) is a symbolic link\(end): name the directory itself")
        }
        guard found.isDirectory else { throw TargetError(.rootRefused, "the root \(root) is not a directory") }
    }

    /// Step by step, so that nothing is made behind a link that leads out.
    private func makeDirectories(_ components: [String], below root: String, on session: SFTPSession) async throws {
        var path = options.root
        for component in components {
            path += path.hasSuffix("/") ? component : "/\(component)"
            if let found = try await Self.lstat(path, on: session) {
                try await checkPassable(path, found, below: root, on: session)
            } else {
                try await makeDirectory(path, on: session)
            }
        }
        try check(try await session.realpath(path), below: root)
    }

    /// A link is looked at before the place that it leads to: of what lies outside not even the existence is told.
    private func checkPassable(
        _ path: String,
        _ found: FileAttributes,
        below root: String,
        on session: SFTPSession
    ) async throws {
        if found.isSymbolicLink {
            do {
                try check(try await session.realpath(path), below: root)
            } catch SFTPError.status(.noSuchFile, _, _, _), SFTPError.status(.failure, _, _, _) {
                throw TargetError(.pathRefused, "\(path) is a symbolic link that leads nowhere")
            }
        }
        guard try await Self.stat(path, on: session)?.isDirectory == true else {
            throw TargetError(.pathRefused, "\(path) is not a directory")
        }
    }

    private func makeDirectory(_ path: String, on session: SFTPSession) async throws {
        do throws(SFTPError) {
            try await session.mkdir(path, permissions: 0o755)
        } catch {
            guard error.isUnexplained else { throw error }
            // Somebody else may have made it meanwhile.
            if try await Self.stat(path, on: session)?.isDirectory == true { return }
            throw await explain(error, on: session, needed: 4_096)
        }
    }

    private func check(_ path: String, below root: String) throws(TargetError) {
        guard Self.isInside(path, root) else {
            throw TargetError(.pathRefused, "\(path) is not below the root \(root)")
        }
    }
}
