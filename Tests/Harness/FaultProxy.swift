// A TCP proxy on loopback that does to a connection what networks do.

import Foundation
import Glibc
import Synchronization

/// Stands between a client and a server on loopback and pauses, cuts, delays and slows what passes.
///
/// Every call returns after it has taken effect. No byte is ever lost or changed on a connection that lives:
/// a pause is a partition as TCP sees it, where everything arrives once it heals.
public final class FaultProxy: Sendable {
    /// The way bytes go.
    public enum Direction: Sendable, Hashable, CaseIterable {
        /// From the client that connected to the proxy.
        case toServer
        /// From the server behind the proxy.
        case toClient
    }

    /// How a connection is ended.
    public enum Ending: Sendable {
        /// With RST: the peer's next call fails with "connection reset".
        case reset
        /// With FIN, in an orderly way; what was still on its way is lost.
        case close
    }

    /// The port clients connect to, on 127.0.0.1.
    public let port: Int

    private let mailbox = Mailbox()

    /// Starts a proxy in front of 127.0.0.1:`server`.
    ///
    /// - Parameter inspector: makes the reader of each connection's frames; without one bytes pass as they come.
    public convenience init(
        to server: Int,
        port: Int? = nil,
        inspector: (@Sendable () -> any TrafficInspector)? = nil
    ) throws {
        try self.init(toAnyOf: [server], port: port, inspector: inspector)
    }

    /// Starts a proxy in front of several servers on 127.0.0.1 that takes them in turn, and the next one where a
    /// connection is refused: a balancer.
    public init(
        toAnyOf servers: [Int],
        port: Int? = nil,
        inspector: (@Sendable () -> any TrafficInspector)? = nil
    ) throws {
        self.port = try port ?? FreePort.next()
        let listener = try LoopbackSocket.listen(port: self.port)
        let mailbox = mailbox
        let own = self.port
        try mailbox.open()
        Thread.detachNewThread {
            var loop = FaultProxyLoop(
                listener: listener,
                port: own,
                servers: servers,
                inspector: inspector,
                mailbox: mailbox
            )
            loop.run()
        }
    }

    deinit {
        stop()
    }

    /// Ends the proxy and, with RST, all its connections.
    public func stop() {
        try? perform { $0.end() }
    }

    /// Nothing passes any more in these directions; connections stay open, new ones are accepted and hang.
    public func pause(_ directions: Set<Direction> = Set(Direction.allCases)) throws {
        try perform { $0.paused.formUnion(directions) }
    }

    /// Everything passes again, first what waited.
    public func resume() throws {
        try perform { $0.paused = [] }
    }

    /// Ends all connections there are; new ones are welcome.
    public func cut(_ ending: Ending = .reset) throws {
        try perform { $0.cutAll(ending) }
    }

    /// Lets exactly `bytes` more bytes pass in the direction, over all connections, and then resets the connection
    /// that would carry the next one. Happens once.
    public func cut(after bytes: Int, _ direction: Direction) throws {
        try perform { $0.remaining[direction] = bytes }
    }

    /// New connections are refused; those there are live on.
    public func refuse() throws {
        try perform { $0.closeListener() }
    }

    /// New connections are accepted again.
    public func accept() throws {
        try perform { try $0.openListener() }
    }

    /// Every byte takes this much longer, each way, give or take `jitter`; the order stays.
    public func delay(_ latency: Duration, jitter: Duration = .zero) throws {
        try perform {
            $0.latency = latency
            $0.jitter = jitter
        }
    }

    /// New connections go to another server; those there are stay where they are.
    public func redirect(to server: Int) throws {
        try perform { $0.servers = [server] }
    }

    /// Lets pass what a trap holds.
    public func release(_ hold: Hold) throws {
        hold.open()
        // Wakes the thread, which finds it open.
        try perform { _ in }
    }

    /// At most so many bytes a second pass each way of each connection; nil for no limit.
    public func limit(bytesPerSecond: Int?) throws {
        try perform { $0.bytesPerSecond = bytesPerSecond.map { max(1, $0) } }
    }

    /// Bytes handed on since the start.
    public func bytes(_ direction: Direction) -> Int {
        mailbox.counters.withLock { $0.bytes[direction] ?? 0 }
    }

    /// Connections that are open now.
    public var openConnections: Int { mailbox.counters.withLock { $0.open } }

    /// Connections accepted since the start.
    public var acceptedConnections: Int { mailbox.counters.withLock { $0.accepted } }

    private func perform(_ change: @escaping Mailbox.Change) throws {
        try mailbox.perform(change)
    }
}

extension FaultProxy {
    struct Counters {
        var bytes: [Direction: Int] = [:]
        var open = 0
        var accepted = 0
    }

    /// Changes on their way to the proxy's thread, and the counters on their way back.
    final class Mailbox: Sendable {
        typealias Change = @Sendable (inout FaultProxyLoop) throws -> Void

        let counters = Mutex(Counters())
        private let state = Mutex(State())

        private struct State {
            var changes: [(Change, Answer)] = []
            var wake: (read: Int32, write: Int32)?
            var ended = false
        }

        final class Answer: Sendable {
            private let error = Mutex<(any Error)?>(nil)
            private let done = DispatchSemaphore(value: 0)

            func set(_ failure: (any Error)?) {
                error.withLock { $0 = failure }
                done.signal()
            }

            func get() throws {
                guard done.wait(timeout: .now() + 10) == .success else {
                    throw HarnessError("the fault proxy's thread does not answer")
                }
                if let failure = error.withLock({ $0 }) { throw failure }
            }
        }

        func open() throws {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { throw HarnessError.system("making a pipe", errno) }
            for end in ends {
                _ = fcntl(end, F_SETFD, FD_CLOEXEC)
                _ = fcntl(end, F_SETFL, O_NONBLOCK)
            }
            let wake = (read: ends[0], write: ends[1])
            state.withLock { $0.wake = wake }
        }

        /// The descriptor that becomes readable when there are changes.
        var signal: Int32 { state.withLock { $0.wake?.read ?? -1 } }

        func perform(_ change: @escaping Change) throws {
            let answer = Answer()
            let accepted = state.withLock { state in
                guard !state.ended, let wake = state.wake else { return false }
                state.changes.append((change, answer))
                var byte: UInt8 = 1
                // A full pipe is awake already.
                _ = write(wake.write, &byte, 1)
                return true
            }
            guard accepted else { throw HarnessError("the fault proxy was stopped") }
            try answer.get()
        }

        func take() -> [(Change, Answer)] {
            state.withLock { state in
                defer { state.changes = [] }
                return state.changes
            }
        }

        /// After this no change is accepted; those still waiting are refused.
        func close() {
            let waiting = state.withLock { state in
                state.ended = true
                if let wake = state.wake {
                    Glibc.close(wake.read)
                    Glibc.close(wake.write)
                }
                state.wake = nil
                defer { state.changes = [] }
                return state.changes
            }
            for (_, answer) in waiting { answer.set(HarnessError("the fault proxy was stopped")) }
        }
    }
}
