// Paths that clients send: checked, normalised once, and compared by components. Nothing else may become a path on a
// target.

internal import Foundation

/// The path of a final file relative to its target's root, in Unicode normalisation form C.
///
/// A value of this type has passed every rule: it is not empty, not absolute, has no `.`, `..` or empty component, no
/// control character, no backslash, no component over 255 bytes, at most 4,096 bytes in all, and its last component
/// is not one that a part file could have.
public struct TargetPath: Hashable, Sendable, CustomStringConvertible {
    /// Why a path was refused.
    public enum Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// Nothing was given.
        case empty
        /// It begins with a slash.
        case absolute
        /// It has an empty component, as in `a//b` or `a/`.
        case emptyComponent
        /// It has a component `.` or `..`.
        case dotComponent
        /// It has a control character (U+0000 to U+001F, U+007F to U+009F).
        case controlCharacter
        /// It has a backslash, which some servers take for a separator.
        case backslash
        /// A component is over 255 bytes.
        case componentTooLong
        /// It is over 4,096 bytes.
        case tooLong
        /// It is not valid UTF-8.
        case invalidUTF8
        /// A component begins with `.ferry-`, which is kept for part files.
        case reservedName

        /// What a client is told.
        public var description: String {
            switch self {
            case .empty: "the path is empty"
            case .absolute: "the path is absolute; it must be relative to the target's root"
            case .emptyComponent: "the path has an empty component"
            case .dotComponent: "the path has a component '.' or '..'"
            case .controlCharacter: "the path has a control character"
            case .backslash: "the path has a backslash"
            case .componentTooLong: "a component of the path is over 255 bytes"
            case .tooLong: "the path is over 4,096 bytes"
            case .invalidUTF8: "the path is not valid UTF-8"
            case .reservedName: "a component of the path begins with '.ferry-', which is reserved"
            }
        }
    }

    /// The components, first directory first; never empty.
    public let components: [String]

    /// Checks and normalises a path.
    public init(_ text: String) throws(Refusal) {
        // Checked both before and after normalisation, since composing can lengthen some scripts' text.
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= 4_096 else { throw .tooLong }
        let normalised = text.precomposedStringWithCanonicalMapping
        guard normalised.utf8.count <= 4_096 else { throw .tooLong }
        guard normalised.utf8.first != UInt8(ascii: "/") else { throw .absolute }
        for scalar in normalised.unicodeScalars {
            if scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) { throw .controlCharacter }
            if scalar == "\\" { throw .backslash }
        }
        var components: [String] = []
        // Split over bytes: a slash followed by a combining mark is one Character, and must separate all the same.
        for slice in normalised.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let component = String(Substring(slice))
            guard !component.isEmpty else { throw .emptyComponent }
            guard component != ".", component != ".." else { throw .dotComponent }
            guard component.utf8.count <= 255 else { throw .componentTooLong }
            guard !component.utf8.starts(with: ".ferry-".utf8) else { throw .reservedName }
            components.append(component)
        }
        self.components = components
    }

    /// Checks bytes from a wire: they must be valid UTF-8.
    public init(utf8 bytes: some Collection<UInt8>) throws(Refusal) {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .invalidUTF8 }
        try self.init(text)
    }

    /// The last component: the final file's name.
    public var name: String { components[components.count - 1] }

    /// The components of the directory that the final file lies in; empty for the root itself.
    public var directory: [String] { Array(components.dropLast()) }

    /// The components joined with slashes.
    public var description: String { components.joined(separator: "/") }

    /// Whether this path lies in a directory, compared component by component: `ab/c` is not in `a`.
    public func isBelow(_ directory: [String]) -> Bool {
        components.count > directory.count && components.starts(with: directory)
    }
}
