// A file in memory that a child process reads by path: what `ssh` wants as a file need not be left on a disk.

internal import CChildProcess
internal import Glibc

/// A sealed-in file of this process (memfd_create(2)), readable for its user alone; gone with its owner, however that
/// ends.
final class MemoryFile {
    private let descriptor: CInt

    /// A path by which processes of the same user open it while its owner lives.
    var path: String { "/proc/\(getpid())/fd/\(descriptor)" }

    /// A file with these bytes.
    ///
    /// - Parameter isProgram: whether it may be executed.
    init(_ bytes: [UInt8], isProgram: Bool = false) throws(SFTPError) {
        func failure() -> SFTPError {
            .disconnected(reason: "no file in memory: \(systemMessage(errno))", operation: "connect")
        }
        let descriptor = ferry_memory_file()
        guard descriptor >= 0 else { throw failure() }
        self.descriptor = descriptor
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure() }
            rest = rest.dropFirst(count)
        }
        guard fchmod(descriptor, isProgram ? 0o700 : 0o600) == 0 else { throw failure() }
    }

    /// A file with this text.
    convenience init(_ text: String, isProgram: Bool = false) throws(SFTPError) {
        try self.init(Array(text.utf8), isProgram: isProgram)
    }

    deinit { close(descriptor) }
}
