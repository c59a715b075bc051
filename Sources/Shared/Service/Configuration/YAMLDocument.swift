// YAMLDocument: a bounded, alias-free composition of one YAML text into nodes.

internal import Yams

/// One YAML file as nodes, made in bounded time and memory whatever the text says.
///
/// Aliases are refused before the text is composed: a few lines of aliases can stand for billions of nodes, and Yams
/// compares whole mapping keys. Comments are taken out first, so that what is looked at is what is composed.
enum YAMLDocument {
    /// No sensible configuration is larger, not even one with a thousand targets.
    static let maximumBytes = 1 << 20
    /// The deepest sensible nesting is four.
    static let maximumDepth = 32
    /// A key that was given more than once is renamed to begin with this (and a number), so that the rest of the file
    /// can still be read and its problems be told too.
    static let duplicateMark = "ferry.duplicate."
    private static let maximumDuplicates = 32

    /// The root node; `nil` for an empty file.
    static func compose(_ text: String, file: String) throws(ConfigurationError) -> Node? {
        guard text.utf8.count <= maximumBytes else {
            throw ConfigurationError(file: file, "expected at most \(ByteSize.format(Int64(maximumBytes))) of YAML")
        }
        var lines = try checkedLines(of: text, file: file)
        for number in 0...maximumDuplicates {
            do {
                return try Yams.compose(yaml: lines.joined(separator: "\n"))
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                guard number < maximumDuplicates, rename(number, at: context.mark, in: &lines) else {
                    let keys = names.map { quoted($0) }.joined(separator: ", ")
                    let line = context.mark.line > 0 ? context.mark.line : nil
                    throw ConfigurationError(
                        file: file,
                        line: line,
                        "expected each key once, found more than one \(keys)"
                    )
                }
            } catch {
                throw problem(error, file: file)
            }
        }
        return nil
    }

    /// The name of a key that `compose` had to rename; `nil` for any other.
    static func originalName(ofDuplicate key: String) -> String? {
        guard key.hasPrefix(duplicateMark) else { return nil }
        return key.dropFirst(duplicateMark.count).split(separator: ".", maxSplits: 1).last.map(String.init)
    }

    /// Marks the key that begins at `mark`; false where that is not the beginning of a plain or quoted word.
    private static func rename(_ number: Int, at mark: Mark, in lines: inout [String]) -> Bool {
        guard lines.indices.contains(mark.line - 1) else { return false }
        let line = lines[mark.line - 1].unicodeScalars
        guard var index = line.index(line.startIndex, offsetBy: mark.column - 1, limitedBy: line.endIndex),
            index < line.endIndex
        else { return false }
        if line[index] == "\"" || line[index] == "'" {
            index = line.index(after: index)
        } else if !line[index].properties.isAlphabetic, line[index].properties.numericType == nil, line[index] != "_" {
            return false
        }
        lines[mark.line - 1] =
            String(line[..<index]) + duplicateMark + "\(number)." + String(line[index...])
        return true
    }

    /// The lines without comments, once they are known to hold no anchor, no alias and no deep nesting.
    private static func checkedLines(of text: String, file: String) throws(ConfigurationError) -> [String] {
        var lines: [String] = []
        var depth = 0
        let normalized = text.hasPrefix("\u{FEFF}") ? text.dropFirst() : text[...]
        for raw in splitLines(normalized) {
            let line = withoutComment(raw)
            lines.append(line)
            if let found = anchorOrAlias(in: line) {
                throw ConfigurationError(
                    file: file,
                    line: lines.count,
                    "expected no YAML anchors and aliases, found \(quoted(found)); a text that begins so needs quotes"
                )
            }
            for byte in line.utf8 {
                switch byte {
                case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
                default: break
                }
                guard depth <= maximumDepth else {
                    throw ConfigurationError(file: file, line: lines.count, nestingMessage)
                }
            }
        }
        return lines
    }

    private static let nestingMessage = "expected at most \(maximumDepth) levels of nesting"

    /// YAML 1.1 §4.2 breaks lines also at NEL, LS and PS, and so does libyaml.
    private static func splitLines(_ text: Substring) -> [Substring.UnicodeScalarView] {
        var lines: [Substring.UnicodeScalarView] = []
        let scalars = text.unicodeScalars
        var start = scalars.startIndex
        var index = start
        while index < scalars.endIndex {
            let scalar = scalars[index]
            let end = index
            index = scalars.index(after: index)
            switch scalar {
            case "\r":
                if index < scalars.endIndex, scalars[index] == "\n" { index = scalars.index(after: index) }
            case "\n", "\u{85}", "\u{2028}", "\u{2029}": break
            default: continue
            }
            lines.append(scalars[start..<end])
            start = index
        }
        lines.append(scalars[start...])
        return lines
    }

    /// The line up to a `#` that begins a comment: first on the line or after white space, and not within quotes.
    ///
    /// A `#` within a text that runs over several quoted lines is taken for a comment too; no key has such a text.
    private static func withoutComment(_ line: Substring.UnicodeScalarView) -> String {
        var single = false
        var double = false
        var previous: Unicode.Scalar = " "
        for index in line.indices {
            let scalar = line[index]
            switch scalar {
            case "\"" where !single && previous != "\\": double.toggle()
            case "'" where !double: single.toggle()
            case "#" where !single && !double && (previous == " " || previous == "\t"):
                return String(String.UnicodeScalarView(line[..<index]))
            default: break
            }
            previous = scalar
        }
        return String(String.UnicodeScalarView(line))
    }

    /// Anything that could be an anchor or an alias, wherever it stands.
    ///
    /// Deliberately blind to quotes: telling which quotes quote needs a whole YAML scanner, and a mistake in it would
    /// let a bomb through. What a configuration quotes ("*", "web-*") is not preceded by what may precede an alias.
    private static func anchorOrAlias(in line: String) -> String? {
        let scalars = line.unicodeScalars
        var previous: Unicode.Scalar = " "
        for index in scalars.indices {
            let scalar = scalars[index]
            defer { previous = scalar }
            guard scalar == "&" || scalar == "*", " \t[]{},:".unicodeScalars.contains(previous) else { continue }
            let next = scalars.index(after: index)
            if next < scalars.endIndex, scalars[next] == " " || scalars[next] == "\t" { continue }
            return String(String.UnicodeScalarView(scalars[index...].prefix { $0 != " " && $0 != "," }))
        }
        return nil
    }

    private static func problem(_ error: any Error, file: String) -> ConfigurationError {
        guard let error = error as? YamlError else { return ConfigurationError(file: file, "not valid YAML: \(error)") }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            if problem.contains("nest level") || (context?.text.contains("nest level") ?? false)
                || problem.contains("nesting level")
            {
                return ConfigurationError(file: file, line: mark.line, nestingMessage)
            }
            let detail = [context?.text, problem].compactMap(\.self).joined(separator: ", ")
            return ConfigurationError(file: file, line: mark.line, "expected valid YAML: \(detail)")
        case .reader(let problem, _, _, _):
            return ConfigurationError(file: file, "expected valid YAML in UTF-8: \(problem)")
        default:
            return ConfigurationError(file: file, "expected valid YAML: \(error)")
        }
    }
}
