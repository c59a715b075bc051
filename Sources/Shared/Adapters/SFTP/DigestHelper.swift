// Digests taken on the target: one long-lived helper over exec, on an SSH session of its own.

public import Core
public import Logging
public import SFTP

/// Asks a target for the SHA-256 of ranges of its files.
///
/// An exec costs more than a part's digest, so one shell runs as long as it is needed: it reads pairs of lines, offset
/// and length, then the path as it is, and answers each with one line. Nothing of a path ever stands in a command.
public actor DigestHelper {
    /// The fixed program. `tail` seeks in a file; `openssl` uses the processor's own instructions where `sha256sum`
    /// of coreutils 9.1 does not.
    ///
    /// One line without single quotes, so that any login shell hands it to `sh` as it is.
    static let program = """
        exec sh -c 'if command -v openssl >/dev/null 2>&1; then d() { openssl dgst -sha256 -r; }; \
        elif command -v sha256sum >/dev/null 2>&1; then d() { sha256sum; }; \
        else echo none; exit 0; fi; echo ready; \
        while read -r o n && IFS= read -r p; do if [ -f "$p" ] && [ ! -h "$p" ]; then \
        r=$(tail -c "+$((o + 1))" "$p" 2>/dev/null | head -c "$n" | d 2>/dev/null); echo "is ${r%% *}"; \
        else echo absent; fi; done'
        """

    private enum Condition {
        case unknown
        case ready(SSHCommand)
        case refused
    }

    private let configuration: SSHConfiguration
    private let logger: Logger
    private var condition = Condition.unknown
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var isShutDown = false

    /// A helper that connects when it is first asked.
    public init(configuration: SSHConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Whether the target takes digests; found out once, by trying.
    public var isAvailable: Bool {
        get async {
            // What is known is told without waiting for the question that is under way.
            switch condition {
            case .ready: return true
            case .refused: return false
            case .unknown: break
            }
            await enter()
            defer { leave() }
            return await command() != nil
        }
    }

    /// The SHA-256 of `size` bytes from `offset` on of a file, named by its absolute path.
    public func digest(of path: String, offset: Int64, size: Int64) async throws(TargetError) -> SHA256Digest {
        await enter()
        defer { leave() }
        guard !path.utf8.contains(UInt8(ascii: "\n")) else {
            throw TargetError(.pathRefused, "a path with a line feed cannot be asked for")
        }
        guard let command = await command() else {
            throw TargetError(.unsupported, "the target runs no commands, so no digest can be taken there")
        }
        do {
            try command.write("\(offset) \(size)")
            try command.write(path)
            // About 30 MB a second at the least, and a minute to begin with.
            let answer = try await command.readLine(within: .seconds(60 + size / 30_000_000))
            if answer == "absent" { throw TargetError(.partFileLost, "\(path) is gone") }
            guard answer.hasPrefix("is "), let digest = SHA256Digest(hex: answer.dropFirst(3)) else {
                throw TargetError(.interrupted, "the digest helper answered \(answer.prefix(100))")
            }
            return digest
        } catch {
            let failure = TargetError(any: error)
            if failure.kind != .partFileLost {
                // What is still to come on this channel answers a question that nobody asks any more.
                await command.close()
                condition = .unknown
            }
            throw failure
        }
    }

    /// Ends the helper on the target.
    public func shutdown() async {
        isShutDown = true
        if case .ready(let command) = condition { await command.close() }
        condition = .refused
    }

    private func command() async -> SSHCommand? {
        switch condition {
        case .ready(let command): return command
        case .refused: return nil
        case .unknown: break
        }
        guard !isShutDown else { return nil }
        do throws(SFTPError) {
            let command = try await SSHCommand.start(Self.program, configuration, logger: logger)
            do throws(SFTPError) {
                guard try await command.readLine(within: .seconds(10)) == "ready" else {
                    await command.close()
                    condition = .refused
                    return nil
                }
            } catch {
                await command.close()
                throw error
            }
            condition = .ready(command)
            return command
        } catch .execRefused {
            condition = .refused
        } catch {
            // Unreachable now says nothing about later.
            logger.debug("Digest helper not started", metadata: ["error": "\(error)"])
        }
        return nil
    }

    // One question at a time; the others wait in order.

    private func enter() async {
        guard isBusy else {
            isBusy = true
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func leave() {
        if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
    }
}
