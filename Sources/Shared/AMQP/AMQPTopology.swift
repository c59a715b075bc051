// Exchanges, queues and bindings a program needs to be there.

/// What is declared on every new connection, so that a broker that lost everything gets it back.
public struct AMQPTopology: Sendable, Equatable {
    /// An exchange.
    public struct Exchange: Sendable, Equatable {
        /// How an exchange routes.
        public enum Kind: String, Sendable {
            /// By equal routing key.
            case direct
            /// To every bound queue.
            case fanout
            /// By pattern.
            case topic
            /// By headers.
            case headers
        }

        /// Its name.
        public var name: String
        /// How it routes.
        public var kind: Kind
        /// Whether it outlives the broker's restart.
        public var durable: Bool
        /// Further arguments.
        public var arguments: AMQPTable

        /// An exchange.
        public init(name: String, kind: Kind, durable: Bool = true, arguments: AMQPTable = [:]) {
            (self.name, self.kind, self.durable, self.arguments) = (name, kind, durable, arguments)
        }
    }

    /// A queue.
    public struct Queue: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Whether it outlives the broker's restart.
        public var durable: Bool
        /// Whether it belongs to the declaring connection and ends with it.
        public var exclusive: Bool
        /// Whether it goes with its last consumer.
        public var autoDelete: Bool
        /// `x-queue-type`, `x-max-length` and the like.
        public var arguments: AMQPTable

        /// A queue.
        public init(
            name: String,
            durable: Bool = true,
            exclusive: Bool = false,
            autoDelete: Bool = false,
            arguments: AMQPTable = [:]
        ) {
            (self.name, self.durable, self.exclusive) = (name, durable, exclusive)
            (self.autoDelete, self.arguments) = (autoDelete, arguments)
        }
    }

    /// What of an exchange goes to a queue.
    public struct Binding: Sendable, Equatable {
        /// The queue.
        public var queue: String
        /// The exchange.
        public var exchange: String
        /// The routing key.
        public var routingKey: String

        /// A binding.
        public init(queue: String, exchange: String, routingKey: String) {
            (self.queue, self.exchange, self.routingKey) = (queue, exchange, routingKey)
        }
    }

    /// Declared first.
    public var exchanges: [Exchange]
    /// Declared second.
    public var queues: [Queue]
    /// Declared last.
    public var bindings: [Binding]

    /// A topology.
    public init(exchanges: [Exchange] = [], queues: [Queue] = [], bindings: [Binding] = []) {
        (self.exchanges, self.queues, self.bindings) = (exchanges, queues, bindings)
    }

    /// Adds what is not there yet; what has the same name is replaced.
    mutating func merge(_ other: AMQPTopology) {
        for exchange in other.exchanges {
            exchanges.removeAll { $0.name == exchange.name }
            exchanges.append(exchange)
        }
        for queue in other.queues {
            queues.removeAll { $0.name == queue.name }
            queues.append(queue)
        }
        for binding in other.bindings where !bindings.contains(binding) {
            bindings.append(binding)
        }
    }

    /// One request to the broker each, in the order that lets each find what it refers to.
    var steps: [TopologyStep] {
        exchanges.map(TopologyStep.exchange) + queues.map(TopologyStep.queue) + bindings.map(TopologyStep.binding)
    }

    /// Names and arguments must fit the wire.
    func validate() throws(AMQPError) {
        for exchange in exchanges {
            try Wire.checkName(exchange.name, "exchange")
            try Wire.checkTable(exchange.arguments, "arguments of exchange \(exchange.name)")
        }
        for queue in queues {
            try Wire.checkName(queue.name, "queue")
            try Wire.checkTable(queue.arguments, "arguments of queue \(queue.name)")
        }
        for binding in bindings {
            try Wire.checkName(binding.queue, "queue")
            try Wire.checkName(binding.exchange, "exchange")
            try Wire.checkName(binding.routingKey, "routing key")
        }
    }
}

/// One request about the topology.
enum TopologyStep: Sendable, Equatable {
    case exchange(AMQPTopology.Exchange)
    case queue(AMQPTopology.Queue)
    case binding(AMQPTopology.Binding)
    case inspect(queue: String)

    var description: String {
        switch self {
        case .exchange(let exchange): "declare exchange \(exchange.name)"
        case .queue(let queue): "declare queue \(queue.name)"
        case .binding(let binding): "bind queue \(binding.queue) to exchange \(binding.exchange)"
        case .inspect(let queue): "inspect queue \(queue)"
        }
    }
}

/// Limits of the wire format: breaking one is found before anything is sent, because half a message spoils a channel.
enum Wire {
    /// Short strings carry one byte of length (AMQP 0-9-1 §4.2.5.3).
    static func checkName(_ name: String, _ what: String) throws(AMQPError) {
        guard name.utf8.count <= 255 else { throw .invalid("\(what) is longer than 255 bytes") }
    }

    /// A table must fit one frame of the smallest size a broker is likely to grant.
    static func checkTable(_ table: AMQPTable, _ what: String) throws(AMQPError) {
        guard table.hasValidNames else { throw .invalid("a name in the \(what) is longer than 255 bytes") }
        guard table.encodedSize <= tableLimit else { throw .invalid("\(what) take more than \(tableLimit) bytes") }
    }

    private static let tableLimit = 65_536
}
