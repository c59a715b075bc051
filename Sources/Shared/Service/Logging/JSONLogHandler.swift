// JSONLogHandler: logs as one JSON object a line, for machines.

public import Logging

/// A log handler that writes each event as one JSON object on one line.
///
/// Its members are `time` (RFC 3339, UTC, milliseconds), `level`, `logger`, `message`, then the metadata by name.
/// Nested metadata is flattened with dots; metadata named like one of the four is prefixed with `metadata.`.
public struct JSONLogHandler: LogHandler {
    private static let reserved: Set<String> = ["time", "level", "logger", "message"]

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
        output.write(Self.render(line))
    }

    static func render(_ line: LogLine) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        bytes += #"{"time":""#.utf8
        bytes += line.time.rfc3339.utf8
        bytes += #"","level":""#.utf8
        bytes += line.level.rawValue.utf8
        bytes += #"","logger":"#.utf8
        append(line.label, to: &bytes)
        bytes += #","message":"#.utf8
        append(line.message, to: &bytes)
        for (key, value) in line.fields {
            bytes.append(UInt8(ascii: ","))
            append(reserved.contains(key) ? "metadata.\(key)" : key, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            append(value, to: &bytes)
        }
        bytes += "}\n".utf8
        return bytes
    }

    private static func append(_ value: LogLine.Value, to bytes: inout [UInt8]) {
        switch value {
        case .text(let text): append(text, to: &bytes)
        case .literal(let literal): bytes += literal.utf8
        case .list(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }

    /// A JSON string (RFC 8259 §7). Escapes more than it must: all that could deceive whoever reads the raw line.
    private static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": bytes += #"\""#.utf8
            case "\\": bytes += #"\\"#.utf8
            case "\n": bytes += #"\n"#.utf8
            case "\r": bytes += #"\r"#.utf8
            case "\t": bytes += #"\t"#.utf8
            case _ where needsEscape(scalar):
                let digits = String(scalar.value, radix: 16)
                bytes += #"\u"#.utf8
                bytes += repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count)
                bytes += digits.utf8
            default: bytes += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
