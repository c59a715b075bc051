// Making room for a generation on a target: directories below the root, space, and an empty part file.

public import Core
internal import SFTP

extension SFTPTarget {
    /// Makes an empty part file where nothing but it can be meant.
    public func prepare(_ file: PartFile, size: Int64?) async throws(TargetError) {
        let part = absolute(file)
        let final = absolute(file.path)
        let directory = directory(of: file.path)
        let components = file.path.directory
        try await withSession { session in
            try await self.ensure(components, at: directory, on: session)
            // One round trip for what does not depend on each other.
            async let found = Self.lstat(final, on: session)
            async let space = self.space(at: directory, on: session)
            if let found = try await found {
                let facts = FileFacts(found)
                guard facts.kind == .file else {
                    throw TargetError(.pathRefused, "\(file.path) is there and is not a file but a \(facts.kind)")
                }
            }
            if let size, let space = try await space, space < UInt64(size) {
                throw TargetError(.diskFull, "\(size) bytes are needed, \(space) are left")
            }
            do {
                let handle = try await session.open(part, [.write, .create, .exclusive], permissions: 0o600)
                try await handle.close()
            } catch SFTPError.status(.failure, let message, let operation, let path) {
                let error = SFTPError.status(code: .failure, message: message, operation: operation, path: path)
                throw await self.explain(error, on: session, needed: 4_096)
            }
        }
    }

    private func space(at directory: String, on session: SFTPSession) async throws -> UInt64? {
        guard session.capabilities.supports(SFTPExtension.statvfs) else { return nil }
        return try await session.statvfs(directory).availableBytes
    }

    /// Makes sure that a directory is there, below the root, and that no symbolic link on the way leads out.
    private func ensure(_ components: [String], at directory: String, on session: SFTPSession) async throws {
        async let realRoot = session.realpath(options.root)
        async let realDirectory = session.realpath(directory)
        async let attributes = Self.stat(directory, on: session)
        let root = try await realRoot
        if let found = try await attributes {
            guard found.isDirectory else { throw TargetError(.pathRefused, "\(directory) is not a directory") }
            try check(try await realDirectory, below: root)
            return
        }
        _ = try? await realDirectory
        guard !components.isEmpty else { throw TargetError(.notFound, "the root \(options.root) is missing") }
        // Step by step, so that nothing is made behind a link that leads out.
        var path = options.root
        guard let found = try await Self.stat(path, on: session), found.isDirectory else {
            throw TargetError(.notFound, "the root \(options.root) is missing")
        }
        for component in components {
            path += path.hasSuffix("/") ? component : "/\(component)"
            if let found = try await Self.lstat(path, on: session) {
                if found.isSymbolicLink { try check(try await session.realpath(path), below: root) }
                continue
            }
            do {
                try await session.mkdir(path, permissions: 0o755)
            } catch SFTPError.status(.failure, _, _, _) {
                // Somebody else may have made it meanwhile.
                guard let found = try await Self.stat(path, on: session), found.isDirectory else {
                    throw TargetError(.pathRefused, "\(path) cannot be made, and is not a directory")
                }
            }
        }
        try check(try await session.realpath(path), below: root)
    }

    private static func stat(_ path: String, on session: SFTPSession) async throws(SFTPError) -> FileAttributes? {
        do {
            return try await session.stat(path)
        } catch .status(.noSuchFile, _, _, _) {
            return nil
        }
    }

    /// Compared component by component, so that `/srv/incoming2` does not pass for `/srv/incoming`.
    private func check(_ path: String, below root: String) throws(TargetError) {
        let inside = path.split(separator: "/").starts(with: root.split(separator: "/"))
        guard inside else { throw TargetError(.pathRefused, "\(path) is not below the root \(root)") }
    }
}
