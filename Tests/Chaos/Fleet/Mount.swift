// A directory on a small file system of its own in memory, so that it can be filled up.

import Foundation
import Harness

/// A mounted tmpfs, or a plain directory where this user may not mount.
final class Mount: Sendable {
    let path: String
    /// Whether it has a file system of its own.
    let isMounted: Bool

    private static let megabytes = 512

    init(_ path: String) async throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let options = "size=\(Self.megabytes)m,mode=0755,uid=\(geteuid()),gid=\(getegid())"
        isMounted = try await Self.asRoot(["mount", "-t", "tmpfs", "-o", options, "ferry-chaos", path])
    }

    func path(_ relative: String) -> String { path + "/" + relative }

    /// Leaves only so many bytes free, by a large file that grows by what others give back meanwhile.
    func fill(leaving bytes: Int, for time: Duration) async throws {
        guard isMounted else { throw HarnessError("\(path) has no file system of its own") }
        let ballast = path(".ballast")
        let end = ContinuousClock.now + time
        var size = 0
        var isFull = false
        while ContinuousClock.now < end {
            // What is free may be taken by others before it is asked for: then half of it.
            var more = try Self.free(path) - bytes
            while more > 4_096 {
                let words = ["-o", String(size), "-l", String(more), ballast]
                if try await ChildProcess.run("fallocate", words).isSuccess {
                    size += more
                    break
                }
                more /= 2
            }
            isFull = try isFull || Self.free(path) <= bytes + 65_536
            try await Task.sleep(for: .milliseconds(50))
        }
        guard isFull else { throw HarnessError("\(path) could not be filled") }
    }

    /// Gives the room back.
    func empty() { try? FileManager.default.removeItem(atPath: path(".ballast")) }

    func unmount() async {
        if isMounted { _ = try? await Self.asRoot(["umount", "-l", path]) }
    }

    /// What runs that were killed left mounted below a directory.
    static func sweep(below directory: String) async throws {
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        for line in mounts.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count > 1, words[1].hasPrefix(directory + "/") else { continue }
            _ = try await asRoot(["umount", "-l", String(words[1])])
        }
    }

    private static func free(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfFileSystem(forPath: path)
        return (attributes[.systemFreeSize] as? NSNumber)?.intValue ?? 0
    }

    private static func asRoot(_ words: [String]) async throws -> Bool {
        let all = geteuid() == 0 ? words : ["sudo", "-n"] + words
        guard let report = try? await ChildProcess.run(all[0], Array(all.dropFirst())) else { return false }
        return report.isSuccess
    }
}
