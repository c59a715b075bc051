// LogOutput: where log lines go, one write(2) each.

internal import Glibc
internal import Synchronization

/// A file descriptor that takes whole lines from any thread.
public final class LogOutput: Sendable {
    /// Standard error.
    public static let standardError = LogOutput(descriptor: STDERR_FILENO)

    // Holds the descriptor, so that nobody writes without the lock.
    private let descriptor: Mutex<Int32>

    /// Writes to `descriptor`, which stays the caller's to close.
    init(descriptor: Int32) {
        self.descriptor = Mutex(descriptor)
    }

    /// Writes the line in one call; only where the system takes less of it, the rest in further ones.
    ///
    /// A line that cannot be written is dropped: there is nobody to tell.
    func write(_ line: [UInt8]) {
        descriptor.withLock { descriptor in
            line.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    if count > 0 {
                        rest = rest.dropFirst(count)
                    } else if count < 0, errno == EINTR {
                        continue
                    } else if count < 0, errno == EAGAIN || errno == EWOULDBLOCK {
                        // Somebody made the descriptor non-blocking. Wait a little for the reader, not for ever.
                        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                        guard poll(&entry, 1, 1_000) > 0 else { return }
                    } else {
                        return
                    }
                }
            }
        }
    }
}
