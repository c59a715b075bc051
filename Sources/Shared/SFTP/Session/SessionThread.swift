// Starts a named thread; the only place that does.

internal import CLibSSH2
internal import Glibc

enum SessionThread {
    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on a thread of its own, which ends when `body` returns.
    static func run(named name: String, _ body: @escaping @Sendable () -> Void) throws(SFTPError) {
        var thread = pthread_t()
        let start = Unmanaged.passRetained(
            Start {
                ferry_name_thread(name)
                body()
            }
        )
        let code = pthread_create(
            &thread,
            nil,
            { argument in
                if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            },
            start.toOpaque()
        )
        guard code == 0 else {
            start.release()
            throw .disconnected(reason: "no thread: \(systemMessage(code))", operation: "connect")
        }
        pthread_detach(thread)
    }
}
