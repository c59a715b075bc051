// EventFrame: the bytes of one Server-Sent Event (WHATWG HTML §9.2, "Parsing an event stream").

import NIOCore

/// Frames of an event stream.
enum EventFrame {
    /// A comment line: a sign of life that clients ignore.
    static let keepAlive = ByteBuffer(string: ": keep-alive\n\n")

    /// An event with one `data` line. The document's JSON has no raw CR or LF, so nothing in it can begin a new field.
    static func make(type: String, id: String?, document: some Encodable) -> ByteBuffer? {
        guard let json = try? JSON.encode(document), !json.readableBytesView.contains(where: { $0 == 10 || $0 == 13 })
        else { return nil }
        var frame = ByteBuffer()
        frame.reserveCapacity(json.readableBytes + 64)
        frame.writeString("event: \(type)\n")
        if let id { frame.writeString("id: \(id)\n") }
        frame.writeString("data: ")
        frame.writeImmutableBuffer(json)
        frame.writeString("\n\n")
        return frame
    }

    /// The last frame of a stream that the server ends before the upload has.
    static func end(_ reason: String) -> ByteBuffer {
        make(type: "end", id: nil, document: ["reason": reason]) ?? keepAlive
    }
}
