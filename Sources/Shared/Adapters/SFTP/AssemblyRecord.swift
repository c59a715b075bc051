// How far parts have been put together on a target, kept there beside them.

internal import Core
internal import Foundation

/// The record of an assembly: JSON, such as `{"next":3,"size":12582912}`.
struct AssemblyRecord: Codable, Hashable, Sendable {
    /// The number of parts that are in their places, from the first on; the next one's index.
    var next: Int
    /// Where the last of them ends, in bytes.
    var size: Int64

    /// The longest that is read.
    static let limit = 4_096

    init(next: Int, size: Int64) {
        self.next = next
        self.size = size
    }

    init?(json: some Collection<UInt8>) {
        guard json.count <= Self.limit, let record = try? JSONDecoder().decode(Self.self, from: Data(json)) else {
            return nil
        }
        self = record
    }

    func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }

    /// The index of the first part to be put in its place: where the record says, if it fits the parts, and the part file
    /// is at least as long; else the first. What is written again has the same bytes at the same place.
    func start(of parts: [Part], fileSize: Int64) -> Int {
        guard next > 0, next <= parts.count, parts[next - 1].end == size, fileSize >= size else { return 0 }
        return next
    }
}
