// JSON: how documents are written and read. One line each, so that a document fits an event stream's field.

import Core
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// Encoding and decoding of documents.
enum JSON {
    /// The largest JSON body that is accepted, in bytes (256 KiB).
    static let maximumBody = 262_144

    /// One line without raw control characters: JSON strings escape them (RFC 8259 §7).
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ByteBuffer(bytes: try encoder.encode(value))
    }

    /// A response with a document.
    static func response(
        _ value: some Encodable,
        status: HTTPResponse.Status = .ok,
        headers: HTTPFields = [:]
    ) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        headers[.cacheControl] = "no-store"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: try encode(value)))
    }

    /// Reads a document; every way in which it can be wrong is a problem that names the place.
    static func decode<Value: Decodable>(_: Value.Type, from bytes: ByteBuffer) throws(Problem) -> Value {
        // The decoder would take bytes with zeros among them for another encoding.
        let text = bytes.readableBytesView
        guard String(validating: text, as: UTF8.self) != nil, !text.contains(0) else {
            throw Problem(.invalidJSON, "the body is not UTF-8")
        }
        do {
            let value = try JSONDecoder().decode(Value.self, from: Data(text))
            if let key = RepeatedKeys.first(in: Array(text)) {
                throw Problem(.invalidJSON, "'\(key.prefix(100))' comes twice in one object")
            }
            return value
        } catch let problem as Problem {
            throw problem
        } catch let DecodingError.keyNotFound(key, context) {
            throw .invalid(place(context.codingPath + [key]), "is required")
        } catch let DecodingError.typeMismatch(_, context) {
            throw .invalid(place(context.codingPath), "has the wrong type")
        } catch let DecodingError.valueNotFound(_, context) {
            throw .invalid(place(context.codingPath), "must not be null")
        } catch let DecodingError.dataCorrupted(context) where !context.codingPath.isEmpty {
            throw .invalid(place(context.codingPath), "has a value that cannot be read")
        } catch {
            throw Problem(.invalidJSON, "the body is not a JSON document")
        }
    }

    private static func place(_ path: [any CodingKey]) -> String {
        path.isEmpty ? "the document" : path.map(\.stringValue).joined(separator: ".")
    }
}

/// Any key of an object, for finding those that nobody asked for.
struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer {
    /// A whole number. The decoder's own error for one that is too large or has a fraction does not say where it is.
    func integer(forKey key: Key) throws -> Int64? {
        do { return try decodeIfPresent(Int64.self, forKey: key) } catch {
            let place = (codingPath + [key]).map(\.stringValue).joined(separator: ".")
            throw Problem.invalid(place, "must be a whole number below 2^63")
        }
    }
}

extension Decoder {
    /// Refuses keys that the document does not have: a misspelt one must not be taken for one left out.
    func refuseUnknownKeys<Key: CodingKey & CaseIterable>(_: Key.Type) throws {
        let known = Set(Key.allCases.map(\.stringValue))
        for key in try container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
            throw Problem.invalid((codingPath + [key]).map(\.stringValue).joined(separator: "."), "is not known here")
        }
    }
}
