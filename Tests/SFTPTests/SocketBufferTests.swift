// What is gathered goes out whole, in order, and at the latest when it is asked for.

import Glibc
import Harness
import Testing

@testable import SFTP

@Suite struct SocketBufferTests {
    private func pair() throws -> (SocketBuffer, peer: CInt) {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        var room: CInt = 4_096
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, socklen_t(MemoryLayout<CInt>.size))
        return (SocketBuffer(descriptor: ends[0]), ends[1])
    }

    /// All that is there now, at most `limit` bytes.
    private func received(_ peer: CInt, limit: Int = 1 << 20) -> [UInt8] {
        var room = [UInt8](repeating: 0, count: limit)
        let count = recv(peer, &room, limit, CInt(MSG_DONTWAIT))
        return Array(room.prefix(max(count, 0)))
    }

    private func send(_ bytes: [UInt8], _ socket: SocketBuffer) {
        #expect(bytes.withUnsafeBytes { socket.send($0) } == bytes.count)
    }

    @Test func gatheredPacketsGoOutTogetherAndNothingIsTakenInMeanwhile() throws {
        let (socket, peer) = try pair()
        defer { close(peer) }
        #expect(Glibc.write(peer, "in", 2) == 2)
        var room = [UInt8](repeating: 0, count: 8)
        socket.gathers = true
        send([1, 2], socket)
        send([3], socket)
        #expect(room.withUnsafeMutableBytes { socket.receive($0) } == -Int(EAGAIN))
        socket.gathers = false
        #expect(received(peer).isEmpty)
        #expect(socket.hasKept && !socket.isFull)
        // Whatever comes after it waits for its turn.
        send([4], socket)
        #expect(socket.flush())
        #expect(received(peer) == [1, 2, 3, 4])
        #expect(room.withUnsafeMutableBytes { socket.receive($0) } == 2)
    }

    /// The peer takes less than comes, so that nothing ever is sent to the end for a long while.
    @Test func aSlowPeerGetsEveryByteOnceAndInOrder() throws {
        let (socket, peer) = try pair()
        defer { close(peer) }
        var random = SeededGenerator(seed: 5)
        let bytes = random.bytes(2_000_000)
        var (sent, taken): (Int, [UInt8]) = (0, [])
        var hasBeenFull = false
        while taken.count < bytes.count {
            while sent < bytes.count, !socket.isFull {
                let end = min(sent + Int.random(in: 1...40_000, using: &random), bytes.count)
                socket.gathers = true
                send(Array(bytes[sent..<end]), socket)
                socket.gathers = false
                sent = end
            }
            hasBeenFull = hasBeenFull || socket.isFull
            _ = socket.flush()
            let now = received(peer, limit: 3_000)
            try #require(!now.isEmpty)
            taken += now
        }
        #expect(hasBeenFull)
        #expect(taken == bytes)
        #expect(!socket.hasKept)
    }
}
