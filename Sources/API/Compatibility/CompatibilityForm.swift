// CompatibilityForm: the fields of a request of the old interfaces, whichever way they come.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// The fields of a request: from the query, and from a body in JSON or one of the two forms. Those that nobody asks for
/// are ignored, for clients send more than they need to.
struct CompatibilityForm: Sendable {
    let fields: FormFields

    /// Reads query and body, which is at most 256 KiB.
    static func read(_ request: Request, _ scope: RequestScope) async throws -> CompatibilityForm {
        let query = try Self.query(of: request)
        let body = try await request.smallBody(scope)
        guard body.readableBytes > 0 else { return CompatibilityForm(fields: query) }
        var fields: FormFields
        let media = try Self.mediaType(of: request)
        switch media?.value {
        case nil, "application/json": fields = try JSON.decode(JSONFields.self, from: body).fields
        case "application/x-www-form-urlencoded": fields = try URLEncodedForm.parse(body.readableBytesView)
        case "multipart/form-data": fields = try Self.multipart(body, boundary: try Self.boundary(media))
        default:
            throw Problem(
                .unsupportedMediaType,
                "send application/json, application/x-www-form-urlencoded or multipart/form-data"
            )
        }
        try fields.merge(query)
        return CompatibilityForm(fields: fields)
    }

    /// The fields of the query alone.
    static func query(of request: Request) throws(FormError) -> FormFields {
        try URLEncodedForm.parse((request.uri.query ?? "").utf8)
    }

    /// The body's media type; nil where none is named.
    static func mediaType(of request: Request) throws(Problem) -> ParameterizedValue? {
        let values = request.headers[values: .contentType]
        guard let text = values.first else { return nil }
        guard values.count == 1, let media = ParameterizedValue(text.utf8) else {
            throw Problem(.unsupportedMediaType, "Content-Type cannot be read")
        }
        return media
    }

    /// The boundary that a multipart body needs.
    static func boundary(_ media: ParameterizedValue?) throws(FormError) -> [UInt8] {
        guard let boundary = media?.boundary else { throw .malformed("Content-Type has no proper boundary") }
        return boundary
    }

    private static func multipart(_ body: ByteBuffer, boundary: [UInt8]) throws(FormError) -> FormFields {
        var parser = MultipartParser(boundary: boundary)
        var collector = FieldCollector(delimiter: parser.delimiter)
        let events = try body.withUnsafeReadableBytes { bytes throws(FormError) in try parser.take(bytes) }
        for event in events {
            if case .part(let header, _) = event { collector.begin(header.name) }
            try collector.take(event, in: body)
        }
        try parser.finish()
        return collector.fields
    }

    // MARK: Reading fields

    /// A field that must be there, and not be empty.
    func required(_ name: String) throws(Problem) -> String {
        guard let value = optional(name) else { throw .invalid(name, "is required") }
        return value
    }

    /// A field that may be left out, or be empty, which means the same.
    func optional(_ name: String) -> String? {
        guard let value = fields[name], !value.isEmpty else { return nil }
        return value
    }

    /// A whole number in decimal digits: no sign, no leading zero.
    func number(_ name: String, in range: ClosedRange<Int64>) throws(Problem) -> Int64? {
        guard let text = optional(name) else { return nil }
        guard let number = Int64(text), String(number) == text, range.contains(number) else {
            throw .invalid(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// What is to happen with a file that is there; nil where nothing is said.
    func overwrite() throws(Problem) -> Overwrite? {
        switch optional("overwrite")?.lowercased() {
        case nil: nil
        case "never", "false", "0": .never
        case "replace", "true", "1": .replace
        default: throw .invalid("overwrite", "must be never or replace, or false or true")
        }
    }
}

/// The members of a JSON object that are text or whole numbers, as a form would have them.
private struct JSONFields: Decodable {
    var fields = FormFields()

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        for key in container.allKeys {
            guard let value = Self.text(container, key) else { continue }
            do { try fields.add(key.stringValue.utf8, value.utf8) } catch { throw Problem(error) }
        }
    }

    /// Nil for null, and for what no field of ours is: it is missed where it is needed.
    private static func text(_ container: KeyedDecodingContainer<AnyKey>, _ key: AnyKey) -> String? {
        if let text = try? container.decode(String.self, forKey: key) { return text }
        if let isTrue = try? container.decode(Bool.self, forKey: key) { return String(isTrue) }
        if let number = try? container.decode(Int64.self, forKey: key) { return String(number) }
        return nil
    }
}

/// Gathers the small parts of a multipart form.
struct FieldCollector {
    private(set) var fields = FormFields()
    private let delimiter: [UInt8]
    private var name: [UInt8]?
    private var value: [UInt8] = []

    init(delimiter: [UInt8]) { self.delimiter = delimiter }

    /// A field begins.
    mutating func begin(_ name: [UInt8]) {
        self.name = name
        value = []
    }

    /// Takes what belongs to a field that has begun.
    mutating func take(_ event: MultipartParser.Event, in piece: ByteBuffer) throws(FormError) {
        guard let name else { return }
        switch event {
        case .held(let count): value += delimiter.prefix(count)
        case .content(let range): value += piece.readableBytesView.dropFirst(range.lowerBound).prefix(range.count)
        case .endOfPart:
            try fields.add(name, value)
            self.name = nil
        case .part, .end: break
        }
        guard value.count <= FormFields.maximumBytes else { throw .tooLarge("a form's fields have at most 64 KiB") }
    }
}

extension Problem {
    init(_ error: FormError) {
        switch error.kind {
        case .malformed: self.init(.invalidForm, error.description)
        case .tooLarge:
            self.init(.tooLarge, error.description, fields: ["limit": .number(Int64(FormFields.maximumBytes))])
        }
    }
}
