// The socket as libssh2 sees it: sending never stops halfway.

internal import Glibc

/// Sends and receives for libssh2 through callbacks of our own.
///
/// What the kernel does not take at once is kept here, so that libssh2 always sees its packet go out whole: it never
/// holds a half-written packet, and the rules about what may not be called meanwhile have nothing to apply to.
/// The owner writes no more while something is kept, so no more than a few packets ever are.
final class SocketBuffer {
    let descriptor: CInt
    private var kept: [UInt8] = []
    private var keptStart = 0
    /// The error that ended the socket, if one did.
    private(set) var failure: CInt?
    /// Whether the peer closed the connection.
    private(set) var hasEnded = false
    /// From now on libssh2 is told that the peer is gone, so that freeing the session waits for nothing.
    var isFinished = false

    /// For now packets are gathered, so that the kernel, and the server's process, are woken for many at once; and
    /// libssh2, which looks for what came in before each packet, is told that there is nothing.
    var gathers = false

    /// What the server sent at first, for as long as somebody wants to know; not more than so many bytes of it.
    private(set) var heard: [UInt8]?
    private static let heardBound = 2 * KeyExchangeProposal.packetBound

    private static let gathered = 128 * 1024
    private static let bound = 4 * 1024 * 1024

    init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    var hasKept: Bool { keptStart < kept.count }

    /// For libssh2: takes all of `bytes`, or returns a negative error number.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        if isFinished { return bytes.count }
        if let failure { return -Int(failure) }
        var taken = 0
        if !hasKept, !gathers {
            taken = write(bytes)
            if taken < 0 { return taken }
        }
        if taken < bytes.count {
            guard kept.count - keptStart + bytes.count - taken <= Self.bound else { return -Int(ENOBUFS) }
            kept.append(contentsOf: bytes[taken...])
        }
        return bytes.count
    }

    /// For libssh2: bytes received, 0 at the end, or a negative error number.
    func receive(_ room: UnsafeMutableRawBufferPointer) -> Int {
        if isFinished { return 0 }
        if gathers { return -Int(EAGAIN) }
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, CInt(MSG_DONTWAIT))
            if count > 0 {
                if (heard?.count ?? .max) < Self.heardBound { heard?.append(contentsOf: room[..<count]) }
                return count
            }
            if count == 0 {
                hasEnded = true
                return 0
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: return -Int(EAGAIN)
            default:
                failure = errno
                return -Int(errno)
            }
        }
    }

    /// From now on what comes in is kept in `heard`, too.
    func listen() { heard = [] }

    /// What was heard is not needed any more.
    func forgetHeard() { heard = nil }

    /// Whether so much is kept that it is worth sending.
    var isFull: Bool { kept.count - keptStart >= Self.gathered }

    /// Sends what was kept; true when nothing is left.
    func flush() -> Bool {
        guard hasKept else { return true }
        let count = kept.withUnsafeBytes { write(.init(rebasing: $0[keptStart...])) }
        if count > 0 { keptStart += count }
        if !hasKept {
            kept.removeAll(keepingCapacity: true)
            keptStart = 0
        } else if keptStart >= Self.gathered {
            // A peer that takes a little at a time, again and again, must not let what is gone pile up.
            kept.removeFirst(keptStart)
            keptStart = 0
        }
        return !hasKept
    }

    /// Bytes the kernel took, 0 when it would block, or a negative error number.
    private func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
            let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags)
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            case EAGAIN: return 0
            default:
                failure = errno
                return -Int(errno)
            }
        }
    }
}
