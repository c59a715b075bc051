// The end of the channel's pipeline: turns bytes into replies and hands them to the connection.

internal import Glibc
internal import NIOCore
internal import NIOPosix

/// Lives on the channel's event loop and is only touched there.
final class RedisChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: RedisConnection
    private var decoder: RESPDecoder
    private var replies: [RESPValue] = []

    init(connection: RedisConnection, limits: RESPLimits) throws(RESPError) {
        self.connection = connection
        decoder = try RESPDecoder(limits: limits)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try decoder.decode(unwrapInboundIn(data), into: &replies)
            deliver()
        } catch {
            // What came before the wrong byte was meant for somebody.
            deliver()
            connection.finish(.violation(reason: error.reason))
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { connection.flush() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.finish(.closed(reason: "the server closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.finish(.closed(reason: describe(error)))
    }

    private func deliver() {
        guard !replies.isEmpty else { return }
        connection.received(replies)
        replies.removeAll(keepingCapacity: replies.capacity <= 1024)
    }
}

/// An error of the network or TLS, as text for people.
func describe(_ error: any Error) -> String {
    switch error {
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError: describe(error)
    case let error as ChannelError:
        if case .connectTimeout = error { "no answer in time" } else { String(describing: error) }
    case let error as RedisError: error.description
    default: String(describing: error)
    }
}

private func describe(_ error: NIOConnectionError) -> String {
    if let first = error.connectionErrors.first { return describe(first.error) }
    if error.dnsAError != nil || error.dnsAAAAError != nil { return "the host name \(error.host) cannot be resolved" }
    return "no address of \(error.host) could be reached"
}
