// A client that sends exactly the bytes a test says, so that broken clients can be played.

import Glibc
import NIOCore
import NIOPosix

/// An answer as it came.
struct Answer: Sendable {
    var status: Int
    var fields: [(name: String, value: String)]
    var body: [UInt8] = []

    /// The first field of a name.
    subscript(_ name: String) -> String? { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
    var text: String { String(decoding: body, as: UTF8.self) }
    func json() throws -> JSONValue { try JSONValue.parse(body) }

    /// The problem's name, or nil for an answer that is none. The old interfaces' answers are plain JSON.
    var problem: String? {
        guard ["application/problem+json", "application/json"].contains(self["Content-Type"]),
            let type = try? json()["type"]?.text,
            type.hasPrefix("/problems/")
        else { return nil }
        return String(type.dropFirst("/problems/".count))
    }
}

/// The connection ended where more was expected.
struct ConnectionEnded: Error {}

/// One TCP connection. Ends by itself after 20 seconds, so that no test waits for ever.
final class RawConnection {
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private let channel: any Channel
    private var received: [UInt8] = []
    private var decoded: [UInt8] = []
    private var isBodyOver = false

    private init(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        _ channel: any Channel
    ) {
        self.inbound = inbound
        self.outbound = outbound
        self.channel = channel
    }

    /// Connects for the duration of `body`.
    static func with<Value: Sendable>(
        port: Int,
        receiveBuffer: Int? = nil,
        _ body: (RawConnection) async throws -> Value
    ) async throws -> Value {
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer))
        }
        let channel = try await bootstrap.connect(host: "localhost", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        let deadline = channel.channel.eventLoop.scheduleTask(in: .seconds(20)) { [channel = channel.channel] in
            channel.close(promise: nil)
        }
        defer { deadline.cancel() }
        return try await channel.executeThenClose { inbound, outbound in
            try await body(RawConnection(inbound.makeAsyncIterator(), outbound, channel.channel))
        }
    }

    func send(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }
    func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }
    /// Ends the connection as a client does that goes away.
    func close() async throws { try await channel.close() }
    /// Ends it with a reset.
    func reset() async throws {
        let options = channel as? any SocketOptionProvider
        try await options?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        try await channel.close()
    }
    /// Ends only what the client sends.
    func finishSending() async throws { try await channel.close(mode: .output) }

    private func more() async throws -> Bool {
        guard let buffer = try await inbound.next(isolation: #isolation) else { return false }
        received += Array(buffer.readableBytesView)
        return true
    }

    /// Whether the server ends the connection, with nothing more to say.
    func ends() async -> Bool {
        guard received.isEmpty, decoded.isEmpty else { return false }
        return await !((try? more()) ?? false)
    }

    /// A response's status line and fields.
    func head() async throws -> Answer {
        let separator: [UInt8] = [13, 10, 13, 10]
        while true {
            if let range = received.firstRange(of: separator) {
                let text = String(decoding: received[..<range.lowerBound], as: UTF8.self)
                received.removeSubrange(..<range.upperBound)
                var lines = text.split(separator: "\r\n").map(String.init)
                let status = Int(lines.removeFirst().split(separator: " ")[1]) ?? 0
                isBodyOver = false
                return Answer(
                    status: status,
                    fields: lines.compactMap { line in
                        guard let colon = line.firstIndex(of: ":") else { return nil }
                        let value = line[line.index(after: colon)...].drop { $0 == " " }
                        return (String(line[..<colon]), String(value))
                    }
                )
            }
            guard try await more() else { throw ConnectionEnded() }
        }
    }

    /// A whole response.
    func answer() async throws -> Answer {
        var answer = try await head()
        if [100, 204, 304].contains(answer.status) { return answer }
        if let length = answer["Content-Length"].flatMap(Int.init) {
            while received.count < length { guard try await more() else { throw ConnectionEnded() } }
            answer.body = Array(received[..<length])
            received.removeFirst(length)
        } else {
            while try await chunk() {}
            answer.body = decoded
            decoded = []
        }
        return answer
    }

    /// Adds the next chunk of a chunked body to what is decoded; false at the end.
    private func chunk() async throws -> Bool {
        if isBodyOver { return false }
        let lineEnd: [UInt8] = [13, 10]
        while true {
            if let range = received.firstRange(of: lineEnd) {
                let text = String(decoding: received[..<range.lowerBound], as: UTF8.self)
                guard let size = Int(text, radix: 16) else { throw ConnectionEnded() }
                let end = range.upperBound + size + 2
                if received.count >= end {
                    decoded += received[range.upperBound..<range.upperBound + size]
                    received.removeSubrange(..<end)
                    isBodyOver = size == 0
                    return size > 0
                }
            }
            guard try await more() else { throw ConnectionEnded() }
        }
    }

    /// The next block of an event stream without its blank line; nil at the orderly end of the stream.
    func block() async throws -> String? {
        let separator: [UInt8] = [10, 10]
        while true {
            if let range = decoded.firstRange(of: separator) {
                let text = String(decoding: decoded[..<range.lowerBound], as: UTF8.self)
                decoded.removeSubrange(..<range.upperBound)
                return text
            }
            guard try await chunk() else { return nil }
        }
    }

    /// The next event of an event stream, comments skipped; nil at its end.
    func event() async throws -> (type: String, data: JSONValue)? {
        while let block = try await block() {
            let lines = block.split(separator: "\n")
            guard let type = lines.first(where: { $0.hasPrefix("event: ") })?.dropFirst(7),
                let data = lines.first(where: { $0.hasPrefix("data: ") })?.dropFirst(6)
            else { continue }
            return (String(type), try JSONValue.parse(data.utf8))
        }
        return nil
    }
}
