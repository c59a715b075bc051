// One client, one server, and the bytes between them.

import Glibc

/// A pair of sockets and, each way, the pieces that wait for their time; belongs to the proxy's thread.
final class FaultProxyConnection {
    typealias Direction = FaultProxy.Direction

    private struct Piece {
        var bytes: [UInt8]
        var due: ContinuousClock.Instant
        var hold: Hold?
    }

    private struct Stream {
        var pieces: [Piece] = []
        var first = 0
        var offset = 0
        var held = 0
        var sourceEnded = false
        var sinkEnded = false
        var lastDue: ContinuousClock.Instant?
    }

    private(set) var isClosed = false
    private let client: Int32
    private var server: Int32
    private var others: [Int]
    private let inspector: (any TrafficInspector)?
    private var connecting = true
    private var toServer = Stream()
    private var toClient = Stream()

    /// - Parameter others: ports to try one after the other where the server refuses.
    init(client: Int32, server: Int32, others: [Int] = [], inspector: (any TrafficInspector)? = nil) {
        self.client = client
        self.server = server
        self.others = others
        self.inspector = inspector
        Self.sendAtOnce(client)
        Self.sendAtOnce(server)
    }

    private static func sendAtOnce(_ descriptor: Int32) {
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    func source(_ direction: Direction) -> Int32 { direction == .toServer ? client : server }

    private func sink(_ direction: Direction) -> Int32 { direction == .toServer ? server : client }

    private subscript(direction: Direction) -> Stream {
        get { direction == .toServer ? toServer : toClient }
        _modify {
            if direction == .toServer { yield &toServer } else { yield &toClient }
        }
    }

    /// When the next piece may go on; nil when none waits.
    func due(_ direction: Direction) -> ContinuousClock.Instant? {
        let stream = self[direction]
        guard stream.first < stream.pieces.count, !connecting else { return nil }
        let piece = stream.pieces[stream.first]
        return piece.hold?.isOpen == false ? nil : piece.due
    }

    func hasDue(_ direction: Direction, now: ContinuousClock.Instant) -> Bool {
        due(direction).map { $0 <= now } ?? false
    }

    func lastDue(_ direction: Direction) -> ContinuousClock.Instant? { self[direction].lastDue }

    /// What to poll for on the socket from which the direction reads.
    func interest(
        _ direction: Direction,
        now: ContinuousClock.Instant,
        paused: Set<Direction>,
        bound: Int
    ) -> pollfd {
        var events: Int16 = 0
        let back: Direction = direction == .toServer ? .toClient : .toServer
        if connecting {
            if direction == .toClient { events = Int16(POLLOUT) }
        } else {
            let stream = self[direction]
            if !paused.contains(direction), !stream.sourceEnded, stream.held < bound { events |= Int16(POLLIN) }
            if !paused.contains(back), hasDue(back, now: now) { events |= Int16(POLLOUT) }
        }
        // Without interest not even a hang-up is to be heard of: a partition hides it.
        return pollfd(fd: events == 0 || isClosed ? -1 : source(direction), events: events, revents: 0)
    }

    /// Whether the server's side is connected; a connection that all servers refuse closes the client's.
    func finishConnecting(_ entry: pollfd) -> Bool {
        guard connecting else { return true }
        guard entry.revents != 0 else { return false }
        if LoopbackSocket.error(of: server) != nil {
            while !others.isEmpty {
                guard let next = try? LoopbackSocket.startConnecting(port: others.removeFirst()) else { continue }
                Glibc.close(server)
                server = next
                Self.sendAtOnce(next)
                return false
            }
            close(.reset)
            return false
        }
        connecting = false
        return true
    }

    /// Takes what was read; nothing read is the end of the source.
    func append(_ bytes: ArraySlice<UInt8>, due: ContinuousClock.Instant, _ direction: Direction) {
        // Never before what came earlier.
        let ordered = max(due, self[direction].lastDue ?? due)
        self[direction].lastDue = ordered
        guard let inspector, !bytes.isEmpty else {
            if bytes.isEmpty { self[direction].sourceEnded = true }
            return add(Piece(bytes: Array(bytes), due: ordered), direction)
        }
        for stretch in inspector.inspect(bytes, direction) where !stretch.bytes.isEmpty {
            let back: Direction = direction == .toServer ? .toClient : .toServer
            let piece = Piece(bytes: stretch.bytes, due: ordered, hold: stretch.hold)
            add(piece, stretch.goesBack ? back : direction)
        }
    }

    private func add(_ piece: Piece, _ direction: Direction) {
        self[direction].held += piece.bytes.count
        self[direction].pieces.append(piece)
    }

    /// Hands on what is due, and the end of the source after its last byte. Returns the number of bytes.
    func send(_ direction: Direction, now: ContinuousClock.Instant, atMost limit: Int) -> Int {
        var total = 0
        while total < limit, hasDue(direction, now: now) {
            let stream = self[direction]
            let piece = stream.pieces[stream.first]
            if piece.bytes.isEmpty {
                shutdown(sink(direction), Int32(SHUT_WR))
                self[direction].sinkEnded = true
            } else {
                let count = min(piece.bytes.count - stream.offset, limit - total)
                let sent = piece.bytes.withUnsafeBytes { bytes in
                    Glibc.send(
                        sink(direction),
                        bytes.baseAddress.map { $0 + stream.offset },
                        count,
                        Int32(MSG_NOSIGNAL)
                    )
                }
                if sent < 0 {
                    if errno != EAGAIN && errno != EINTR { close(.reset) }
                    return total
                }
                total += sent
                self[direction].held -= sent
                self[direction].offset += sent
                if self[direction].offset < piece.bytes.count { continue }
            }
            dropFirst(direction)
        }
        if toServer.sinkEnded && toClient.sinkEnded { close(.close) }
        return total
    }

    private func dropFirst(_ direction: Direction) {
        self[direction].offset = 0
        self[direction].first += 1
        if self[direction].first >= 64 || self[direction].first == self[direction].pieces.count {
            let first = self[direction].first
            self[direction].pieces.removeFirst(first)
            self[direction].first = 0
        }
    }

    func close(_ ending: FaultProxy.Ending) {
        guard !isClosed else { return }
        isClosed = true
        for descriptor in [client, server] {
            if case .reset = ending {
                var now = linger(l_onoff: 1, l_linger: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
            }
            Glibc.close(descriptor)
        }
    }
}
