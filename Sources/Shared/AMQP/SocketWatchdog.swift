// Frees a thread that hangs in a write to a silent broker.

internal import Glibc
internal import Synchronization

/// Shuts a socket down when an operation armed with a deadline is not done in time.
///
/// The C library's writes wait without a bound. One thread looks after all sockets of the process, and lives only
/// while there are any.
final class SocketWatchdog: Sendable {
    /// A socket under watch. It holds a duplicate of the descriptor, so that the number cannot be another file's when
    /// it is shut down, whenever the library closes its own.
    final class Watch: Sendable {
        fileprivate let descriptor: Int32
        private let deadline = Atomic<UInt64>(0)
        private let hasFired = Atomic<Bool>(false)

        fileprivate init(descriptor: Int32) { self.descriptor = descriptor }

        deinit { _ = Glibc.close(descriptor) }

        /// Starts the time for one operation.
        func arm(for duration: Duration) { deadline.store((Moment.now + duration).nanoseconds, ordering: .relaxed) }

        /// The operation is done.
        func disarm() { deadline.store(0, ordering: .relaxed) }

        /// Whether the socket was shut down.
        var fired: Bool { hasFired.load(ordering: .acquiring) }

        /// Stops watching; the descriptor is closed once the watchdog has let go of it.
        func end() { SocketWatchdog.shared.remove(self) }

        fileprivate func check(_ now: Moment) {
            let deadline = deadline.load(ordering: .relaxed)
            guard deadline != 0, now.nanoseconds >= deadline, !fired else { return }
            hasFired.store(true, ordering: .releasing)
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    static let shared = SocketWatchdog()

    private struct State {
        var watches: [ObjectIdentifier: Watch] = [:]
        var hasThread = false
    }

    private let state = Mutex(State())
    private let period: Duration = .milliseconds(100)

    /// Watches a duplicate of the descriptor.
    func watch(_ socket: Int32) throws(AMQPError) -> Watch {
        let descriptor = fcntl(socket, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { throw .system("duplicate a socket: \(String(cString: strerror(errno)))") }
        let watch = Watch(descriptor: descriptor)
        let needsThread = state.withLock { state in
            state.watches[ObjectIdentifier(watch)] = watch
            defer { state.hasThread = true }
            return !state.hasThread
        }
        if needsThread {
            do {
                try OwnThread.start(name: "amqp-watchdog") { self.look() }
            } catch {
                state.withLock { state in
                    state.hasThread = false
                    state.watches[ObjectIdentifier(watch)] = nil
                }
                throw error
            }
        }
        return watch
    }

    private func remove(_ watch: Watch) {
        state.withLock { $0.watches[ObjectIdentifier(watch)] = nil }
    }

    private func look() {
        while true {
            poll(nil, 0, Int32(period.nanoseconds / 1_000_000))
            let watches = state.withLock { state -> [Watch] in
                if state.watches.isEmpty { state.hasThread = false }
                return Array(state.watches.values)
            }
            guard !watches.isEmpty else { return }
            let now = Moment.now
            for watch in watches { watch.check(now) }
        }
    }
}
