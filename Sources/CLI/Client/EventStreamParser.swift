// Server-Sent Events, byte by byte (WHATWG HTML §9.2.6): a pure parser.

internal import NIOCore

/// Takes bytes as they come, answers the data of each complete event.
struct EventStreamParser {
    /// The longest line that is taken, in bytes; a longer one ends the stream as broken.
    static let maximumLine = 1 << 20

    /// The stream is not one of events.
    struct Broken: Error {}

    private var line: [UInt8] = []
    private var data: [String] = []

    /// The data fields of the events that these bytes complete.
    mutating func take(_ bytes: some Sequence<UInt8>) throws(Broken) -> [String] {
        var events: [String] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                guard line.count < Self.maximumLine else { throw Broken() }
                line.append(byte)
                continue
            }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.isEmpty {
                if !data.isEmpty { events.append(data.joined(separator: "\n")) }
                data.removeAll()
            } else if line.starts(with: "data:".utf8) {
                // Compared as bytes: in text, a combining mark makes one character of the space and itself.
                let value = line.dropFirst(5)
                let content = value.first == UInt8(ascii: " ") ? value.dropFirst() : value
                data.append(String(decoding: content, as: UTF8.self))
            }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }
}
