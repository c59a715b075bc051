// TokensFile: the file of hashed tokens, read anew when it changes, so that a right taken away is gone at once.

import Core
import Foundation
import Glibc
import Logging
import Synchronization

/// The tokens file on disk.
final class TokensFile: Sendable {
    /// The file cannot be used; nobody is let in until it can.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// What tells one content from the next without reading it.
    private struct Stamp: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
        var changedSeconds: Int
        var changedNanoseconds: Int
    }

    private struct Loaded {
        var stamp: Stamp
        var table: TokenTable
    }

    /// The largest file that is read, in bytes.
    private static let maximumSize: Int64 = 16 << 20

    private let path: String
    private let logger: Logger
    private let loaded = Mutex<Loaded?>(nil)

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// The table as the file is now.
    func table() throws(Unreadable) -> TokenTable {
        let stamp = try stamp()
        if let table = loaded.withLock({ $0?.stamp == stamp ? $0?.table : nil }) { return table }
        guard let bytes = FileManager.default.contents(atPath: path),
            let text = String(validating: bytes, as: UTF8.self)
        else { throw Unreadable(description: "the tokens file \(path) cannot be read as UTF-8 text") }
        let table = TokenTable(text: text)
        for line in table.refusedLines {
            logger.warning("a line of the tokens file grants nothing: it is malformed", metadata: ["line": "\(line)"])
        }
        // Written meanwhile: what was read may be half of it, and is read again next time.
        let after = try self.stamp()
        if after == stamp { loaded.withLock { $0 = Loaded(stamp: stamp, table: table) } }
        return table
    }

    private func stamp() throws(Unreadable) -> Stamp {
        var status = Glibc.stat()
        guard stat(path, &status) == 0 else {
            throw Unreadable(description: "the tokens file \(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFREG, Int64(status.st_size) <= Self.maximumSize else {
            throw Unreadable(description: "the tokens file \(path) is no regular file of at most 16 MiB")
        }
        return Stamp(
            device: UInt64(status.st_dev),
            inode: UInt64(status.st_ino),
            size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec,
            changedSeconds: status.st_ctim.tv_sec,
            changedNanoseconds: status.st_ctim.tv_nsec
        )
    }
}
