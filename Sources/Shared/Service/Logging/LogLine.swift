// LogLine: what both log handlers write: one event's fields, flattened, free of secrets and of control characters.

internal import Logging

/// One log event, ready to be rendered.
struct LogLine {
    /// A metadata value of the kinds that JSON tells apart.
    enum Value: Equatable {
        case text(String)
        /// A number or boolean, rendered.
        case literal(String)
        case list([Value])
    }

    /// Longest text of a message or value in bytes; what follows is cut off.
    static let maximumTextBytes = 16 << 10
    private static let maximumDepth = 8

    var time: LogTime
    var level: Logger.Level
    var label: String
    var message: String
    /// Sorted by key; nested dictionaries flattened with dots.
    var fields: [(key: String, value: Value)]

    init(event: LogEvent, label: String, metadata: Logger.Metadata, provider: Logger.MetadataProvider?, time: LogTime) {
        var merged = metadata
        if let provided = provider?.get() { merged.merge(provided) { $1 } }
        if let explicit = event.metadata { merged.merge(explicit) { $1 } }
        if let error = event.error {
            merged["error.message"] = .string("\(error)")
            merged["error.type"] = .string(String(reflecting: type(of: error)))
        }
        var fields: [String: Value] = [:]
        for (key, value) in merged { Self.flatten(key, value, depth: 0, into: &fields) }
        self.time = time
        self.level = event.level
        self.label = label
        self.message = Redaction.clean(Self.bounded(event.message.description))
        self.fields = fields.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func flatten(
        _ key: String,
        _ value: Logger.MetadataValue,
        depth: Int,
        into fields: inout [String: Value]
    ) {
        let key = bounded(key, to: 256)
        if Redaction.isSecret(key) {
            fields[key] = .text("<redacted>")
        } else if case .dictionary(let nested) = value, depth < maximumDepth {
            for (name, value) in nested { flatten("\(key).\(name)", value, depth: depth + 1, into: &fields) }
        } else {
            fields[key] = rendered(value, depth: depth)
        }
    }

    private static func rendered(_ value: Logger.MetadataValue, depth: Int) -> Value {
        switch value {
        case .string(let text): return .text(Redaction.clean(bounded(text)))
        case .stringConvertible(let convertible):
            switch convertible {
            case let flag as Bool: return .literal(flag ? "true" : "false")
            case let number as any FixedWidthInteger: return .literal("\(number)")
            case let number as Double where number.isFinite: return .literal("\(number)")
            default: return .text(Redaction.clean(bounded(convertible.description)))
            }
        case .array(let elements) where depth < maximumDepth:
            return .list(elements.prefix(1_000).map { rendered($0, depth: depth + 1) })
        // Within a list there are no keys to flatten into.
        case .dictionary(let nested) where depth < maximumDepth:
            let pairs = nested.sorted { $0.key < $1.key }.map { key, value in
                Redaction.isSecret(key) ? "\(key)=<redacted>" : "\(key)=\(rendered(value, depth: depth + 1).plain)"
            }
            return .text(bounded(pairs.joined(separator: " ")))
        case .array, .dictionary: return .text("…")
        }
    }

    private static func bounded(_ text: String, to limit: Int = maximumTextBytes) -> String {
        guard text.utf8.count > limit else { return text }
        let cut = text.utf8.index(text.utf8.startIndex, offsetBy: limit)
        return String(text[..<text.unicodeScalars.index(before: cut)]) + "…"
    }
}

extension LogLine.Value {
    /// The value as text.
    var plain: String {
        switch self {
        case .text(let text), .literal(let text): text
        case .list(let values): "[" + values.map(\.plain).joined(separator: ", ") + "]"
        }
    }
}

/// Whether a scalar could break a line, move a cursor, or reorder what is read.
func needsEscape(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
    default: false
    }
}

/// Keeps secrets out of logs: a net below the rule that nobody logs them in the first place.
enum Redaction {
    private static let secretEndings = [
        "password", "passphrase", "secret", "token", "authorization", "cookie", "privatekey",
    ]

    /// Whether the value under `key` is a secret by its name.
    static func isSecret(_ key: String) -> Bool {
        let last = key.lowercased().filter { $0 != "_" && $0 != "-" }
        return secretEndings.contains { last.hasSuffix($0) }
    }

    /// `text` with the passwords of URLs (`scheme://user:password@host`) and bearer tokens taken out.
    static func clean(_ text: String) -> String {
        // Most texts have neither, and are not copied.
        guard text.contains("://") || text.contains("earer ") else { return text }
        return withoutBearer(withoutPasswords(text))
    }

    private static func withoutPasswords(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let marker = rest.firstRange(of: "://") {
            result += rest[..<marker.upperBound]
            rest = rest[marker.upperBound...]
            let authority = rest.prefix { !$0.isWhitespace && !"/?#\"'<>".contains($0) }
            guard let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") else {
                continue
            }
            result += authority[...colon] + "***"
            rest = rest[at...]
        }
        return result + rest
    }

    private static func withoutBearer(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let marker = rest.firstRange(of: "earer ") {
            result += rest[..<marker.upperBound]
            let token = rest[marker.upperBound...].prefix { !$0.isWhitespace && !",;\"'".contains($0) }
            // Shorter words are prose: "bearer of bad news".
            result += token.utf8.count >= 16 ? "***" : token
            rest = rest[token.endIndex...]
        }
        return result + rest
    }
}
