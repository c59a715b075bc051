// A directory that goes away with its owner: below the checkout's ignored `.stack-tests`, or where only root writes.

import Foundation
import Synchronization

/// A directory of its own, removed with everything in it when the value is released.
///
/// What a killed test process left behind is removed by the next one.
public final class TemporaryDirectory: Sendable {
    /// Absolute path of the directory.
    public let path: String

    /// Where temporary directories are.
    public enum Place: Sendable {
        /// Below the checkout.
        case checkout
        /// Below `/var/lib`, where no directory on the way can be written to by others; only root can make it.
        case system

        fileprivate var parent: String { self == .checkout ? ProjectRoot.path(".stack-tests") : "/var/lib" }
        fileprivate var prefix: String { self == .checkout ? "" : "ferry-tests-" }
    }

    /// Makes an empty directory; `name` only helps a human who looks.
    public init(_ name: String = "test", in place: Place = .checkout) throws {
        switch place {
        case .checkout: _ = Self.sweptCheckout
        case .system: _ = Self.sweptSystem
        }
        let pid = ProcessInfo.processInfo.processIdentifier
        let suffix = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        path = "\(place.parent)/\(place.prefix)\(pid)-\(name)-\(suffix)"
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

    private static let sweptCheckout: Void = sweep(.checkout)
    private static let sweptSystem: Void = sweep(.system)

    /// Done once a process and place: directories of processes that no longer run.
    private static func sweep(_ place: Place) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: place.parent)) ?? []
        for name in names where name.hasPrefix(place.prefix) {
            let words = name.dropFirst(place.prefix.count).split(separator: "-")
            guard let pid = words.first.flatMap({ Int32($0) }) else { continue }
            if !FileManager.default.fileExists(atPath: "/proc/\(pid)") {
                try? FileManager.default.removeItem(atPath: place.parent + "/" + name)
            }
        }
    }
}
