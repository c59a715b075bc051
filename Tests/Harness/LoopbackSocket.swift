// The few socket calls that probes and the fault proxy need, each with a bound.

import Glibc

/// Plain TCP sockets on 127.0.0.1.
enum LoopbackSocket {
    /// A listening, non-blocking socket.
    static func listen(port: Int) throws -> Int32 {
        let descriptor = try make()
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let bound = withAddress(port) { bind(descriptor, $0, $1) }
        guard bound == 0, Glibc.listen(descriptor, 512) == 0 else {
            let code = errno
            close(descriptor)
            throw HarnessError.system("listening on 127.0.0.1:\(port)", code)
        }
        return descriptor
    }

    /// A non-blocking socket whose connection may still be under way.
    static func startConnecting(port: Int) throws -> Int32 {
        let descriptor = try make()
        let connected = withAddress(port) { Glibc.connect(descriptor, $0, $1) }
        guard connected == 0 || errno == EINPROGRESS else {
            let code = errno
            close(descriptor)
            throw HarnessError.system("connecting to 127.0.0.1:\(port)", code)
        }
        return descriptor
    }

    /// Connects, sends `request` and returns what comes back, at least `count` bytes, within the time.
    static func ask(port: Int, request: [UInt8], count: Int, milliseconds: Int32) throws -> [UInt8] {
        let descriptor = try startConnecting(port: port)
        defer { close(descriptor) }
        try wait(descriptor, Int16(POLLOUT), milliseconds, "connecting to 127.0.0.1:\(port)")
        if let code = error(of: descriptor) { throw HarnessError.system("connecting to 127.0.0.1:\(port)", code) }
        if !request.isEmpty, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) != request.count {
            throw HarnessError.system("writing to 127.0.0.1:\(port)", errno)
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 512)
        while answer.count < count {
            try wait(descriptor, Int16(POLLIN), milliseconds, "waiting for an answer of 127.0.0.1:\(port)")
            let received = recv(descriptor, &buffer, buffer.count, 0)
            guard received > 0 else { throw HarnessError("127.0.0.1:\(port) closed the connection") }
            answer += buffer[..<received]
        }
        return answer
    }

    /// The pending error of a socket, if there is one.
    static func error(of descriptor: Int32) -> Int32? {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { return errno }
        return code == 0 ? nil : code
    }

    private static func wait(_ descriptor: Int32, _ events: Int16, _ milliseconds: Int32, _ what: String) throws {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        guard poll(&entry, 1, milliseconds) > 0 else { throw HarnessError("\(what): no answer in time") }
    }

    private static func make() throws -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { throw HarnessError.system("making a socket", errno) }
        return descriptor
    }

    private static func withAddress(
        _ port: Int,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
