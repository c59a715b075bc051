// ConfigurationError: everything that is wrong with a configuration, told at once.

/// Why a configuration cannot be used: every problem found, each with its place, its key and what was expected.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One thing that is wrong.
    public struct Problem: Sendable, Equatable, CustomStringConvertible {
        /// Where the offending value was read.
        public enum Place: Sendable, Equatable {
            /// A line of the configuration file, counted from 1; `nil` for the file as a whole.
            case file(String, line: Int?)
            /// An environment variable.
            case environment(String)
        }

        /// Where the offending value was read.
        public var place: Place
        /// The key's path, such as `targets.web-eu-1.port`; empty for the file as a whole.
        public var key: String
        /// What was expected, and what was found.
        public var message: String

        /// "ferry.yaml:12: staging.fsync: expected true or false, found …".
        public var description: String {
            let origin =
                switch place {
                case .file(let file, let line?): "\(file):\(line)"
                case .file(let file, nil): file
                case .environment(let name): "environment variable \(name)"
                }
            return key.isEmpty ? "\(origin): \(message)" : "\(origin): \(key): \(message)"
        }
    }

    /// All problems: those of the file by line, then those of the environment by name. Never empty.
    public let problems: [Problem]

    init(_ problems: [Problem]) {
        self.problems = problems
    }

    init(file: String, line: Int? = nil, key: String = "", _ message: String) {
        self.problems = [Problem(place: .file(file, line: line), key: key, message: message)]
    }

    /// One line for each problem.
    public var description: String {
        problems.map(\.description).joined(separator: "\n")
    }
}

/// `text` made fit for a one-line message: quoted, control characters escaped, at most 60 characters.
func quoted(_ text: some StringProtocol) -> String {
    var result = "\""
    var count = 0
    for scalar in text.unicodeScalars {
        guard count < 60 else {
            result += "…"
            break
        }
        count += 1
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned:
            result += "\\u{" + String(scalar.value, radix: 16) + "}"
        default:
            result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// The one of `candidates` that `text` is probably a misspelling of: at most two edits away and under half its length.
func closest(to text: String, among candidates: some Sequence<String>) -> String? {
    let wanted = Array(text.lowercased().utf8.prefix(64))
    var best: (candidate: String, distance: Int)?
    for candidate in candidates {
        let distance = editDistance(wanted, Array(candidate.lowercased().utf8.prefix(64)))
        if distance <= 2, distance * 2 < candidate.utf8.count, distance < best?.distance ?? .max {
            best = (candidate, distance)
        }
    }
    return best?.candidate
}

/// Levenshtein's distance, in bytes.
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var previous = Array(0...right.count)
    for (row, a) in left.enumerated() {
        var current = [row + 1]
        for (column, b) in right.enumerated() {
            current.append(min(previous[column] + (a == b ? 0 : 1), previous[column + 1] + 1, current[column] + 1))
        }
        previous = current
    }
    return previous[right.count]
}
