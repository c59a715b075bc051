// Watches final names appear on a target, to count those that appear twice and to catch wrong bytes at once.

import Foundation
import Glibc
import Harness
import Synchronization

/// An inotify watch on one directory.
final class TargetWatch: Sendable {
    private struct State {
        /// Digests in the order of appearance, by name.
        var seen: [String: [String]] = [:]
        var ended = false
    }

    private let directory: String
    private let state = Mutex(State())

    init(_ directory: String) throws {
        self.directory = directory
        let descriptor = inotify_init1(Int32(O_NONBLOCK | O_CLOEXEC))
        // A name appears by a link (IN_CREATE) or by a rename (IN_MOVED_TO).
        guard descriptor >= 0, inotify_add_watch(descriptor, directory, 0x100 | 0x80) >= 0 else {
            throw HarnessError("\(directory) cannot be watched")
        }
        Thread.detachNewThread { [weak self] in
            var buffer = [UInt8](repeating: 0, count: 64 * 1024)
            while let watch = self, !watch.state.withLock({ $0.ended }) {
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&entry, 1, 100) > 0 else { continue }
                let count = read(descriptor, &buffer, buffer.count)
                if count > 0 { watch.take(buffer[..<count]) }
            }
            close(descriptor)
        }
    }

    /// Names with the digests of what appeared there, in order.
    var seen: [String: [String]] { state.withLock { $0.seen } }

    func end() { state.withLock { $0.ended = true } }

    /// inotify(7): watch, mask, cookie and length of four bytes each, then the name, padded with zeros.
    private func take(_ bytes: ArraySlice<UInt8>) {
        var at = bytes.startIndex
        while at + 16 <= bytes.endIndex {
            let length = (0..<4).reduce(0) { $0 | Int(bytes[at + 12 + $1]) << (8 * $1) }
            let name = String(decoding: bytes[(at + 16)..<(at + 16 + length)].prefix { $0 != 0 }, as: UTF8.self)
            at += 16 + length
            guard !name.hasPrefix("."), let content = FileManager.default.contents(atPath: "\(directory)/\(name)")
            else { continue }
            let digest = Digest.sha256Hex(content)
            state.withLock { $0.seen[name, default: []].append(digest) }
        }
    }
}
