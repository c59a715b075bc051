// TextLogHandler: logs as plain lines, for people at a terminal.

public import Logging

/// A log handler that writes "time LEVEL logger: message key=value …" on one line.
public struct TextLogHandler: LogHandler {
    /// Least level that is logged.
    public var logLevel = Logger.Level.info
    /// Metadata of every event.
    public var metadata = Logger.Metadata()
    /// Metadata from the task.
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let output: LogOutput
    private let now: @Sendable () -> LogTime

    /// A handler that writes to standard error.
    public init(label: String, metadataProvider: Logger.MetadataProvider? = nil) {
        self.init(label: label, metadataProvider: metadataProvider, output: .standardError, now: LogTime.now)
    }

    init(
        label: String,
        metadataProvider: Logger.MetadataProvider?,
        output: LogOutput,
        now: @escaping @Sendable () -> LogTime
    ) {
        self.label = label
        self.metadataProvider = metadataProvider
        self.output = output
        self.now = now
    }

    /// One metadata value of every event.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line.
    public func log(event: LogEvent) {
        let line = LogLine(event: event, label: label, metadata: metadata, provider: metadataProvider, time: now())
        output.write(Array(Self.render(line).utf8))
    }

    static func render(_ line: LogLine) -> String {
        let level = line.level.rawValue.uppercased()
        let padding = String(repeating: " ", count: max(0, 8 - level.utf8.count))
        var text = "\(line.time.rfc3339) \(level)\(padding) \(escaped(line.label)): \(escaped(line.message))"
        for (key, value) in line.fields {
            let plain = escaped(value.plain)
            let needsQuotes = plain.isEmpty || plain.contains { $0 == " " || $0 == "\"" || $0 == "=" }
            text += " \(escaped(key))=" + (needsQuotes ? "\"\(plain.replacing("\"", with: "\\\""))\"" : plain)
        }
        return text + "\n"
    }

    private static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { needsEscape($0) || $0 == "\\" }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\\": result += "\\\\"
            case _ where needsEscape(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
