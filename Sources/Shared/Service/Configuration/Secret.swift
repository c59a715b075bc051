// Secret: a password or token read from the file that the configuration names.

internal import Glibc

/// A secret that shows itself only where `value` is asked for.
public struct Secret: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// The secret itself, never for a log.
    public let value: String
    /// What is unsafe about the file it came from, in words for the log; `nil` where nothing is.
    public let warning: String?

    /// A secret from elsewhere than a file.
    public init(_ value: String, warning: String? = nil) {
        self.value = value
        self.warning = warning
    }

    /// Always the same, whatever the secret.
    public var description: String { "<secret>" }
    /// Shows no part of the secret.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Reads the secret that `path` holds, without the one line break (LF or CR LF) at its end.
///
/// A file that others than its owner may read is accepted, with a warning in the result: container platforms mount
/// secrets so.
///
/// - Throws: `ConfigurationError` naming the file where it cannot be read, is no regular file, is empty, larger than
///   64 KiB, or not UTF-8.
public func readSecret(_ path: String) throws(ConfigurationError) -> Secret {
    let (bytes, mode) = try readFile(path, limit: 64 << 10, expecting: "a file that holds a secret")
    guard var text = String(validating: bytes, as: UTF8.self) else {
        throw ConfigurationError(file: path, "expected a secret in UTF-8")
    }
    if text.unicodeScalars.last == "\n" { text.unicodeScalars.removeLast() }
    if text.unicodeScalars.last == "\r" { text.unicodeScalars.removeLast() }
    guard !text.isEmpty else { throw ConfigurationError(file: path, "expected a secret, found an empty file") }
    let octal = "0" + String(mode & 0o777, radix: 8)
    let warning = mode & 0o007 == 0 ? nil : "\(path) holds a secret and is open to every user (mode \(octal)); use 0600"
    return Secret(text, warning: warning)
}

/// The bytes and permission bits of the regular file at `path`.
///
/// - Parameter expecting: what the file should be, for messages.
func readFile(_ path: String, limit: Int, expecting: String) throws(ConfigurationError) -> (
    bytes: [UInt8], mode: UInt32
) {
    // Non-blocking, so that a named pipe in the file's place cannot hold the program up.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw unreadable(path, expecting) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw unreadable(path, expecting) }
    guard status.st_mode & S_IFMT == S_IFREG else {
        throw ConfigurationError(file: path, "expected \(expecting), found no regular file")
    }
    var bytes: [UInt8] = []
    while true {
        let room = limit + 1 - bytes.count
        guard room > 0 else {
            throw ConfigurationError(file: path, "expected \(expecting) of at most \(ByteSize.format(Int64(limit)))")
        }
        var count = 0
        let piece = [UInt8](unsafeUninitializedCapacity: min(room, 64 << 10)) { buffer, initialized in
            repeat {
                count = read(descriptor, buffer.baseAddress, buffer.count)
            } while count < 0 && errno == EINTR
            initialized = max(0, count)
        }
        guard count >= 0 else { throw unreadable(path, expecting) }
        if count == 0 { return (bytes, UInt32(status.st_mode)) }
        bytes += piece
    }
}

private func unreadable(_ path: String, _ expecting: String) -> ConfigurationError {
    ConfigurationError(file: path, "expected \(expecting), cannot read it: \(String(cString: strerror(errno)))")
}
