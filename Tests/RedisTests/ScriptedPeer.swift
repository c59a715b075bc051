// A peer that is no Redis: it sends what it is told to, whatever it is asked.

import NIOCore
import NIOPosix
import Synchronization

/// Listens on loopback. The n-th time that bytes arrive on a connection it sends the n-th answer, then nothing more.
final class ScriptedPeer: Sendable {
    private let channel: any Channel
    private let counts: Counts

    fileprivate final class Counts: Sendable {
        let made = Atomic<Int>(0)
        let open = Atomic<Int>(0)
    }

    private init(channel: any Channel, counts: Counts) {
        self.channel = channel
        self.counts = counts
    }

    static func start(_ answers: [[UInt8]], greeting: [UInt8] = [], closing: Bool = false) async throws -> ScriptedPeer
    {
        let counts = Counts()
        let channel = try await ServerBootstrap(group: eventLoops)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = AnswerHandler(answers: answers, greeting: greeting, closing: closing, counts: counts)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        return ScriptedPeer(channel: channel, counts: counts)
    }

    var url: String { "redis://127.0.0.1:\(channel.localAddress?.port ?? 0)/0" }
    var connections: Int { counts.made.load(ordering: .relaxed) }
    var openConnections: Int { counts.open.load(ordering: .relaxed) }

    func stop() async throws {
        try await channel.close()
    }
}

private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var answers: ArraySlice<[UInt8]>
    private let greeting: [UInt8]
    private let closing: Bool
    private let counts: ScriptedPeer.Counts

    init(answers: [[UInt8]], greeting: [UInt8], closing: Bool, counts: ScriptedPeer.Counts) {
        self.answers = answers[...]
        self.greeting = greeting
        self.closing = closing
        self.counts = counts
    }

    func channelActive(context: ChannelHandlerContext) {
        counts.made.add(1, ordering: .relaxed)
        counts.open.add(1, ordering: .relaxed)
        if !greeting.isEmpty { send(greeting, context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        counts.open.subtract(1, ordering: .relaxed)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let answer = answers.popFirst() { send(answer, context) }
        if closing, answers.isEmpty { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }
}
