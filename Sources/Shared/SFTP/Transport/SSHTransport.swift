// The seam between the SFTP client and whatever carries its bytes to a server.

internal import Glibc

/// What a transport's read brought.
enum TransportRead: Equatable {
    case bytes(Int)
    case wouldBlock
    /// The server ended the channel.
    case end(String)
}

/// A byte channel to a subsystem or command on a server, already logged in.
///
/// Not thread-safe by design: one thread makes it, uses it and closes it. No call blocks.
protocol SSHTransport: AnyObject {
    var facts: TransportFacts { get }
    /// How many bytes are best offered at once.
    var pieceLength: Int { get }

    /// Takes some of `bytes` and returns how many; 0 when it would block. Then the same bytes are to be offered next.
    /// What was taken goes out with the next `read`, or before, when much of it has gathered.
    func write(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int

    /// Reads what is there.
    func read(into room: UnsafeMutableRawBufferPointer) throws(SFTPError) -> TransportRead

    /// Descriptors and events that can end a "would block".
    func addInterests(to interests: inout [pollfd])

    /// Ends the channel and frees everything. Idempotent; waits at most a moment.
    func close()
}

/// What to run on the server.
enum RemoteProgram: Sendable, Equatable {
    case subsystem(String)
    case command(String)
}

extension SSHConfiguration {
    /// Connects, checks the host key, logs in and starts `program`; blocks the calling thread, within `wait`'s bounds.
    func open(_ program: RemoteProgram, _ wait: OpeningWait) throws(SFTPError) -> any SSHTransport {
        switch transport {
        case .openSSH: return try OpenSSHTransport(self, program, wait)
        case .libssh2:
            guard certificateFile == nil, jumps.isEmpty else {
                throw .invalidArgument("certificates and jump hosts need the openssh transport")
            }
            return try LibSSH2Transport(self, program, wait)
        }
    }
}

/// A deadline together with a way to end the wait early; for the blocking steps of opening a transport.
struct OpeningWait: Sendable {
    var wakeup: Wakeup
    var isInterrupted: @Sendable () -> Bool
    var deadline: ContinuousClock.Instant

    /// Polls one descriptor; throws `cancelled` when interrupted, returns false when the deadline passed.
    func poll(_ descriptor: CInt, for events: CShort) throws(SFTPError) -> Bool {
        while true {
            if isInterrupted() { throw .cancelled }
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return false }
            var interests = [
                pollfd(fd: descriptor, events: events, revents: 0),
                pollfd(fd: wakeup.descriptor, events: CShort(POLLIN), revents: 0),
            ]
            let count = Glibc.poll(&interests, 2, left.pollMilliseconds)
            if count < 0, errno != EINTR {
                throw .disconnected(reason: "poll: \(systemMessage(errno))", operation: "connect")
            }
            if interests[1].revents != 0 { wakeup.clear() }
            if interests[0].revents != 0 { return true }
        }
    }
}

extension Duration {
    /// Milliseconds for poll, rounded up.
    var pollMilliseconds: CInt {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return CInt(clamping: max(0, milliseconds))
    }
}
