// PrometheusText: the text exposition format 0.0.4: names, labels, escapes and numbers.

/// The labels of one series, in their rendered order. Two series are the same if these are.
struct PrometheusLabels: Hashable, Comparable, Sendable {
    /// Longest value in bytes; what follows is cut off.
    static let maximumValueBytes = 256
    /// What series beyond the bound of a metric are counted under.
    static let overflow = Self(pairs: [Pair(name: "overflow", value: "true")])

    struct Pair: Hashable, Sendable {
        var name: String
        /// Escaped.
        var value: String
    }

    var pairs: [Pair]

    private init(pairs: [Pair]) {
        self.pairs = pairs
    }

    /// Labels from the dimensions of a metric: names made valid, values escaped, sorted; of two with one name the later.
    init(_ dimensions: [(String, String)]) {
        var values: [String: String] = [:]
        for (name, value) in dimensions { values[PrometheusText.labelName(name)] = PrometheusText.labelValue(value) }
        pairs = values.map { Pair(name: $0.key, value: $0.value) }.sorted { $0.name < $1.name }
    }

    static func < (left: Self, right: Self) -> Bool {
        left.rendered() < right.rendered()
    }

    /// `{a="1",b="2"}`, with `extra` last; empty without any.
    func rendered(extra: (name: String, value: String)? = nil) -> String {
        var parts = pairs.map { "\($0.name)=\"\($0.value)\"" }
        if let extra { parts.append("\(extra.name)=\"\(extra.value)\"") }
        return parts.isEmpty ? "" : "{" + parts.joined(separator: ",") + "}"
    }
}

/// The words of the format.
enum PrometheusText {
    /// A valid metric name `[a-zA-Z_:][a-zA-Z0-9_:]*`: other bytes become underscores. Colons become underscores too,
    /// being for recording rules.
    static func metricName(_ label: String) -> String {
        sanitized(label)
    }

    /// A valid label name `[a-zA-Z_][a-zA-Z0-9_]*` that is neither reserved (`__…`) nor the format's own (`le`,
    /// `quantile`).
    static func labelName(_ name: String) -> String {
        let name = sanitized(name)
        if name == "le" || name == "quantile" { return "exported_\(name)" }
        return name.hasPrefix("__") ? "label\(name)" : name
    }

    private static func sanitized(_ name: String) -> String {
        var bytes = name.utf8.prefix(200).map { isAlphanumeric($0) ? $0 : UInt8(ascii: "_") }
        let first = bytes.first ?? UInt8(ascii: "0")
        if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) { bytes.insert(UInt8(ascii: "_"), at: 0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A label's value: backslash, quote and line feed escaped, other control characters replaced.
    static func labelValue(_ value: String) -> String {
        var result = ""
        var count = 0
        for scalar in value.unicodeScalars {
            count += UTF8.width(scalar)
            guard count <= PrometheusLabels.maximumValueBytes else { break }
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            case _ where needsEscape(scalar): result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// A help text: backslash and line feed escaped.
    static func help(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(1_000) {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where needsEscape(scalar): result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// A number as Go's ParseFloat reads it; whole ones without a fraction.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 0x1p53 { return "\(Int64(value))" }
        return "\(value)"
    }
}
