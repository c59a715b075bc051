// TargetRoot: absolute paths on a target, as the old interfaces have them, made relative to the target's root.

import Core
import Foundation

/// The directory of a target below which all uploads lie.
struct TargetRoot: Hashable, Sendable {
    /// Why an absolute path was refused.
    enum Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// It does not begin with a slash.
        case relative
        /// It is not below the root, or is the root itself. Where the root lies is not told.
        case outside
        /// What is left below the root is no path of an upload.
        case path(TargetPath.Refusal)

        var description: String {
            switch self {
            case .relative: "the path is not absolute"
            case .outside: "the path does not lie below the target's root"
            case .path(let refusal): refusal.description
            }
        }
    }

    /// The root's components, first directory first; none for `/`.
    let components: [String]

    /// A root from configuration, which has made sure that it is absolute and has no dot components.
    init(_ root: String) { components = Self.split(root).filter { !$0.isEmpty } }

    /// The path below the root. Compared component by component: `/srv/incoming2` is not in `/srv/incoming`. Nothing is
    /// mended: `.`, `..` and empty components are refused wherever they are.
    func path(of fullPath: String) throws(Refusal) -> TargetPath {
        guard fullPath.utf8.first == UInt8(ascii: "/") else { throw .relative }
        let pieces = Self.split(fullPath).dropFirst()
        guard pieces.count > components.count, pieces.starts(with: components) else { throw .outside }
        let rest = pieces.dropFirst(components.count).joined(separator: "/")
        guard !rest.isEmpty else { throw .outside }
        // Not an absolute path, as it would seem, but a second slash after the root.
        guard rest.utf8.first != UInt8(ascii: "/") else { throw .path(.emptyComponent) }
        do { return try TargetPath(rest) } catch { throw .path(error) }
    }

    /// The absolute path of an upload's file.
    func fullPath(of path: TargetPath) -> String { "/" + (components + path.components).joined(separator: "/") }

    /// Split over bytes, as `TargetPath` does: a slash with a combining mark is one Character.
    private static func split(_ path: String) -> [String] {
        path.precomposedStringWithCanonicalMapping.utf8
            .split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
    }
}
