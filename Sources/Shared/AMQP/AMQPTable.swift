// Field tables: arguments of declarations and headers of messages.

/// A value of a field table. What RabbitMQ sends and none of these fit is left out.
public indirect enum AMQPValue: Sendable, Equatable {
    /// UTF-8 text.
    case string(String)
    /// Any integer; sent as 64 bits.
    case int(Int64)
    /// True or false.
    case bool(Bool)
    /// A floating-point number.
    case double(Double)
    /// Bytes that need not be text.
    case bytes([UInt8])
    /// Seconds since 1970.
    case timestamp(UInt64)
    /// A table within.
    case table(AMQPTable)
    /// A list.
    case array([AMQPValue])
    /// No value.
    case void
}

extension AMQPValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    /// Text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}

/// A field table (AMQP 0-9-1 §4.2.5.5).
public struct AMQPTable: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// The entries by name.
    public var entries: [String: AMQPValue]

    /// An empty table, or one of these entries.
    public init(_ entries: [String: AMQPValue] = [:]) { self.entries = entries }

    /// A table of these entries; of a repeated name the last counts.
    public init(dictionaryLiteral elements: (String, AMQPValue)...) {
        entries = Dictionary(elements) { $1 }
    }

    /// The entry of that name.
    public subscript(name: String) -> AMQPValue? {
        get { entries[name] }
        set { entries[name] = newValue }
    }

    /// Whether there is nothing in it.
    public var isEmpty: Bool { entries.isEmpty }

    /// Upper bound of its size on the wire, in bytes.
    var encodedSize: Int {
        entries.reduce(4) { $0 + 1 + $1.key.utf8.count + $1.value.encodedSize }
    }

    /// Whether every name fits a short string, at every depth.
    var hasValidNames: Bool {
        entries.allSatisfy { $0.key.utf8.count <= 255 && $0.value.hasValidNames }
    }
}

extension AMQPValue {
    fileprivate var encodedSize: Int {
        switch self {
        case .string(let text): 5 + text.utf8.count
        case .bytes(let bytes): 5 + bytes.count
        case .int, .double, .timestamp: 9
        case .bool: 2
        case .void: 1
        case .table(let table): 1 + table.encodedSize
        case .array(let values): values.reduce(5) { $0 + $1.encodedSize }
        }
    }

    fileprivate var hasValidNames: Bool {
        switch self {
        case .table(let table): table.hasValidNames
        case .array(let values): values.allSatisfy(\.hasValidNames)
        default: true
        }
    }
}
