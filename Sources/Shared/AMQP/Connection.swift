// One connection to the broker: the only file group that touches the C library's handle.

internal import CRabbitMQ
internal import DequeModule
internal import Glibc

/// Owns a librabbitmq connection. Not Sendable: it is made, used and freed on one thread, and no pointer leaves it.
///
/// All reading is `amqp_simple_wait_frame_noblock`, frame by frame, for all channels at once. The library's own waits
/// (`amqp_read_message`, `amqp_simple_rpc`) are never used: they lose or reorder other channels' frames and close
/// the socket when they time out. So several channels on a connection are safe here.
final class Connection {
    let configuration: AMQPConfiguration
    let handle: amqp_connection_state_t
    /// For what is encoded; emptied after each frame.
    let pool: UnsafeMutablePointer<amqp_pool_t>
    private var backlog: Deque<InboundFrame> = []
    private var watch: SocketWatchdog.Watch?
    private var socket: Int32 = -1
    /// Half of what makes the peer give us up: heartbeats are sent only inside the library's waits.
    private var longestWait: Duration = .seconds(1)

    init(_ configuration: AMQPConfiguration) throws(AMQPError) {
        guard let handle = amqp_new_connection() else { throw .system("no memory for a connection") }
        self.configuration = configuration
        self.handle = handle
        pool = .allocate(capacity: 1)
        init_amqp_pool(pool, 4_096)
    }

    deinit {
        watch?.end()
        amqp_destroy_connection(handle)
        empty_amqp_pool(pool)
        pool.deallocate()
    }

    /// Connects and logs in.
    func open() throws(AMQPError) {
        let place = "\(configuration.host):\(configuration.port)"
        let newSocket: OpaquePointer? =
            if let tls = configuration.tls { try tlsSocket(tls) } else { amqp_tcp_socket_new(handle) }
        guard let newSocket else { throw .connectFailed("\(place): no memory for a socket") }
        var timeout = configuration.connectTimeout.timeValue
        let status = amqp_socket_open_noblock(newSocket, configuration.host, Int32(configuration.port), &timeout)
        guard status == 0 else { throw .connectFailed("\(place): \(Self.text(status))") }
        socket = amqp_get_sockfd(handle)
        let watch = try SocketWatchdog.shared.watch(socket)
        self.watch = watch
        // The kernel gives up on unacknowledged data by itself after this (tcp(7)).
        var userTimeout = UInt32(clamping: configuration.operationTimeout.nanoseconds / 1_000_000)
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &userTimeout, socklen_t(MemoryLayout<UInt32>.size))
        watch.arm(for: configuration.connectTimeout + .seconds(1))
        try login(place)
        progress()
        let heartbeat = max(1, Int(amqp_get_heartbeat(handle)))
        longestWait = .milliseconds(heartbeat * 400)
    }

    private func tlsSocket(_ tls: AMQPConfiguration.TLS) throws(AMQPError) -> OpaquePointer? {
        guard let socket = amqp_ssl_socket_new(handle) else { return nil }
        // The upper bound only names the newest the library knows of; TLS 1.3 stays allowed.
        guard amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == 0 else {
            throw .connectFailed("TLS 1.2 is not available")
        }
        amqp_ssl_socket_set_verify_peer(socket, tls.verify ? 1 : 0)
        amqp_ssl_socket_set_verify_hostname(socket, tls.verify ? 1 : 0)
        if tls.verify {
            guard amqp_ssl_socket_set_cacert(socket, tls.certificateAuthorityFile) == 0 else {
                throw .connectFailed("cannot read certificate authorities from \(tls.certificateAuthorityFile)")
            }
        }
        return socket
    }

    private func login(_ place: String) throws(AMQPError) {
        var handshake = configuration.connectTimeout.timeValue
        amqp_set_handshake_timeout(handle, &handshake)
        var properties: AMQPTable = [
            "capabilities": .table([
                "consumer_cancel_notify": true,
                "connection.blocked": true,
                "publisher_confirms": true,
                "basic.nack": true,
                "authentication_failure_close": true,
            ])
        ]
        if let name = configuration.connectionName { properties["connection_name"] = .string(name) }
        var table = encode(properties)
        defer { recycle_amqp_pool(pool) }
        let seconds = Int32(clamping: max(1, configuration.heartbeat.nanoseconds / 1_000_000_000))
        let reply = amqp_shim_login_plain(
            handle,
            configuration.vhost,
            131_072,
            min(seconds, 65_535),
            &table,
            configuration.user,
            configuration.password
        )
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            guard case .connectionClose(let code, let text) = InboundFrame.Method(reply.reply) else {
                throw .connectFailed("\(place): unexpected answer to the login")
            }
            sendCloseOk()
            if code == AMQP_ACCESS_REFUSED || code == AMQP_NOT_ALLOWED {
                throw .accessRefused("\(configuration): \(code) \(text)")
            }
            throw .connectFailed("\(place): \(code) \(text)")
        default:
            throw .connectFailed("\(place): login: \(Self.text(reply.library_error))")
        }
    }

    // MARK: Reading

    /// The next frame, one put aside by a `call` first; nil if none is there.
    func nextFrame() throws(AMQPError) -> InboundFrame? {
        if let frame = backlog.popFirst() { return frame }
        return try readFrame()
    }

    /// Drops what was put aside for a channel that is closed: its number may be used again.
    func forgetFrames(of channel: UInt16) { backlog.removeAll { $0.channel == channel } }

    /// The highest channel number both sides agreed on.
    var channelLimit: UInt16 { UInt16(clamping: amqp_get_channel_max(handle)) }

    private func readFrame() throws(AMQPError) -> InboundFrame? {
        var frame = amqp_frame_t()
        while true {
            var nothing = timeval()
            let status = amqp_simple_wait_frame_noblock(handle, &frame, &nothing)
            if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
            try check(status, "read")
            if let inbound = try InboundFrame(frame) { return inbound }
        }
    }

    /// Frees what the frames read so far held.
    func releaseBuffers() { amqp_maybe_release_buffers(handle) }

    /// Sleeps until there is something to read, `wakeUp` is readable, `until` has come, or a heartbeat may be due.
    ///
    /// - Parameter writable: end the sleep also when the socket takes data.
    func wait(wakeUp: Int32, until: Moment?, writable: Bool = false) throws(AMQPError) {
        guard backlog.isEmpty, amqp_frames_enqueued(handle) == 0, amqp_data_in_buffer(handle) == 0 else { return }
        var end = Moment.now + longestWait
        if let until { end = min(end, until) }
        let events = Int16(POLLIN) | (writable ? Int16(POLLOUT) : 0)
        var entries = [
            pollfd(fd: socket, events: events, revents: 0), pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
        ]
        watch?.disarm()
        let status = poll(&entries, 2, end.millisecondsFromNow)
        let error = errno
        progress()
        if status < 0, error != EINTR { throw .system("poll: \(String(cString: strerror(error)))") }
    }

    /// Whether the socket takes data: the kernel says so while a third of its buffer is free.
    var isWritable: Bool {
        var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) == 1
    }

    // MARK: Calls

    /// Sends a request on a channel and waits for its answer; what else arrives is put aside for `nextFrame`.
    func call<Answer>(
        _ what: String,
        channel: UInt16,
        send: () throws(AMQPError) -> Void,
        answer: (InboundFrame.Method) -> Answer?
    ) throws(AMQPError) -> Answer {
        let deadline = Moment.now + configuration.operationTimeout
        try send()
        while true {
            while let frame = try readFrame() {
                guard case .method(let from, let method) = frame else {
                    backlog.append(frame)
                    continue
                }
                switch method {
                case .connectionClose(let code, let text):
                    sendCloseOk()
                    throw .connectionClosed("\(code) \(text)")
                case .channelClose(let code, let text) where from == channel:
                    try sendChannelCloseOk(channel)
                    throw .channelClosed(code: code, text: text)
                default:
                    if from == channel, let found = answer(method) { return found }
                    backlog.append(frame)
                }
            }
            guard Moment.now < deadline else { throw .timedOut(what) }
            try waitForFrame(until: deadline)
        }
    }

    private func waitForFrame(until: Moment) throws(AMQPError) {
        guard amqp_frames_enqueued(handle) == 0, amqp_data_in_buffer(handle) == 0 else { return }
        var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        watch?.disarm()
        poll(&entry, 1, min(until, Moment.now + longestWait).millisecondsFromNow)
        progress()
    }

    /// Says goodbye and waits a little for the answer. The handle is freed by `deinit`.
    func close(within: Duration = .seconds(1)) {
        watch?.arm(for: within)
        guard (try? sendClose()) != nil else { return }
        let deadline = Moment.now + within
        while Moment.now < deadline {
            do {
                while let frame = try readFrame() {
                    if case .method(_, .connectionCloseOk) = frame { return }
                }
                try waitForFrame(until: deadline)
            } catch {
                return
            }
        }
    }

    // MARK: Writing

    /// Runs several writes with the kernel joining their small segments.
    func batch(_ body: () throws(AMQPError) -> Void) throws(AMQPError) {
        setCork(1)
        defer { setCork(0) }
        try body()
    }

    /// Starts the watchdog's time anew. It runs whenever the thread does not sleep in `poll`, because any write may
    /// hang, a heartbeat's too.
    func progress() { watch?.arm(for: configuration.operationTimeout) }

    private func setCork(_ value: Int32) {
        var value = value
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Turns a library status into an error that says what was being done.
    func check(_ status: Int32, _ what: String) throws(AMQPError) {
        guard status < 0 else { return }
        if watch?.fired == true { throw .connectionClosed("\(what): the broker took no data in time") }
        switch status {
        case AMQP_STATUS_HEARTBEAT_TIMEOUT.rawValue: throw .connectionClosed("\(what): no heartbeat from the broker")
        case AMQP_STATUS_BAD_AMQP_DATA.rawValue, AMQP_STATUS_UNKNOWN_METHOD.rawValue,
            AMQP_STATUS_UNKNOWN_CLASS.rawValue:
            throw .protocolViolation("\(what): \(Self.text(status))")
        default: throw .connectionClosed("\(what): \(Self.text(status))")
        }
    }

    static func text(_ status: Int32) -> String { String(cString: amqp_error_string2(status)) }
}
