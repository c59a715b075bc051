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

    /// Leaves only so many bytes free, by a large file.
    func fill(leaving bytes: Int) async throws {
        guard isMounted else { throw HarnessError("\(path) has no file system of its own") }
        let free = try Self.free(path)
        guard free > bytes else { return }
        let report = try await ChildProcess.run("fallocate", ["-l", String(free - bytes), path(".ballast")])
        guard report.isSuccess else { throw HarnessError("fallocate: \(report.errors)") }
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
