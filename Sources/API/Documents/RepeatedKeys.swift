// RepeatedKeys: finds an object of a JSON document that has a key twice, which two readers could take for two things.

import Foundation

/// RFC 8259 §4 leaves open what a repeated key means, and the decoder quietly takes one of them; a proxy that checks the
/// document may take the other.
enum RepeatedKeys {
    private struct Container {
        let isObject: Bool
        /// Whether the next string is a key.
        var awaitsKey: Bool
        var keys: Set<String> = []
    }

    /// The first repeated key of a document that was found to be valid JSON in UTF-8; nil where there is none. Keys are
    /// the same as texts are: whatever escapes they are written with, and whichever way their characters are composed.
    static func first(in bytes: [UInt8]) -> String? {
        var containers: [Container] = []
        var index = 0
        while index < bytes.count {
            defer { index += 1 }
            switch bytes[index] {
            case UInt8(ascii: "{"): containers.append(Container(isObject: true, awaitsKey: true))
            case UInt8(ascii: "["): containers.append(Container(isObject: false, awaitsKey: false))
            case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = containers.popLast()
            case UInt8(ascii: ","):
                guard let last = containers.indices.last else { continue }
                containers[last].awaitsKey = containers[last].isObject
            case UInt8(ascii: "\""):
                let end = self.end(of: index, in: bytes)
                defer { index = end }
                guard let last = containers.indices.last, containers[last].awaitsKey else { continue }
                containers[last].awaitsKey = false
                let key = text(bytes[index...min(end, bytes.count - 1)])
                guard containers[last].keys.insert(key).inserted else { return key }
            default: continue
            }
        }
        return nil
    }

    /// Where the string ends that begins at an index.
    private static func end(of start: Int, in bytes: [UInt8]) -> Int {
        var index = start + 1
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return index
    }

    private static func text(_ literal: ArraySlice<UInt8>) -> String {
        (try? JSONDecoder().decode(String.self, from: Data(literal))) ?? String(decoding: literal, as: UTF8.self)
    }
}
