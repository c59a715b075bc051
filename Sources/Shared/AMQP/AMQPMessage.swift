// A message as it is sent and as it arrives.

/// A message with the properties of class basic (AMQP 0-9-1 §1.8).
public struct AMQPMessage: Sendable, Equatable {
    /// The content.
    public var body: [UInt8]
    /// Whether a durable queue keeps it over a restart of the broker.
    public var persistent: Bool
    /// Media type.
    public var contentType: String?
    /// The sender's name for it.
    public var messageID: String?
    /// What it answers.
    public var correlationID: String?
    /// Where an answer goes: the routing key for the default exchange.
    public var replyTo: String?
    /// Milliseconds it may wait, as decimal text.
    public var expiration: String?
    /// The application's name of its kind.
    public var type: String?
    /// Further fields.
    public var headers: AMQPTable

    /// A message.
    public init(
        body: [UInt8],
        persistent: Bool = true,
        contentType: String? = nil,
        messageID: String? = nil,
        correlationID: String? = nil,
        replyTo: String? = nil,
        expiration: String? = nil,
        type: String? = nil,
        headers: AMQPTable = [:]
    ) {
        (self.body, self.persistent, self.contentType) = (body, persistent, contentType)
        (self.messageID, self.correlationID, self.replyTo) = (messageID, correlationID, replyTo)
        (self.expiration, self.type, self.headers) = (expiration, type, headers)
    }

    func validate(sizeLimit: Int) throws(AMQPError) {
        guard body.count <= sizeLimit else { throw .invalid("the body has more than \(sizeLimit) bytes") }
        for (what, value) in [
            ("content type", contentType), ("message id", messageID), ("correlation id", correlationID),
            ("reply-to", replyTo), ("expiration", expiration), ("type", type),
        ] {
            if let value { try Wire.checkName(value, what) }
        }
        try Wire.checkTable(headers, "headers")
    }
}

/// What became of a published message.
public enum PublishOutcome: Sendable, Equatable {
    /// The broker has taken responsibility for it and, where `mandatory` was asked for, put it into a queue.
    case confirmed
    /// `mandatory` was asked for and no queue is bound there (312), with the broker's words.
    case returned(code: Int, text: String)
    /// The broker refuses it (`basic.nack`): a full queue with `reject-publish`, or an error within.
    case rejected
}

/// A message as a consumer gets it.
public struct AMQPDelivery: Sendable {
    /// Content and properties.
    public let message: AMQPMessage
    /// The exchange it was published to.
    public let exchange: String
    /// The routing key it was published with.
    public let routingKey: String
    /// Whether it may have been delivered before.
    public let redelivered: Bool

    /// The content.
    public var body: [UInt8] { message.body }
    /// The sender's name for it.
    public var messageID: String? { message.messageID }
    /// What it answers.
    public var correlationID: String? { message.correlationID }
    /// Where an answer goes.
    public var replyTo: String? { message.replyTo }
    /// The application's name of its kind.
    public var type: String? { message.type }
    /// Further fields.
    public var headers: AMQPTable { message.headers }
    /// How often a quorum queue delivered it before (`x-delivery-count`); nil on other queues and the first time.
    public var deliveryCount: Int? {
        guard case .int(let count) = message.headers["x-delivery-count"] else { return nil }
        return Int(clamping: count)
    }
}
