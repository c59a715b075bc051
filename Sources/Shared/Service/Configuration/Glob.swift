// Glob: the shell's '*' and '?' over target ids.

/// A pattern in which `*` stands for any run of characters and `?` for exactly one.
public struct Glob: Sendable, Equatable, CustomStringConvertible {
    /// The pattern as it was written.
    public let pattern: String

    /// A pattern; every text is one.
    public init(_ pattern: String) {
        self.pattern = pattern
    }

    /// The pattern as it was written.
    public var description: String { pattern }

    /// Whether the whole of `text` fits, compared byte by byte. Takes at most pattern times text steps.
    public func matches(_ text: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let text = Array(text.utf8)
        var (p, t) = (0, 0)
        var star: (pattern: Int, text: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let last = star {
                star = (last.pattern, last.text + 1)
                p = last.pattern + 1
                t = last.text + 1
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
