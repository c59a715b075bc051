// A command that runs on the server for long and talks in lines.

internal import DequeModule
internal import Glibc
public import Logging
internal import Synchronization

/// One long-lived command on an SSH connection of its own: lines go in, lines come out.
///
/// The command line is sent as it is and must be a constant of the program: nothing from outside belongs in it.
public final class SSHCommand: Sendable {
    private let mailbox: CommandMailbox

    /// Longest line either way, in bytes.
    public static let lineLimit = 64 * 1024

    private init(mailbox: CommandMailbox) { self.mailbox = mailbox }

    deinit { mailbox.requestClose() }

    /// Connects, checks the host key, logs in and starts `command`.
    ///
    /// Throws ``SFTPError/execRefused(reason:)`` where the server says no, and where the command's first line is not
    /// `greeting`: a server with a forced command says yes to anything and runs something else, which may well
    /// write a line (sshd's internal-sftp does). Without a greeting the caller has to tell these apart.
    public static func start(
        _ command: String,
        greeting: String? = nil,
        _ configuration: SSHConfiguration,
        logger: Logger
    ) async throws(SFTPError) -> SSHCommand {
        guard !command.isEmpty, !command.utf8.contains(0) else { throw .invalidArgument("an empty command") }
        let mailbox = CommandMailbox(wakeup: try Wakeup())
        let opened = OneShot<TransportFacts>()
        try SessionThread.run(named: "ssh-command") {
            openAndServe(command, configuration, mailbox, opened)
            mailbox.threadEnded()
        }
        let facts = try await opened.value(
            within: configuration.connectTimeout * 3,
            otherwise: .connectFailed(
                host: configuration.host,
                port: configuration.port,
                reason: "no session in time"
            ),
            onFailure: { mailbox.requestClose() }
        )
        logger.debug(
            "SSH command started",
            metadata: ["host": "\(configuration.host)", "server": "\(facts.serverIdent)"]
        )
        let started = SSHCommand(mailbox: mailbox)
        if let greeting {
            let line = try await started.readLine(within: configuration.connectTimeout)
            guard line == greeting else {
                mailbox.requestClose()
                throw .execRefused(reason: "it answers \(printable(String(line.prefix(200))))")
            }
        }
        return started
    }

    private static func openAndServe(
        _ command: String,
        _ configuration: SSHConfiguration,
        _ mailbox: CommandMailbox,
        _ opened: OneShot<TransportFacts>
    ) {
        let wait = OpeningWait(
            wakeup: mailbox.wakeup,
            isInterrupted: { mailbox.isCloseRequested },
            deadline: .now + configuration.connectTimeout
        )
        do throws(SFTPError) {
            let transport = try configuration.open(.command(command), wait)
            defer { transport.close() }
            guard opened.deliver(.success(transport.facts)) else { return mailbox.finish(.cancelled) }
            do throws(SFTPError) {
                try CommandLoop(mailbox: mailbox, transport: transport).serve()
                mailbox.finish(.closed)
            } catch {
                mailbox.finish(error)
            }
        } catch {
            mailbox.finish(error)
            opened.deliver(.failure(error))
        }
    }

    /// Whether lines can still be exchanged.
    public var isAlive: Bool { mailbox.end == nil && !mailbox.isCloseRequested }

    /// Sends `line` and a newline. Throws when more is waiting to be sent than four of the longest lines.
    public func write(_ line: String) throws(SFTPError) {
        guard line.utf8.count < Self.lineLimit, !line.utf8.contains(UInt8(ascii: "\n")) else {
            throw .invalidArgument("a line of \(line.utf8.count) bytes, or more than one line")
        }
        try mailbox.send(Array(line.utf8) + [UInt8(ascii: "\n")])
    }

    /// The next line the command writes, without its newline.
    ///
    /// After a time-out or cancellation the command is ended: which line answers what would no longer be known.
    public func readLine(within limit: Duration) async throws(SFTPError) -> String {
        let line = OneShot<String>()
        mailbox.awaitLine(line)
        return try await line.value(
            within: limit,
            otherwise: .timedOut(operation: "wait for a line of a command"),
            onFailure: { mailbox.requestClose() }
        )
    }

    /// Ends the connection. Returns when its thread is through.
    public func close() async {
        let done = OneShot<Void>()
        mailbox.requestClose(notify: done)
        do throws(SFTPError) { try await done.value() } catch {}
    }
}

/// Where callers and the thread of a command meet.
final class CommandMailbox: Sendable {
    private struct State {
        var outgoing: [UInt8] = []
        var lines: Deque<String> = []
        var waiters: Deque<OneShot<String>> = []
        var hasReadLine = false
        var ended: SFTPError?
        var hasThreadEnded = false
        var isCloseRequested = false
        var closeWaiters: [OneShot<Void>] = []
    }

    private let state = Mutex(State())
    let wakeup: Wakeup
    /// Lines kept for readers before the command has to wait.
    private static let lineBound = 1024

    init(wakeup: Wakeup) { self.wakeup = wakeup }

    var end: SFTPError? { state.withLock { $0.ended } }
    var isCloseRequested: Bool { state.withLock { $0.isCloseRequested } }
    var hasRoomForLines: Bool { state.withLock { $0.lines.count < Self.lineBound } }

    func send(_ bytes: [UInt8]) throws(SFTPError) {
        try state.withLock { (state) throws(SFTPError) in
            if let ended = state.ended { throw ended }
            guard state.outgoing.count + bytes.count <= 4 * SSHCommand.lineLimit else {
                throw .limitExceeded("lines waiting to be sent to a command")
            }
            state.outgoing += bytes
        }
        wakeup.signal()
    }

    func takeOutgoing() -> [UInt8] {
        state.withLock { state in
            defer { state.outgoing = [] }
            return state.outgoing
        }
    }

    func awaitLine(_ waiter: OneShot<String>) {
        let ready: Result<String, SFTPError>? = state.withLock {
            if let line = $0.lines.popFirst() { return .success(line) }
            if let ended = $0.ended { return .failure(ended) }
            $0.waiters.append(waiter)
            return nil
        }
        wakeup.signal()
        if let ready { waiter.deliver(ready) }
    }

    func receive(_ line: String) {
        while true {
            let waiter: OneShot<String>? = state.withLock {
                $0.hasReadLine = true
                if let waiter = $0.waiters.popFirst() { return waiter }
                $0.lines.append(line)
                return nil
            }
            guard let waiter else { return }
            if waiter.deliver(.success(line)) { return }
        }
    }

    func requestClose(notify waiter: OneShot<Void>? = nil) {
        let isOver = state.withLock {
            $0.isCloseRequested = true
            if $0.hasThreadEnded { return true }
            if let waiter { $0.closeWaiters.append(waiter) }
            return false
        }
        wakeup.signal()
        if isOver { waiter?.deliver(.success(())) }
    }

    func finish(_ reason: SFTPError) {
        let (end, waiters) = state.withLock { state in
            var end = reason
            // A server with a forced command says yes to exec and then never answers in lines.
            if !state.hasReadLine, case .disconnected(let reason, _) = reason { end = .execRefused(reason: reason) }
            if state.ended == nil { state.ended = end }
            defer { state.waiters = [] }
            return (end, state.waiters)
        }
        for waiter in waiters { waiter.deliver(.failure(end)) }
    }

    func threadEnded() {
        let closers = state.withLock { state in
            state.hasThreadEnded = true
            defer { state.closeWaiters = [] }
            return state.closeWaiters
        }
        for closer in closers { closer.deliver(.success(())) }
    }
}

/// The thread of a command.
private final class CommandLoop {
    private let mailbox: CommandMailbox
    private let transport: any SSHTransport
    private var outgoing: ArraySlice<UInt8> = []
    private var splitter = LineSplitter(limit: SSHCommand.lineLimit)
    private var room = [UInt8](repeating: 0, count: 32 * 1024)

    init(mailbox: CommandMailbox, transport: any SSHTransport) {
        self.mailbox = mailbox
        self.transport = transport
    }

    /// Returns when the owner wants the end; throws when anything else ends the command.
    func serve() throws(SFTPError) {
        while !mailbox.isCloseRequested {
            let hasSent = try send()
            if try receive() || hasSent { continue }
            var interests = [pollfd(fd: mailbox.wakeup.descriptor, events: CShort(POLLIN), revents: 0)]
            transport.addInterests(to: &interests)
            if !mailbox.hasRoomForLines { interests = [interests[0]] }
            let count = poll(&interests, nfds_t(interests.count), 5_000)
            if count < 0, errno != EINTR {
                throw .disconnected(reason: "poll: \(systemMessage(errno))", operation: "command")
            }
            if interests[0].revents != 0 { mailbox.wakeup.clear() }
        }
    }

    private func send() throws(SFTPError) -> Bool {
        if outgoing.isEmpty { outgoing = mailbox.takeOutgoing()[...] }
        guard !outgoing.isEmpty else { return false }
        let result: Result<Int, SFTPError> = outgoing.withUnsafeBytes { bytes in
            do throws(SFTPError) { return .success(try transport.write(bytes)) } catch { return .failure(error) }
        }
        let count = try result.get()
        outgoing = outgoing.dropFirst(count)
        return count > 0
    }

    private func receive() throws(SFTPError) -> Bool {
        guard mailbox.hasRoomForLines else { return false }
        let result: Result<TransportRead, SFTPError> = room.withUnsafeMutableBytes { room in
            do throws(SFTPError) { return .success(try transport.read(into: room)) } catch { return .failure(error) }
        }
        switch try result.get() {
        case .bytes(let count):
            for line in try splitter.feed(room.prefix(count)) { mailbox.receive(line) }
            return true
        case .wouldBlock: return false
        case .end(let reason): throw .disconnected(reason: reason, operation: "command")
        }
    }
}

/// Cuts bytes into lines of bounded length. Pure.
struct LineSplitter {
    let limit: Int
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: some Sequence<UInt8>) throws(SFTPError) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                lines.append(String(decoding: rest, as: UTF8.self))
                rest.removeAll(keepingCapacity: true)
            } else {
                guard rest.count < limit else { throw .limitExceeded("a line of more than \(limit) bytes") }
                rest.append(byte)
            }
        }
        return lines
    }
}
