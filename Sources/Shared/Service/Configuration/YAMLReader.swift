// YAMLReader: typed access to a composed YAML file and the environment over it, collecting every problem.

internal import Yams

/// What is collected while one configuration is read.
///
/// Used by one caller at a time and never shared, hence a plain class.
final class YAMLReader {
    let file: String
    let environment: [String: String]
    private(set) var problems: [ConfigurationError.Problem] = []
    /// The environment variables that some key asked for, present or not.
    private(set) var knownVariables: Set<String> = []
    private static let maximumProblems = 100

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    /// Notes a problem of the file.
    func report(line: Int?, key: String, _ message: String) {
        report(.init(place: .file(file, line: line), key: key, message: message))
    }

    func report(_ problem: ConfigurationError.Problem) {
        guard problems.count < Self.maximumProblems else { return }
        problems.append(problem)
    }

    /// The value of environment variable `name`. An empty one counts as not set, since shells and compose files
    /// cannot leave a variable out.
    func variable(_ name: String) -> String? {
        knownVariables.insert(name)
        guard let value = environment[name], !value.isEmpty else { return nil }
        return value
    }

    /// All problems, in the order of the file's lines and then the variables' names; throws them if there are any.
    func finish() throws(ConfigurationError) {
        guard !problems.isEmpty else { return }
        let ordered = problems.enumerated().sorted { left, right in
            let (a, b) = (Self.rank(left.element), Self.rank(right.element))
            return (a.0, a.1, left.offset) < (b.0, b.1, right.offset)
        }
        throw ConfigurationError(ordered.map(\.element))
    }

    private static func rank(_ problem: ConfigurationError.Problem) -> (Int, String) {
        switch problem.place {
        case .file(_, let line): (line ?? 0, "")
        case .environment(let name): (.max, name)
        }
    }
}

/// One mapping of the file. Remembers which keys were asked for; `close` reports the others.
final class YAMLSection {
    private struct Entry {
        var node: Node
        var line: Int?
    }

    let reader: YAMLReader
    /// The key path of this mapping; empty for the root.
    let path: String
    let line: Int?
    /// Whether the file has something else than a mapping here; that is reported.
    private(set) var isRefused = false
    /// The keys in the order of the file.
    private(set) var keys: [String] = []
    private var entries: [String: Entry] = [:]
    private var asked: [String] = []
    /// What the names of this mapping's variables begin with; `nil` where none may override it.
    private let variablePrefix: String?

    /// - Parameter node: the mapping; `nil` or YAML's null for one that was left out.
    init(_ node: Node?, path: String, line: Int?, variablePrefix: String?, reader: YAMLReader) {
        self.reader = reader
        self.path = path
        self.line = line
        self.variablePrefix = variablePrefix
        guard let node, !node.isNull else { return }
        guard case .mapping(let mapping) = node else {
            isRefused = true
            let message = "expected a mapping of keys to values, found \(node.summary)"
            reader.report(line: line ?? node.mark?.line, key: path, message)
            return
        }
        for (keyNode, value) in mapping {
            add(keyNode, value)
        }
    }

    private func add(_ keyNode: Node, _ value: Node) {
        let line = keyNode.mark?.line
        guard case .scalar(let scalar) = keyNode else {
            return reader.report(line: line, key: path, "expected a plain key, found \(keyNode.summary)")
        }
        let original = YAMLDocument.originalName(ofDuplicate: scalar.string)
        let name = original ?? scalar.string
        if original != nil || entries[name] != nil {
            reader.report(line: line, key: keyPath(name), "expected the key once, found it more than once")
            guard original == nil else { return }
        }
        if entries.updateValue(Entry(node: value, line: line), forKey: name) == nil { keys.append(name) }
    }

    /// The path of `key` below this mapping; a key that could be confused with a path is quoted.
    func keyPath(_ key: String) -> String {
        let plain =
            !key.isEmpty && key.utf8.count <= 63
            && key.utf8.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
        let name = plain ? key : quoted(key)
        return path.isEmpty ? name : "\(path).\(name)"
    }

    /// The line that `key` is on, or else the line of the mapping.
    func line(of key: String) -> Int? {
        entries[key]?.line ?? line
    }

    /// Whether the file gives `key` a value other than null.
    func has(_ key: String) -> Bool {
        entries[key].map { !$0.node.isNull } ?? false
    }

    /// Notes a problem with `key`, at the place its value came from.
    func report(_ key: String, _ message: String) {
        if let name = variableName(key), reader.variable(name) != nil {
            reader.report(.init(place: .environment(name), key: keyPath(key), message: message))
        } else {
            reader.report(line: line(of: key), key: keyPath(key), message)
        }
    }

    /// The mapping at `key`; an empty one where it was left out.
    func section(_ key: String, overridable: Bool = true) -> YAMLSection {
        asked.append(key)
        let prefix = overridable ? variableName(key).map { $0 + "_" } : nil
        return YAMLSection(
            entries[key]?.node,
            path: keyPath(key),
            line: line(of: key),
            variablePrefix: prefix,
            reader: reader
        )
    }

    /// The value at `key`, from the environment or the file, or else `standard`.
    func value<Value>(_ key: String, _ kind: ValueKind<Value>, default standard: Value) -> Value {
        switch find(key, kind) {
        case .value(let value): return value
        case .missing, .refused: return standard
        case .null:
            report(key, "expected \(kind.expectation), found nothing")
            return standard
        }
    }

    /// The value at `key`; `nil` where it was left out, is null, or is wrong (which is then reported).
    func optional<Value>(_ key: String, _ kind: ValueKind<Value>) -> Value? {
        if case .value(let value) = find(key, kind) { value } else { nil }
    }

    /// The value at `key`; its absence is reported.
    func required<Value>(_ key: String, _ kind: ValueKind<Value>) -> Value? {
        switch find(key, kind) {
        case .value(let value): return value
        case .refused: return nil
        case .null, .missing:
            report(key, "required key is missing; expected \(kind.expectation)")
            return nil
        }
    }

    /// The list at `key`, whose elements are all of `kind`; a variable gives it separated by commas.
    ///
    /// - Returns: `nil` where it was left out or is wrong (which is then reported).
    func list<Value: Equatable>(_ key: String, _ kind: ValueKind<Value>, count: ClosedRange<Int>) -> [Value]? {
        asked.append(key)
        let expectation = "a list of \(count.lowerBound) to \(count.upperBound) values, each \(kind.expectation)"
        var scalars: [(ScalarText, Int?)] = []
        if let text = variableName(key).flatMap(reader.variable) {
            for item in text.split(separator: ",", omittingEmptySubsequences: false) {
                let trimmed = item.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
                scalars.append((ScalarText(text: String(trimmed), kind: .untyped), nil))
            }
        } else {
            guard let entry = entries[key] else { return nil }
            guard case .sequence(let sequence) = entry.node else {
                report(key, "expected \(expectation), found \(entry.node.summary)")
                return nil
            }
            for node in sequence {
                guard let scalar = node.scalarText else {
                    let line = node.mark?.line ?? entry.line
                    reader.report(line: line, key: keyPath(key), "expected \(expectation), found \(node.summary)")
                    return nil
                }
                scalars.append((scalar, node.mark?.line))
            }
        }
        guard count.contains(scalars.count) else {
            report(key, "expected \(expectation), found \(scalars.count)")
            return nil
        }
        var values: [Value] = []
        for (scalar, line) in scalars {
            let complaint: String
            if let value = kind.read(scalar) {
                guard values.contains(value) else {
                    values.append(value)
                    continue
                }
                complaint = "expected each value once, found \(scalar.description) again"
            } else {
                complaint = "expected \(kind.expectation), found \(scalar.description)"
            }
            if let line {
                reader.report(line: line, key: keyPath(key), complaint)
            } else {
                report(key, complaint)
            }
            return nil
        }
        return values
    }

    /// Reports every key that nobody asked for.
    func close() {
        for key in keys where !asked.contains(key) {
            let hint = closest(to: key, among: asked).map { "; did you mean \($0)?" } ?? ""
            let expected = asked.sorted().joined(separator: ", ")
            let message = "unknown key\(hint.isEmpty ? "; " : hint + " ")expected one of \(expected)"
            reader.report(line: line(of: key), key: keyPath(key), message)
        }
    }

    private enum Found<Value> {
        case value(Value)
        case null, missing
        /// There, but not of the kind wanted: reported.
        case refused
    }

    private func find<Value>(_ key: String, _ kind: ValueKind<Value>) -> Found<Value> {
        asked.append(key)
        let scalar: ScalarText
        if let text = variableName(key).flatMap(reader.variable) {
            scalar = ScalarText(text: text, kind: .untyped)
        } else {
            guard let node = entries[key]?.node else { return .missing }
            guard !node.isNull else { return .null }
            guard let found = node.scalarText else {
                report(key, "expected \(kind.expectation), found \(node.summary)")
                return .refused
            }
            scalar = found
        }
        guard let value = kind.read(scalar) else {
            let found = kind.isSecret ? "another text (not shown: it may hold a secret)" : scalar.description
            report(key, "expected \(kind.expectation), found \(found)")
            return .refused
        }
        return .value(value)
    }

    private func variableName(_ key: String) -> String? {
        variablePrefix.map { $0 + key.uppercased() }
    }
}

extension Node {
    fileprivate var isNull: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain else { return false }
        return Tag.Name(rawValue: tag.description) == .null
    }

    fileprivate var scalarText: ScalarText? {
        guard case .scalar(let scalar) = self, !isNull else { return nil }
        let kind: ScalarText.Kind =
            switch Tag.Name(rawValue: tag.description) {
            case .int: .integer
            case .float: .number
            case .bool: .boolean
            default: .text
            }
        return ScalarText(text: scalar.string, kind: kind)
    }

    /// The node for a message.
    fileprivate var summary: String {
        switch self {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        case .scalar: scalarText?.description ?? "nothing"
        }
    }
}
