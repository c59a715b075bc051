// A descriptor by which any thread ends another thread's poll.

internal import CLibSSH2
internal import Glibc

/// An eventfd. It is closed when the last user lets go of it, so a late signal never hits another descriptor.
final class Wakeup: Sendable {
    let descriptor: CInt

    init() throws(SFTPError) {
        descriptor = ferry_eventfd()
        guard descriptor >= 0 else {
            throw .disconnected(reason: "no descriptor for a wake-up: \(systemMessage(errno))", operation: "connect")
        }
    }

    deinit { close(descriptor) }

    func signal() {
        var one: UInt64 = 1
        // A full counter means a signal is pending already.
        _ = write(descriptor, &one, 8)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}

/// The system's words for an error number.
func systemMessage(_ code: CInt) -> String {
    var text = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &text, text.count) == 0 else { return "error \(code)" }
    return text.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
}
