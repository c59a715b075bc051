// What all of Ferry's messages have in common: JSON with a version.

internal import FoundationEssentials

/// Why a message could not be read. The two are told apart because a newer program may read it.
public enum MessageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is none of Ferry's messages.
    case malformed(String)
    /// It is of a newer version than this program reads.
    case newer(version: Int)

    /// What is wrong with it.
    public var description: String {
        switch self {
        case .malformed(let text): "malformed: \(text)"
        case .newer(let version): "of version \(version), newer than this program reads"
        }
    }
}

enum MessageJSON {
    private struct VersionOnly: Decodable { var v: Int }

    /// All of Ferry's messages are far smaller.
    private static let sizeLimit = 65_536

    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Encoding cannot fail: the forms hold only text, whole numbers and nothing.
        return (try? encoder.encode(value)).map(Array.init) ?? []
    }

    static func decode<Form: Decodable>(_ form: Form.Type, _ bytes: [UInt8], upTo version: Int) throws(MessageError)
        -> Form
    {
        guard bytes.count <= sizeLimit else { throw .malformed("\(bytes.count) bytes") }
        let decoder = JSONDecoder()
        let data = Data(bytes)
        guard let found = try? decoder.decode(VersionOnly.self, from: data).v, found >= 1 else {
            throw .malformed("no version")
        }
        guard found <= version else { throw .newer(version: found) }
        guard let value = try? decoder.decode(form, from: data) else {
            throw .malformed("a field is missing or of a wrong type")
        }
        return value
    }
}

/// The form of a value that a field must have.
func field<Value>(_ value: Value?, _ name: String) throws(MessageError) -> Value {
    guard let value else { throw .malformed(name) }
    return value
}
