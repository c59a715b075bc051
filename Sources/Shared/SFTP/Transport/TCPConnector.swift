// Opens a TCP connection to a host within a deadline.

internal import Glibc

enum TCPConnector {
    /// Returns a connected non-blocking socket with TCP_NODELAY and limits on silent peers; the caller owns it.
    static func connect(
        _ configuration: SSHConfiguration,
        _ wait: OpeningWait
    ) throws(SFTPError) -> CInt {
        let (host, port) = (configuration.host, configuration.port)
        func failure(_ reason: String) -> SFTPError { .connectFailed(host: host, port: port, reason: reason) }

        guard (1...65_535).contains(port), !host.isEmpty, !host.utf8.contains(0) else {
            throw failure("not a host and port")
        }
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0 else { throw failure("no address: \(String(cString: gai_strerror(code)))") }

        var reason = "no address"
        var next = list
        while let address = next?.pointee {
            switch try attempt(address, wait) {
            case .success(let descriptor):
                configure(descriptor, silence: configuration.requestTimeout)
                return descriptor
            case .failure(let problem): reason = problem.text
            }
            next = address.ai_next
        }
        throw failure(reason)
    }

    private struct Problem: Error { var text: String }

    private static func attempt(_ address: addrinfo, _ wait: OpeningWait) throws(SFTPError) -> Result<CInt, Problem> {
        let kind = address.ai_socktype | CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.ai_family, kind, address.ai_protocol)
        guard descriptor >= 0 else { return .failure(Problem(text: systemMessage(errno))) }
        var isHandedOver = false
        defer { if !isHandedOver { close(descriptor) } }

        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 {
            guard errno == EINPROGRESS else { return .failure(Problem(text: systemMessage(errno))) }
            guard try wait.poll(descriptor, for: CShort(POLLOUT)) else {
                return .failure(Problem(text: "no answer in time"))
            }
            var code: CInt = 0
            var length = socklen_t(MemoryLayout<CInt>.size)
            guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else {
                return .failure(Problem(text: systemMessage(errno)))
            }
            guard code == 0 else { return .failure(Problem(text: systemMessage(code))) }
        }
        isHandedOver = true
        return .success(descriptor)
    }

    /// Best effort: a socket without these works, only slower or with later news of a dead peer.
    private static func configure(_ descriptor: CInt, silence: Duration) {
        func set(_ level: CInt, _ name: CInt, _ value: CInt) {
            var value = value
            _ = setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<CInt>.size))
        }
        let tcp = CInt(IPPROTO_TCP)
        set(tcp, TCP_NODELAY, 1)
        set(tcp, TCP_USER_TIMEOUT, max(1000, silence.pollMilliseconds))
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(tcp, TCP_KEEPIDLE, 15)
        set(tcp, TCP_KEEPINTVL, 5)
        set(tcp, TCP_KEEPCNT, 4)
    }
}
