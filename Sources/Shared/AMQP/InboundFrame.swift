// What the broker sends, with every byte copied out of the C library.

/// A frame that arrived.
enum InboundFrame: Sendable, Equatable {
    case method(channel: UInt16, Method)
    case header(channel: UInt16, bodySize: UInt64, AMQPMessage)
    case body(channel: UInt16, [UInt8])

    /// The methods a client has to know.
    enum Method: Sendable, Equatable {
        case deliver(Deliver)
        case returned(code: Int, text: String, exchange: String, routingKey: String)
        case ack(tag: UInt64, multiple: Bool)
        case nack(tag: UInt64, multiple: Bool)
        case cancel(consumerTag: String)
        case cancelOk
        case consumeOk
        case qosOk
        case channelOpenOk
        case channelClose(code: Int, text: String)
        case channelCloseOk
        case confirmSelectOk
        case exchangeDeclareOk
        case queueDeclareOk(name: String, messages: Int, consumers: Int)
        case queueBindOk
        case flow(active: Bool)
        case connectionClose(code: Int, text: String)
        case connectionCloseOk
        case blocked(reason: String)
        case unblocked
        case other(id: UInt32)
    }

    struct Deliver: Sendable, Equatable {
        var consumerTag: String
        var tag: UInt64
        var redelivered: Bool
        var exchange: String
        var routingKey: String
    }

    var channel: UInt16 {
        switch self {
        case .method(let channel, _), .header(let channel, _, _), .body(let channel, _): channel
        }
    }
}
