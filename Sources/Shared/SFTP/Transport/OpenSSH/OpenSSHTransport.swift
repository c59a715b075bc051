// The second transport: the system's `ssh` as a child process carries the bytes.

internal import CChildProcess
internal import Glibc

/// A channel over `ssh`, for what the library does not know: RSA host keys, certificates, jump hosts, GCM and
/// encrypt-then-MAC. Host keys are pinned as with the library, and nothing of the user's own configuration is read.
final class OpenSSHTransport: SSHTransport {
    private let configuration: SSHConfiguration
    private let program: RemoteProgram
    private var child: ChildSSH?
    /// `ssh` reads them until it is connected, and again when it logs in to a jump host.
    private let files: OpenSSHFiles
    private var log = OpenSSHLog()
    private var isFull = false

    var facts: TransportFacts { log.facts }
    /// `ssh` makes the packets: whole write requests go to it in one.
    let pieceLength = 262_144

    /// Connects, checks the host key, logs in and starts `program`; blocks the calling thread, within `wait`'s bounds.
    init(
        _ configuration: SSHConfiguration,
        _ program: RemoteProgram,
        _ wait: OpeningWait
    ) throws(SFTPError) {
        self.configuration = configuration
        self.program = program
        files = try OpenSSHFiles(configuration)
        var environment = ["LC_ALL": "C", "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"]
        if let askPass = files.askPass {
            environment["SSH_ASKPASS"] = askPass.path
            environment["SSH_ASKPASS_REQUIRE"] = "force"
        }
        var arguments = ["-T", "-F", files.configuration.path]
        switch program {
        case .subsystem(let name): arguments += ["-s", "--", OpenSSHFiles.targetAlias, name]
        case .command(let command): arguments += ["--", OpenSSHFiles.targetAlias, command]
        }
        child = try ChildSSH("ssh", arguments, environment: environment)
        try logIn(wait)
    }

    deinit { close() }

    private func logIn(_ wait: OpeningWait) throws(SFTPError) {
        var wait = wait
        // The connection, and then handshake and login, as long as each may last with the library.
        wait.deadline = wait.deadline + configuration.connectTimeout
        while true {
            guard let child else { throw .closed }
            drainErrors()
            if log.isLoggedIn { return }
            guard child.errors >= 0 else { throw log.openingFailure(configuration) }
            guard try wait.poll(child.errors, for: CShort(POLLIN)) else {
                throw .connectFailed(
                    host: configuration.host,
                    port: configuration.port,
                    reason: log.messages.last ?? "login: no answer in time"
                )
            }
        }
    }

    /// Takes in what ssh says; at the end of the stream it is closed.
    private func drainErrors() {
        guard let child else { return }
        var room = [UInt8](repeating: 0, count: 4_096)
        while child.errors >= 0 {
            let count = Glibc.read(child.errors, &room, room.count)
            if count > 0 {
                log.feed(room.prefix(count))
            } else if count == 0 {
                child.closeErrors()
            } else if errno != EINTR {
                if errno != EAGAIN { child.closeErrors() }
                return
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int {
        guard let child else { throw .closed }
        while true {
            let count = ferry_send(child.stream, bytes.baseAddress, UInt(bytes.count))
            if count >= 0 {
                isFull = false
                return count
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                isFull = true
                return 0
            default: throw ended("write")
            }
        }
    }

    func read(into room: UnsafeMutableRawBufferPointer) throws(SFTPError) -> TransportRead {
        guard let child else { throw .closed }
        drainErrors()
        while true {
            let count = recv(child.stream, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { throw ended("read") }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            default: throw ended("read")
            }
        }
    }

    /// Why the child ended: what it said last.
    private func ended(_ operation: String) -> SFTPError {
        // Its last words come before its end, but perhaps after its output's.
        for _ in 0..<50 where child?.errors ?? -1 >= 0 {
            drainErrors()
            if let descriptor = child?.errors, descriptor >= 0 {
                var interest = pollfd(fd: descriptor, events: CShort(POLLIN), revents: 0)
                if poll(&interest, 1, 10) < 0 { break }
            }
        }
        if let failure = log.startFailure(program) { return failure }
        return .disconnected(reason: log.ending, operation: operation)
    }

    func addInterests(to interests: inout [pollfd]) {
        guard let child else { return }
        interests.append(pollfd(fd: child.stream, events: CShort(isFull ? POLLIN | POLLOUT : POLLIN), revents: 0))
        if child.errors >= 0 { interests.append(pollfd(fd: child.errors, events: CShort(POLLIN), revents: 0)) }
    }

    func close() {
        child?.end()
        child = nil
    }
}
