// Digests taken on the target: one long-lived helper over exec, on an SSH session of its own.

public import Core
public import Logging
public import SFTP

/// Asks a target for the SHA-256 of ranges of its files.
///
/// An exec costs more than a part's digest, so one program runs as long as it is needed: it reads pairs of lines, offset
/// and length, then the path as it is, and answers each with one line. Nothing of a path ever stands in a command.
public actor DigestHelper {
    /// The program in Python, which reads each byte once and starts no processes. It is sent as a line that is a literal:
    /// a command may be no longer than 1 KiB on some servers. So it holds no quotes; its words are its arguments.
    private static let python = """
        yes, odd, absent, ready = sys.argv[1:]
        def digest(path, offset, left):
            try:
                kind = os.lstat(path).st_mode
            except OSError:
                return absent
            if not stat.S_ISREG(kind):
                return odd
            try:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except PermissionError:
                return odd
            except OSError as error:
                return error.strerror
            try:
                hasher = hashlib.sha256()
                while left > 0:
                    piece = os.pread(file, min(left, 262144), offset)
                    if not piece:
                        break
                    hasher.update(piece)
                    offset += len(piece)
                    left -= len(piece)
                return yes + chr(32) + hasher.hexdigest()
            except OSError as error:
                return error.strerror
            finally:
                os.close(file)
        print(ready, flush=True)
        while True:
            numbers = sys.stdin.buffer.readline()
            path = sys.stdin.buffer.readline()
            if not path:
                break
            offset, size = map(int, numbers.split())
            print(digest(path[:-1], offset, size), flush=True)
        """

    /// The fixed program: in Python where that works, else in the shell. There `tail` seeks in a file; `openssl` uses the
    /// processor's own instructions where `sha256sum` of coreutils 9.1 does not.
    ///
    /// One line without single quotes, so that any login shell hands it to `sh` as it is.
    private static let program = """
        exec sh -c 'echo \(greeting); \
        if python3 -I -S -c "import hashlib; hashlib.sha256()" </dev/null >/dev/null 2>&1; then echo python; \
        exec python3 -I -S -c "import hashlib, os, stat, sys; exec(eval(sys.stdin.buffer.readline()))" \
        is odd absent ready; fi; \
        if command -v openssl >/dev/null 2>&1; then d() { openssl dgst -sha256 -r; }; \
        elif command -v sha256sum >/dev/null 2>&1; then d() { sha256sum; }; \
        else echo none; exit 0; fi; echo ready; \
        while read -r o n && IFS= read -r p; do if [ -f "$p" ] && [ ! -h "$p" ] && [ -r "$p" ]; then \
        r=$(tail -c "+$((o + 1))" "$p" 2>/dev/null | head -c "$n" | d 2>/dev/null); echo "is ${r%% *}"; \
        elif [ -e "$p" ] || [ -h "$p" ]; then echo odd; else echo absent; fi; done'
        """

    /// How long a target that runs no commands is not asked again: what an account may do can change.
    static let refusalMemory = Duration.seconds(600)

    /// What the program says first, so that a server that runs something else in its place is found out.
    private static let greeting = "ferry-digests"

    private enum Condition {
        case unknown
        case ready(SSHCommand)
        case refused(until: ContinuousClock.Instant)
    }

    /// What the gate calls the helper's session.
    private static let session = "digests"

    private let configuration: SSHConfiguration
    private let gate: (any ConnectionGate)?
    private let logger: Logger
    private var condition = Condition.unknown
    private var isBusy = false
    private var waiting: [(ticket: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    private var nextTicket = 0
    private var isShutDown = false
    /// It ran before: what looks like a refusal now may be a session that was lost.
    private var hasRun = false

    /// A helper that connects when it is first asked.
    ///
    /// - Parameter gate: where its session is counted; without a place for one no digests are taken.
    public init(configuration: SSHConfiguration, gate: (any ConnectionGate)? = nil, logger: Logger) {
        self.configuration = configuration
        self.gate = gate
        self.logger = logger
    }

    /// Whether the target takes digests, found out by trying; no while it cannot be reached.
    public var isAvailable: Bool {
        get async {
            // What is known is told without waiting for the question that is under way.
            switch condition {
            case .ready: return !isShutDown
            case .refused(let until) where ContinuousClock.now < until: return false
            case .refused, .unknown: break
            }
            do throws(TargetError) {
                try await enter()
                defer { leave() }
                return try await command() != nil
            } catch {
                return false
            }
        }
    }

    /// The SHA-256 of `size` bytes from `offset` on of a file, named by its absolute path; nil for no file.
    ///
    /// Throws `unsupported` where the target runs no commands, `pathRefused` for what is no readable file.
    public func digest(of path: String, offset: Int64, size: Int64) async throws(TargetError) -> SHA256Digest? {
        guard !path.utf8.contains(UInt8(ascii: "\n")) else {
            throw TargetError(.pathRefused, "a path with a line feed cannot be asked for")
        }
        try await enter()
        defer { leave() }
        do throws(TargetError) {
            return try await ask(path, offset: offset, size: size)
        } catch {
            // A helper that was lost while nobody asked is first missed now; asking twice changes nothing.
            guard error.kind == .interrupted, !isShutDown, !Task.isCancelled else { throw error }
            logger.debug("Digest helper lost", metadata: ["error": "\(error)"])
        }
        return try await ask(path, offset: offset, size: size)
    }

    private func ask(_ path: String, offset: Int64, size: Int64) async throws(TargetError) -> SHA256Digest? {
        guard let command = try await command() else {
            throw TargetError(.unsupported, "the target runs no commands, so no digest can be taken there")
        }
        let answer: String
        do throws(SFTPError) {
            try command.write("\(offset) \(size)")
            try command.write(path)
            // About 30 MB a second at the least, and a minute to begin with.
            answer = try await command.readLine(within: .seconds(60 + size / 30_000_000))
        } catch {
            await forget(command)
            throw TargetError(error)
        }
        switch answer {
        case "absent": return nil
        case "odd": throw TargetError(.pathRefused, "\(path) is not a file that can be read")
        default: break
        }
        guard answer.hasPrefix("is "), let digest = SHA256Digest(hex: answer.dropFirst(3)) else {
            await forget(command)
            throw TargetError(.interrupted, "the digest helper answered \(answer.prefix(100))")
        }
        return digest
    }

    /// What is still to come on this channel answers a question that nobody asks any more.
    private func forget(_ command: SSHCommand) async {
        condition = .unknown
        await close(command)
    }

    private func close(_ command: SSHCommand) async {
        await command.close()
        gate?.left(Self.session)
    }

    /// It looks at other files than were meant: it is not asked again for a while.
    func distrust() async {
        if case .ready(let command) = condition { await forget(command) }
        condition = .refused(until: .now + Self.refusalMemory)
        hasRun = false
    }

    /// Ends the helper on the target; questions are answered with an error from here on.
    public func shutdown() async {
        isShutDown = true
        if case .ready(let command) = condition { await forget(command) }
    }

    /// The running helper, started if need be; nil where the target runs no commands.
    private func command() async throws(TargetError) -> SSHCommand? {
        guard !isShutDown else { throw TargetError(.interrupted, "the digest helper is shut down") }
        switch condition {
        case .ready(let command) where command.isAlive: return command
        case .refused(let until) where ContinuousClock.now < until: return nil
        case .ready, .refused, .unknown: condition = .unknown
        }
        do throws(SFTPError) { try await gate?.enter(Self.session) } catch { throw TargetError(error) }
        do throws(SFTPError) {
            let command = try await SSHCommand.start(
                Self.program,
                greeting: Self.greeting,
                configuration,
                logger: logger
            )
            await gate?.opened(Self.session)
            if try await isReady(command), !isShutDown {
                condition = .ready(command)
                hasRun = true
                return command
            }
            await close(command)
        } catch .execRefused {
            gate?.left(Self.session)
        } catch .timedOut {
            // A server with a forced command runs something else, which may well say nothing.
            gate?.left(Self.session)
        } catch {
            await gate?.failed(Self.session, error)
            // Unreachable now says nothing about later.
            logger.debug("Digest helper not started", metadata: ["error": "\(error)"])
            throw TargetError(error)
        }
        guard !hasRun else {
            // Found out by the next attempt.
            hasRun = false
            throw TargetError(.interrupted, "the digest helper ended while it began")
        }
        condition = .refused(until: .now + Self.refusalMemory)
        return nil
    }

    /// Whether the program found something to take digests with.
    private func isReady(_ command: SSHCommand) async throws(SFTPError) -> Bool {
        do throws(SFTPError) {
            var answer = try await command.readLine(within: configuration.connectTimeout)
            if answer == "python" {
                try command.write("\"" + Self.python.split(separator: "\n").joined(separator: "\\n") + "\"")
                answer = try await command.readLine(within: configuration.connectTimeout)
            }
            return answer == "ready"
        } catch {
            await command.close()
            throw error
        }
    }

    // One question at a time; the others wait in order, or until they are cancelled.

    private func enter() async throws(TargetError) {
        guard isBusy else {
            isBusy = true
            return
        }
        let ticket = nextTicket
        nextTicket += 1
        let isMyTurn = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(returning: false)
                } else {
                    waiting.append((ticket, continuation))
                }
            }
        } onCancel: {
            Task { await self.giveUp(ticket) }
        }
        guard isMyTurn else { throw TargetError(.cancelled, "cancelled while other digests were taken") }
    }

    private func giveUp(_ ticket: Int) {
        guard let index = waiting.firstIndex(where: { $0.ticket == ticket }) else { return }
        waiting.remove(at: index).continuation.resume(returning: false)
    }

    private func leave() {
        if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().continuation.resume(returning: true) }
    }
}
