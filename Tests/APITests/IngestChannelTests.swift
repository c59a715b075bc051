// How a connection is read: how much memory that may take, and when the request hears of it.

import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@testable import API

@Suite struct IngestChannelTests {
    private static let mebibyte = 1 << 20

    @Test func connectionsShareTheMemory() {
        let budget = MemoryBudget(bytes: 32 * Self.mebibyte)
        let first = (1...5).map { _ in budget.open() }
        #expect(first.map { $0 * 2 / Self.mebibyte } == [2, 2, 2, 2, 1])
        let others = (6...10_000).map { _ in budget.open() }
        #expect(others.last == 4_096)
        #expect(others == others.sorted(by: >))
        for _ in 1...9_999 { budget.close() }
        #expect(budget.open() == Self.mebibyte)
    }

    /// Both reads of a turn are decrypted into one buffer, and it doubles.
    @Test func encryptedConnectionsReadLessAtOnce() {
        let budget = MemoryBudget(bytes: 32 * Self.mebibyte, isTLS: true)
        #expect(budget.open() == Self.mebibyte)
        #expect(budget.open() == Self.mebibyte / 2)
    }

    private final class Completions: ChannelInboundHandler {
        typealias InboundIn = HTTPRequestPart

        var count = 0

        func channelReadComplete(context: ChannelHandlerContext) { count += 1 }
    }

    /// Whoever awaits a large body begins with its first piece, not when all is read that lies ready.
    @Test(arguments: [1_024: 0, 131_072: 1]) func aLargePieceIsHandedOnByItself(size: Int, count: Int) throws {
        let channel = EmbeddedChannel()
        let completions = Completions()
        try channel.pipeline.syncOperations.addHandlers(ConnectionGuard(limits: ServerLimits()), completions)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let head = HTTPRequest(
            method: .put,
            scheme: "http",
            authority: "h",
            path: "/",
            headerFields: [.contentLength: "1000000"]
        )
        channel.pipeline.fireChannelRead(HTTPRequestPart.head(head))
        channel.pipeline.fireChannelRead(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: size)))
        #expect(completions.count == count)
        channel.pipeline.fireChannelReadComplete()
        #expect(completions.count == count + 1)
        _ = try channel.finish()
    }
}
