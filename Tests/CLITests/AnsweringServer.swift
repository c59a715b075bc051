// A server that answers requests as a test says, so that every answer of the API can be had at once.

import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// What a request was, as far as tests ask.
struct SeenRequest: Sendable {
    var line: String
    var authorization: String?
    var contentDigest: String?
    var body = ""
}

/// An answer: status, body, and when to ask again.
struct PlannedAnswer: Sendable {
    var status = 200
    var body = ""
    var retryAfter: Int?

    /// A problem of a type.
    static func problem(_ status: Int, _ name: String, _ detail: String, retryAfter: Int? = nil) -> Self {
        let body = #"{"type":"/problems/\#(name)","title":"The title","status":\#(status),"detail":"\#(detail)"}"#
        return Self(status: status, body: body, retryAfter: retryAfter)
    }
}

/// Listens on loopback until it is let go.
final class AnsweringServer: Sendable {
    private let channel: any Channel
    private let requests: Requests

    /// Answers every request by asking `answer` with its line, such as `GET /v1/uploads`.
    init(_ answer: @escaping @Sendable (String) -> PlannedAnswer) async throws {
        let requests = Requests()
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(AnswerHandler(requests: requests, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        self.requests = requests
    }

    deinit { channel.close(promise: nil) }

    /// Where it listens.
    var url: String { "http://127.0.0.1:\(channel.localAddress?.port ?? 0)" }
    /// The requests so far.
    var received: [SeenRequest] { requests.seen.withLock { $0 } }

    fileprivate final class Requests: Sendable {
        let seen = Mutex<[SeenRequest]>([])
    }
}

private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let requests: AnsweringServer.Requests
    private let answer: @Sendable (String) -> PlannedAnswer
    private var line = ""

    init(requests: AnsweringServer.Requests, answer: @escaping @Sendable (String) -> PlannedAnswer) {
        self.requests = requests
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            line = "\(head.method) \(head.uri)"
            let request = SeenRequest(
                line: line,
                authorization: head.headers.first(name: "Authorization"),
                contentDigest: head.headers.first(name: "Content-Digest")
            )
            requests.seen.withLock { $0.append(request) }
        case .body(let bytes):
            // A connection has one request at a time, but the server may have several connections.
            let line = line
            requests.seen.withLock { seen in
                guard let index = seen.lastIndex(where: { $0.line == line }) else { return }
                seen[index].body += String(buffer: bytes)
            }
        case .end: respond(answer(line), context)
        }
    }

    private func respond(_ answer: PlannedAnswer, _ context: ChannelHandlerContext) {
        var headers = HTTPHeaders([("Content-Length", "\(answer.body.utf8.count)")])
        if let seconds = answer.retryAfter { headers.add(name: "Retry-After", value: "\(seconds)") }
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: answer.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
