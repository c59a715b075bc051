// Who is whose child, read from /proc.

import Foundation

/// Processes of this machine as a tree.
public enum ProcessTree {
    /// All descendants of a process, children before their own children.
    public static func descendants(of pid: Int32) -> [Int32] {
        var children: [Int32: [Int32]] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let child = Int32(name), let parent = parent(of: child) else { continue }
            children[parent, default: []].append(child)
        }
        var found: [Int32] = []
        var next = [pid]
        while let one = next.popLast() {
            let own = children[one] ?? []
            found += own
            next += own
        }
        return found
    }

    /// The parent's pid; nil when there is no such process.
    static func parent(of pid: Int32) -> Int32? {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return nil }
        // "pid (name) state ppid …", and the name may hold spaces and parentheses.
        guard let end = status.lastIndex(of: ")") else { return nil }
        let fields = status[status.index(after: end)...].split(separator: " ")
        return fields.count > 1 ? Int32(fields[1]) : nil
    }
}
