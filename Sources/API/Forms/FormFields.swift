// FormFields: the small fields of a form, bounded, each once.

/// Fields by name. Both are text in UTF-8.
struct FormFields: Hashable, Sendable {
    /// The most fields that a form may have.
    static let maximumCount = 64
    /// The most bytes that names and values may have together (64 KiB).
    static let maximumBytes = 65_536

    private(set) var values: [String: String] = [:]
    private var bytes = 0

    /// A field's value; nil where it was not sent.
    subscript(_ name: String) -> String? { values[name] }

    /// Adds a field. One that comes twice is refused: two readers could take two things for it.
    mutating func add(_ nameBytes: some Collection<UInt8>, _ valueBytes: some Collection<UInt8>) throws(FormError) {
        bytes += nameBytes.count + valueBytes.count
        guard values.count < Self.maximumCount else {
            throw .tooLarge("a form has at most \(Self.maximumCount) fields")
        }
        guard bytes <= Self.maximumBytes else { throw .tooLarge("a form's fields have at most 64 KiB") }
        guard let name = String(validating: nameBytes, as: UTF8.self) else {
            throw .malformed("a field's name is not valid UTF-8")
        }
        guard let value = String(validating: valueBytes, as: UTF8.self) else {
            throw .malformed("the field '\(name.prefix(100))' is not valid UTF-8")
        }
        guard values.updateValue(value, forKey: name) == nil else {
            throw .malformed("the field '\(name.prefix(100))' comes twice")
        }
    }

    /// Adds what came another way too, such as in the query: what is said in both places must be the same.
    mutating func merge(_ others: FormFields) throws(FormError) {
        for (name, value) in others.values {
            if let own = values[name] {
                guard own.utf8.elementsEqual(value.utf8) else {
                    throw .malformed("the field '\(name.prefix(100))' comes twice, with different values")
                }
            } else {
                try add(name.utf8, value.utf8)
            }
        }
    }
}
