// The fault proxy's thread: one poll loop over its listener and connections.

import Glibc
import Synchronization

/// Everything the thread owns; changes come to it as functions on this value.
struct FaultProxyLoop {
    typealias Direction = FaultProxy.Direction

    var paused: Set<Direction> = []
    var remaining: [Direction: Int] = [:]
    var latency = Duration.zero
    var jitter = Duration.zero
    var bytesPerSecond: Int?
    /// Taken in turn by new connections.
    var servers: [Int]

    private var listener: Int32?
    private let port: Int
    private var turn = 0
    private let inspector: (@Sendable () -> any TrafficInspector)?
    private let mailbox: FaultProxy.Mailbox
    private var connections: [FaultProxyConnection] = []
    private var ended = false
    private var buffer = [UInt8](repeating: 0, count: 256 * 1024)

    init(
        listener: Int32,
        port: Int,
        servers: [Int],
        inspector: (@Sendable () -> any TrafficInspector)?,
        mailbox: FaultProxy.Mailbox
    ) {
        self.listener = listener
        self.port = port
        self.servers = servers
        self.inspector = inspector
        self.mailbox = mailbox
    }

    mutating func run() {
        let signal = mailbox.signal
        while !ended {
            let now = ContinuousClock.now
            var entries = [pollfd(fd: signal, events: Int16(POLLIN), revents: 0)]
            entries.append(pollfd(fd: listener ?? -1, events: Int16(POLLIN), revents: 0))
            var wait = Duration.seconds(3_600)
            for connection in connections {
                for direction in Direction.allCases {
                    if let due = connection.due(direction), !paused.contains(direction) {
                        wait = min(wait, max(.zero, due - now))
                    }
                }
                entries.append(connection.interest(.toServer, now: now, paused: paused, bound: bound))
                entries.append(connection.interest(.toClient, now: now, paused: paused, bound: bound))
            }
            let milliseconds = Int32(wait / .milliseconds(1)) + (wait == .zero ? 0 : 1)
            _ = poll(&entries, nfds_t(entries.count), milliseconds)

            if entries[0].revents != 0 { applyChanges(signal) }
            if ended { break }
            let polled = (entries.count - 2) / 2
            for index in 0..<min(polled, connections.count) where !connections[index].isClosed {
                serve(connections[index], entries[2 + 2 * index], entries[3 + 2 * index])
            }
            if entries[1].revents != 0 { acceptAll() }
            connections.removeAll { $0.isClosed }
            let open = connections.count
            mailbox.counters.withLock { $0.open = open }
        }
        closeListener()
        cutAll(.reset)
        mailbox.counters.withLock { $0.open = 0 }
        mailbox.close()
    }

    // MARK: Changes

    mutating func end() {
        ended = true
        closeListener()
        cutAll(.reset)
    }

    mutating func cutAll(_ ending: FaultProxy.Ending) {
        for connection in connections { connection.close(ending) }
        mailbox.counters.withLock { $0.open = 0 }
    }

    mutating func closeListener() {
        if let listener { close(listener) }
        listener = nil
    }

    mutating func openListener() throws {
        if listener == nil { listener = try LoopbackSocket.listen(port: port) }
    }

    private mutating func applyChanges(_ signal: Int32) {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(signal, &bytes, bytes.count) > 0 {}
        for (change, answer) in mailbox.take() {
            do {
                try change(&self)
                answer.set(nil)
            } catch {
                answer.set(error)
            }
        }
    }

    // MARK: Bytes

    /// How many bytes a direction of a connection may hold: what a long, fast path would.
    private var bound: Int {
        if bytesPerSecond != nil { return 64 * 1024 }
        return latency > .zero ? 16 * 1024 * 1024 : 1024 * 1024
    }

    private mutating func acceptAll() {
        while let listener {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { return }
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            var order = servers.indices.map { servers[(turn + $0) % servers.count] }
            turn += 1
            var upstream: Int32?
            while upstream == nil, !order.isEmpty {
                upstream = try? LoopbackSocket.startConnecting(port: order.removeFirst())
            }
            guard let upstream else {
                close(client)
                continue
            }
            connections.append(
                FaultProxyConnection(client: client, server: upstream, others: order, inspector: inspector?())
            )
            mailbox.counters.withLock { $0.accepted += 1 }
        }
    }

    private mutating func serve(_ connection: FaultProxyConnection, _ client: pollfd, _ server: pollfd) {
        guard connection.finishConnecting(server) else { return }
        for direction in Direction.allCases where !paused.contains(direction) {
            let source = direction == .toServer ? client : server
            let sink = direction == .toServer ? server : client
            let broken = Int16(POLLHUP) | Int16(POLLERR)
            if source.events & Int16(POLLIN) != 0, source.revents & (Int16(POLLIN) | broken) != 0 {
                receive(connection, direction)
            }
            if connection.isClosed { return }
            if connection.hasDue(direction, now: .now) || sink.revents & Int16(POLLOUT) != 0 {
                send(connection, direction)
            }
            if connection.isClosed { return }
        }
    }

    private mutating func receive(_ connection: FaultProxyConnection, _ direction: Direction) {
        // A slow link is read in small pieces, each with a due time of its own.
        let piece = bytesPerSecond.map { min(buffer.count, max(1, $0 / 50)) } ?? buffer.count
        let count = recv(connection.source(direction), &buffer, piece, 0)
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { connection.close(.reset) }
            return
        }
        var due = ContinuousClock.now + latency
        if jitter > .zero { due += jitter * Double.random(in: -1...1) }
        if let bytesPerSecond {
            due = max(due, connection.lastDue(direction) ?? due) + .seconds(1) * count / bytesPerSecond
        }
        connection.append(buffer[..<count], due: due, direction)
    }

    private mutating func send(_ connection: FaultProxyConnection, _ direction: Direction) {
        let allowed = remaining[direction]
        let sent = connection.send(direction, now: .now, atMost: allowed ?? .max)
        if sent > 0 { mailbox.counters.withLock { $0.bytes[direction, default: 0] += sent } }
        guard let allowed else { return }
        remaining[direction] = allowed - sent
        if allowed == sent, connection.hasDue(direction, now: .now) {
            remaining[direction] = nil
            connection.close(.reset)
        }
    }
}
