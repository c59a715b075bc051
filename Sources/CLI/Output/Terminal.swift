// Where output goes, and what it may look like there.

internal import Foundation
internal import Glibc

/// The terminal, if there is one.
enum Terminal {
    /// Whether bars and colours may be shown: standard error is a terminal and NO_COLOR is not set.
    static var isRich: Bool {
        isatty(STDERR_FILENO) == 1 && (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty
            && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    /// Columns of the terminal; 80 where it does not say.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Says to standard error what went wrong.
    static func complain(_ text: String, prefix: String = "ferry: ") {
        write(prefix + text + "\n", to: STDERR_FILENO)
    }

    /// Writes to a descriptor, all of it or until it is closed.
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Text from a server or a file name without what could command the terminal: control characters become `?`.
    static func plain(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : scalar
                }
            )
        )
    }
}
