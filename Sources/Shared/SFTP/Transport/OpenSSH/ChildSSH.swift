// A child process with a socket for its input and output and another for its errors.

internal import CChildProcess
internal import Glibc

/// Owner of one child: its descriptors, and its end. Used on one thread.
final class ChildSSH {
    /// The child's standard input and output; non-blocking.
    private(set) var stream: CInt
    /// The child's standard error; non-blocking.
    private(set) var errors: CInt
    private var pid: pid_t

    /// How long the child has to end by itself, and again after it was asked to.
    private static let patience = 20
    private static let step: UInt32 = 10_000

    /// Starts a program found on PATH in a process group of its own.
    init(_ program: String, _ arguments: [String], environment: [String: String]) throws(SFTPError) {
        var streams: [CInt] = [-1, -1]
        var pipes: [CInt] = [-1, -1]
        func failure(_ code: CInt) -> SFTPError {
            for descriptor in streams + pipes where descriptor >= 0 { Glibc.close(descriptor) }
            return .disconnected(reason: "cannot start \(program): \(systemMessage(code))", operation: "connect")
        }
        guard ferry_stream_pair(&streams) == 0, ferry_stream_pair(&pipes) == 0 else { throw failure(errno) }
        let names = environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = names.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var child: pid_t = 0
        let code = ferry_spawn(&child, program, &argv, &envp, streams[1], pipes[1])
        guard code == 0 else { throw failure(code) }
        Glibc.close(streams[1])
        Glibc.close(pipes[1])
        pid = child
        stream = streams[0]
        errors = pipes[0]
    }

    deinit { end() }

    /// Closes the error stream, at whose end nothing more comes.
    func closeErrors() {
        if errors >= 0 { Glibc.close(errors) }
        errors = -1
    }

    /// Ends the child, gently at first, and waits for it; at most half a second. Idempotent.
    func end() {
        if stream >= 0 { Glibc.close(stream) }
        stream = -1
        if pid > 0 {
            if !isReaped(within: Self.patience) {
                // The group: a jump host has a child of its own.
                kill(-pid, SIGTERM)
                if !isReaped(within: Self.patience) {
                    kill(-pid, SIGKILL)
                    while waitpid(pid, nil, 0) < 0, errno == EINTR {}
                }
            }
            pid = 0
        }
        closeErrors()
    }

    private func isReaped(within steps: Int) -> Bool {
        for _ in 0..<steps {
            let found = waitpid(pid, nil, WNOHANG)
            if found == pid || (found < 0 && errno == ECHILD) { return true }
            usleep(Self.step)
        }
        return false
    }
}
