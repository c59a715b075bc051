// A directory that goes away with its owner, below the checkout's ignored `.stack-tests`.

import Foundation
import Synchronization

/// A directory of its own, removed with everything in it when the value is released.
///
/// What a killed test process left behind is removed by the next one.
public final class TemporaryDirectory: Sendable {
    /// Absolute path of the directory.
    public let path: String

    /// Makes an empty directory; `name` only helps a human who looks.
    public init(_ name: String = "test") throws {
        _ = Self.sweep
        let pid = ProcessInfo.processInfo.processIdentifier
        path = Self.base + "/\(pid)-\(name)-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o755]
        )
    }

    deinit {
        remove()
    }

    /// Removes the directory now; harmless if it is gone.
    public func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of something in the directory.
    public func path(_ relative: String) -> String {
        path + "/" + relative
    }

    /// Makes a directory in it and returns its path.
    public func makeDirectory(_ relative: String) throws -> String {
        let made = path(relative)
        try FileManager.default.createDirectory(atPath: made, withIntermediateDirectories: true)
        return made
    }

    private static let base = ProjectRoot.path(".stack-tests")

    /// Done once a process: directories of processes that no longer run.
    private static let sweep: Void = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        for name in names {
            guard let pid = name.split(separator: "-").first.flatMap({ Int32($0) }) else { continue }
            if !FileManager.default.fileExists(atPath: "/proc/\(pid)") {
                try? FileManager.default.removeItem(atPath: base + "/" + name)
            }
        }
    }()
}
