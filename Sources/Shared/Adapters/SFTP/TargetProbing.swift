// Trying a target: one hidden file below its root, written, renamed and removed.

internal import Core
internal import Logging
internal import NIOCore
internal import SFTP

/// Finds out what a target can do. Makes nothing but a file of its own, `.ferry-probe.<…>` below the root, and a
/// second one beside it, and removes both.
struct TargetProbing: Sendable {
    let session: SFTPSession
    let root: String
    let suffix: String
    let configuration: SSHConfiguration
    let gate: (any ConnectionGate)?
    let logger: Logger

    /// How long all of it may take: about a hundred requests, one after the other.
    static let limit = Duration.seconds(120)
    private static let greeting = "ferry-probe"
    /// Says whether the file whose path comes as a line is there, and which programs are; one line without single quotes,
    /// so that any login shell hands it to `sh` as it is.
    private static let program = """
        exec sh -c 'echo \(greeting); IFS= read -r p; if [ -f "$p" ]; then echo sees; fi; \
        for t in \(TargetProbe.programs.joined(separator: " ")); do \
        if command -v "$t" >/dev/null 2>&1; then echo "$t"; fi; done; echo end'
        """

    private static let piece = [UInt8](repeating: 7, count: 1_000)

    /// Tries everything. Throws where no file can be made at all, and where the session is lost.
    func run() async throws -> TargetProbe {
        let name = "\(root.hasSuffix("/") ? root : root + "/").ferry-probe.\(suffix)"
        let other = name + ".2"
        try await SFTPTarget.check(root: root, on: session)
        await remove(name, other, name + ".3")
        do {
            let probe = try await look(name, other)
            await remove(name, other, name + ".3")
            return probe
        } catch {
            await remove(name, other, name + ".3")
            throw error
        }
    }

    private func remove(_ names: String...) async {
        // Even where the task that wanted to know was cancelled.
        await Task { for name in names { try? await session.remove(name) } }.value
    }

    private func look(_ name: String, _ other: String) async throws -> TargetProbe {
        var probe = TargetProbe()
        try await write(Self.piece, to: name, [.write, .create, .exclusive])
        probe.writesAtOffsets = try await tried { try await writesAtOffsets(name, other) }
        // What refuses offsets may have kept anything: from here on with a file that is known.
        await remove(name, other)
        try await write(Self.piece, to: name, [.write, .create, .exclusive])
        try await tryHandle(name, &probe)
        probe.writesAtEnd = try await tried { try await writesAtEnd(name) }
        try await write(Self.piece, to: other, [.write, .create, .exclusive])
        if session.capabilities.supports(SFTPExtension.copyData) {
            probe.copies = try await tried { try await copies(name, other) }
        }
        probe.checksFiles = try await tried { try await checksFile(other) }
        if session.capabilities.supports(SFTPExtension.statvfs) {
            probe.tellsSpace = try await tried { try await session.statvfs(root).totalBytes > 0 }
        }
        probe.commands = try await commands(name)
        try await tryRenames(name, other, &probe)
        if !probe.renames { probe.showsWhatIsClosed = try await tried { try await showsWhatIsClosed(name + ".3") } }
        return probe
    }

    /// Whether something works: a lost session is not an answer.
    private func tried(_ body: () async throws -> Bool) async throws -> Bool {
        let works: Bool
        do { works = try await body() } catch {
            guard session.isAlive, let error = error as? SFTPError, error != .cancelled else { throw error }
            return false
        }
        return works
    }

    private func write(_ bytes: [UInt8], to name: String, at offset: UInt64 = 0, _ flags: OpenFlags) async throws {
        let handle = try await session.open(name, flags, permissions: 0o600)
        do { try await handle.write(ByteBuffer(bytes: bytes), at: offset) } catch {
            try? await handle.close()
            throw error
        }
        try await handle.close()
    }

    private func content(_ name: String) async throws -> [UInt8] {
        let handle = try await session.open(name, .read)
        do {
            let bytes = try await handle.read(at: 0, length: 1 << 20)
            try await handle.close()
            return Array(bytes.readableBytesView)
        } catch {
            try? await handle.close()
            throw error
        }
    }

    /// Behind the end first, then the gap: as parts come.
    private func writesAtOffsets(_ name: String, _ other: String) async throws -> Bool {
        try await write(Self.piece, to: name, at: 2_000, .write)
        try await write([UInt8](repeating: 8, count: 1_000), to: name, at: 1_000, .write)
        return try await content(name) == Self.piece + [UInt8](repeating: 8, count: 1_000) + Self.piece
    }

    private func writesAtEnd(_ name: String) async throws -> Bool {
        let size = UInt64(try await content(name).count)
        try await write([UInt8](repeating: 9, count: 10), to: name, at: size, .write)
        let found = try await content(name)
        return found.suffix(10) == ArraySlice([UInt8](repeating: 9, count: 10)) && UInt64(found.count) == size + 10
    }

    /// What an open handle can do. Its file is what was written, whatever that is afterwards.
    private func tryHandle(_ name: String, _ probe: inout TargetProbe) async throws {
        let handle = try await session.open(name, [.write, .truncate])
        do {
            let largest = session.writeLength
            let isLarge = try await tried {
                try await handle.write(ByteBuffer(repeating: 7, count: largest), at: 0)
                return true
            }
            // What was refused in large requests was repeated in small ones.
            probe.largestWrite = isLarge ? session.writeLength : 0
            if session.capabilities.supports(SFTPExtension.fsync) {
                probe.flushes = try await tried {
                    try await handle.fsync()
                    return true
                }
            }
            probe.keepsTimes = try await tried {
                let time: UInt32 = 1_000_000_800
                try await handle.setAttributes(FileAttributes(accessTime: time, modificationTime: time))
                return try await handle.fstat().modificationTime == time
            }
        } catch {
            try? await handle.close()
            throw error
        }
        try await handle.close()
    }

    private func copies(_ name: String, _ other: String) async throws -> Bool {
        let source = try await session.open(name, .read)
        let target: SFTPFile
        do { target = try await session.open(other, .write) } catch {
            try? await source.close()
            throw error
        }
        do {
            try await target.copyData(from: source, sourceOffset: 0, length: 500, at: 1_000)
        } catch {
            try? await source.close()
            try? await target.close()
            throw error
        }
        try await source.close()
        try await target.close()
        let expected = try await Array(content(name).prefix(500))
        return try await Array(content(other).dropFirst(1_000).prefix(500)) == expected
    }

    /// ProFTPD answers version 3 clients without announcing it.
    private func checksFile(_ name: String) async throws -> Bool {
        let bytes = try await content(name)
        var payload = ByteBuffer()
        for text in [name, "sha256"] {
            payload.writeInteger(UInt32(text.utf8.count))
            payload.writeString(text)
        }
        payload.writeMultipleIntegers(UInt64(0), UInt64(bytes.count), UInt32(0))
        let answer = try await session.extended("check-file-name", payload, path: name, force: true)
        let hasher = try SHA256Hasher()
        try bytes.withUnsafeBytes { try hasher.update($0) }
        return answer.readableBytesView.suffix(32).elementsEqual(try hasher.finish().bytes)
    }

    private func tryRenames(_ name: String, _ other: String, _ probe: inout TargetProbe) async throws {
        let third = name + ".3"
        probe.renames = try await tried {
            try await session.rename(other, to: third)
            try await session.rename(third, to: other)
            return true
        }
        await remove(third)
        guard probe.renames else { return }
        let kept = try await content(other)
        probe.leavesTakenNames = try await !tried {
            try await session.rename(name, to: other)
            return true
        }
        if probe.leavesTakenNames { probe.leavesTakenNames = try await tried { try await content(other) == kept } }
        if session.capabilities.supports(SFTPExtension.posixRename) {
            // It may be gone, where the rename before replaced.
            try? await write(Self.piece, to: name, [.write, .create, .truncate])
            probe.replacesInOneStep = try await tried {
                try await session.posixRename(name, to: other)
                return true
            }
        }
    }

    /// Both where nothing is and where something is replaced.
    private func showsWhatIsClosed(_ name: String) async throws -> Bool {
        for (old, new) in [(nil, Self.piece), (Self.piece, [UInt8](repeating: 9, count: 10))] as [([UInt8]?, [UInt8])] {
            let handle = try await session.open(name, [.write, .create, .truncate], permissions: 0o600)
            do {
                try await handle.write(ByteBuffer(bytes: new), at: 0)
                let seen = try? await content(name)
                try await handle.close()
                guard session.isAlive, seen == old else { return false }
            } catch {
                try? await handle.close()
                throw error
            }
            guard try await content(name) == new else { return false }
        }
        return try await forgetsWhatIsBrokenOff(name)
    }

    /// Whether a file stays as it was when a session ends in the middle of replacing it.
    private func forgetsWhatIsBrokenOff(_ name: String) async throws -> Bool {
        let before = try await content(name)
        try await gate?.enter(Self.second)
        let other: SFTPSession
        do throws(SFTPError) {
            other = try await SFTPSession.connect(configuration, logger: logger)
            await gate?.opened(Self.second)
        } catch {
            await gate?.failed(Self.second, error)
            throw error
        }
        defer { gate?.left(Self.second) }
        var opened: SFTPFile?
        do {
            let handle = try await other.open(name, [.write, .create, .truncate], permissions: 0o600)
            opened = handle
            try await handle.write(ByteBuffer(bytes: Self.piece.prefix(100)), at: 0)
        } catch {
            await other.close()
            throw error
        }
        await other.close()
        // A handle that goes closes its file; until here it must not.
        withExtendedLifetime(opened) {}
        for _ in 0..<Self.looks {
            guard try await content(name) == before else { return false }
            try await Task.sleep(for: Self.pause)
        }
        return true
    }

    /// What a gate calls the session that is broken off, and the one for commands.
    private static let (second, forCommands) = ("probe", "probe-commands")
    /// How often, and after which pauses, it is looked whether what was broken off appears.
    private static let (looks, pause) = (4, Duration.milliseconds(250))

    private func commands(_ name: String) async throws -> TargetProbe.Commands? {
        try await gate?.enter(Self.forCommands)
        defer { gate?.left(Self.forCommands) }
        guard
            let command = try? await SSHCommand.start(
                Self.program,
                greeting: Self.greeting,
                configuration,
                logger: logger
            )
        else { return nil }
        var found = TargetProbe.Commands()
        do throws(SFTPError) {
            try command.write(name)
            while true {
                let line = try await command.readLine(within: configuration.connectTimeout)
                if line == "end" { break }
                if line == "sees" { found.seeFiles = true }
                if TargetProbe.programs.contains(line) { found.programs.insert(line) }
            }
            await command.close()
            return found
        } catch {
            await command.close()
            return nil
        }
    }
}
