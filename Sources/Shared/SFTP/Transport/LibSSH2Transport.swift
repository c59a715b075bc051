// The first transport: one channel of a libssh2 session.

internal import CLibSSH2
internal import Glibc

/// A channel to a subsystem or command over libssh2.
final class LibSSH2Transport: SSHTransport {
    private var session: LibSSH2Session?
    private var channel: OpaquePointer?
    let facts: TransportFacts
    let pieceLength = OutboundQueue.packetLength
    /// The end of what the server wrote to the error stream, for messages.
    private(set) var errorText: [UInt8] = []
    private let keepsErrorText: Bool

    /// Window we grant the server: what a few large reads in flight need.
    private static let window: CUnsignedInt = 4 * 1024 * 1024
    private static let packet: CUnsignedInt = 32_768

    /// Connects, checks the host key, logs in and starts `program`; blocks the calling thread, within `wait`'s bounds.
    init(
        _ configuration: SSHConfiguration,
        _ program: RemoteProgram,
        _ wait: OpeningWait
    ) throws(SFTPError) {
        let descriptor = try TCPConnector.connect(configuration, wait)
        let session = try LibSSH2Session(socket: descriptor, configuration: configuration)
        var wait = wait
        wait.deadline = .now + configuration.connectTimeout
        try session.open(wait)
        facts = session.facts
        self.session = session
        if case .command = program { keepsErrorText = true } else { keepsErrorText = false }

        var opened: OpaquePointer?
        _ = try session.drive(wait, "channel") {
            opened = libssh2_channel_open_ex(session.handle, "session", 7, Self.window, Self.packet, nil, 0)
            return opened == nil ? libssh2_session_last_errno(session.handle) : 0
        }
        guard let opened else { throw session.disconnected("open of a channel") }
        channel = opened
        let (request, argument) =
            switch program {
            case .subsystem(let name): ("subsystem", name)
            case .command(let command): ("exec", command)
            }
        let code = try session.drive(wait, request) {
            libssh2_channel_process_startup(
                opened,
                request,
                CUnsignedInt(request.utf8.count),
                argument,
                CUnsignedInt(argument.utf8.count)
            )
        }
        guard code == 0 else {
            if code == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED || code == LIBSSH2_ERROR_CHANNEL_FAILURE {
                switch program {
                case .subsystem(let name): throw .unsupported(extension: "subsystem \(name)")
                case .command: throw .execRefused(reason: session.lastMessage)
                }
            }
            throw session.disconnected(request)
        }
        if !keepsErrorText {
            // A server may not fill our memory through a stream nobody reads.
            _ = try session.drive(wait, request) {
                libssh2_channel_handle_extended_data2(opened, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE)
            }
        }
    }

    deinit { close() }

    func write(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int {
        guard let session, let channel else { throw .closed }
        session.assertThread()
        if session.socket.isFull, !session.socket.flush() {
            if session.socket.failure != nil { throw session.disconnected("write") }
            return 0
        }
        // `read` sends what was gathered, and takes what came in.
        session.socket.gathers = true
        defer { session.socket.gathers = false }
        let count = libssh2_channel_write_ex(
            channel,
            0,
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            bytes.count
        )
        if count >= 0 { return count }
        if count == Int(LIBSSH2_ERROR_EAGAIN) { return 0 }
        throw session.disconnected("write")
    }

    func read(into room: UnsafeMutableRawBufferPointer) throws(SFTPError) -> TransportRead {
        guard let session, let channel else { throw .closed }
        session.assertThread()
        if !session.socket.flush(), session.socket.failure != nil { throw session.disconnected("write") }
        let count = libssh2_channel_read_ex(
            channel,
            0,
            room.baseAddress?.assumingMemoryBound(to: CChar.self),
            room.count
        )
        if keepsErrorText { readErrorText(channel) }
        if count > 0 { return .bytes(count) }
        if !session.socket.flush(), session.socket.failure != nil { throw session.disconnected("read") }
        if libssh2_channel_eof(channel) != 0 {
            if keepsErrorText {
                // A command's status, and perhaps the rest of its error stream, come after the end of its output.
                if libssh2_channel_wait_closed(channel) == LIBSSH2_ERROR_EAGAIN { return .wouldBlock }
                readErrorText(channel)
            }
            return .end("the server ended the channel\(endDetails(channel))")
        }
        if count == 0 || count == Int(LIBSSH2_ERROR_EAGAIN) { return .wouldBlock }
        throw session.disconnected("read")
    }

    private func readErrorText(_ channel: OpaquePointer) {
        var room = [UInt8](repeating: 0, count: 4096)
        let count = room.withUnsafeMutableBytes {
            libssh2_channel_read_ex(channel, 1, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
        }
        guard count > 0 else { return }
        errorText = Array((errorText + room.prefix(count)).suffix(1024))
    }

    private func endDetails(_ channel: OpaquePointer) -> String {
        let status = libssh2_channel_get_exit_status(channel)
        let text = printable(String(decoding: errorText, as: UTF8.self))
        return (status == 0 ? "" : ", status \(status)") + (text.isEmpty ? "" : ": \(text)")
    }

    func addInterests(to interests: inout [pollfd]) {
        guard let session else { return }
        let events = session.socket.hasKept ? POLLIN | POLLOUT : POLLIN
        interests.append(pollfd(fd: session.socket.descriptor, events: CShort(events), revents: 0))
    }

    /// Says good-bye if the socket takes it at once; a server that is told ends its processes sooner.
    func close() {
        guard let session else { return }
        if let channel {
            _ = libssh2_channel_send_eof(channel)
            _ = libssh2_session_disconnect_ex(session.handle, SSH_DISCONNECT_BY_APPLICATION, "done", "")
            _ = session.socket.flush()
        }
        channel = nil
        // Frees the channel too.
        self.session = nil
    }
}
