// IngestChannel: how a connection is set up, so that many uploads at once stay within one memory budget.

import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Synchronization

/// How far a connection reads ahead of the request that takes its bytes, in buffers.
private enum ReadAhead {
    /// Read before others have their turn on the event loop.
    static let readsPerTurn = 2
    /// So many that wait pause the reading: it goes on while a part is being begun.
    static let pause = 5
    /// It begins again while there still is something to hash, not when all is taken.
    static let resume = 3
    /// Full at once, at most: one fewer than pauses the reading, those of one turn more, one that is being hashed, and
    /// one that is being written.
    static let buffers = pause - 1 + readsPerTurn + 2
}

/// Divides the memory for read buffers among the connections that are open.
final class MemoryBudget: Sendable {
    private let bytes: Int
    private let buffers: Int
    private let connections = Atomic<Int>(0)

    /// A budget in bytes over all connections.
    ///
    /// - Parameter isTLS: what one turn brings is decrypted into one buffer then, whose room is doubled until it suffices.
    init(bytes: Int, isTLS: Bool = false) {
        self.bytes = bytes
        buffers = ReadAhead.buffers * (isTLS ? 2 * ReadAhead.readsPerTurn : 1)
    }

    /// The largest read buffer for one more connection, by how many there are now: fewer have larger ones, and those that
    /// are open keep theirs.
    func open() -> Int {
        let count = connections.add(1, ordering: .relaxed).newValue
        let bounded = min(max(bytes / count / buffers, 4_096), 1 << 20)
        return 1 << (Int.bitWidth - 1 - bounded.leadingZeroBitCount)
    }

    /// A connection is closed.
    func close() { connections.subtract(1, ordering: .relaxed) }
}

/// HTTP/1.1 with read buffers from the budget, few parts waiting, and the connection guard.
struct IngestChannel: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    let responder: HTTPChannelHandler.Responder
    let limits: ServerLimits
    let budget: MemoryBudget

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let largest = budget.open()
        channel.closeFuture.whenComplete { [budget] _ in budget.close() }
        return channel.eventLoop.makeCompletedFuture {
            if let options = channel.syncOptions {
                let allocator = AdaptiveRecvByteBufferAllocator(
                    minimum: 1_024,
                    // Thousands of idle streams keep the buffer that their request came in.
                    initial: min(largest, 1_024),
                    maximum: largest
                )
                try options.setOption(.recvAllocator, value: allocator)
                try options.setOption(.maxMessagesPerRead, value: UInt(ReadAhead.readsPerTurn))
                try? options.setOption(.tcpOption(.tcp_nodelay), value: 1)
            }
            let pipeline = channel.pipeline.syncOperations
            var decoding = NIOHTTPDecoderLimitConfiguration()
            decoding.maxHeaderFieldSize = 16_384
            decoding.maxHeaderListSize = 65_536
            decoding.maxHeaderFieldCount = 100
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false,
                withErrorHandling: false,
                withOutboundHeaderValidation: false,
                withEncoderConfiguration: .init(),
                withDecoderLimitConfiguration: decoding
            )
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandler(ConnectionGuard(limits: limits))
            try pipeline.addHandler(HTTPConnectionStateHandler(idleTimeout: limits.idleTimeout, logger: logger))
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel,
                configuration: .init(
                    backPressureStrategy: .init(lowWatermark: ReadAhead.resume, highWatermark: ReadAhead.pause),
                    isOutboundHalfClosureEnabled: true
                )
            )
        }
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}
