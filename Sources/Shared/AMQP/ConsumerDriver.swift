// Consuming: what happens on the connection's thread.

internal import Logging

/// Runs all subscriptions of a consumer.
final class ConsumerDriver: SessionDriver {
    private let configuration: AMQPConfiguration
    private let topology: AMQPTopology
    private let mailbox: Mailbox<AMQPConsumer.Command>
    private let logger: Logger
    private let lanes: [SubscriptionLane]
    private var drainsUntil: Moment?
    private var nextChannel: UInt16 = 1
    /// Numbers of channels that both sides have closed.
    private var freeChannels: [UInt16] = []
    /// Numbers of channels that the broker has not agreed to close yet.
    private var leftChannels: Set<UInt16> = []

    init(
        configuration: AMQPConfiguration,
        topology: AMQPTopology,
        subscriptions: [AMQPConsumer.Subscription],
        mailbox: Mailbox<AMQPConsumer.Command>,
        logger: Logger
    ) {
        self.configuration = configuration
        self.topology = topology
        self.mailbox = mailbox
        self.logger = logger
        lanes = subscriptions.enumerated().map { index, subscription in
            SubscriptionLane(index, subscription, sizeLimit: configuration.messageSizeLimit) { [mailbox] command in
                mailbox.post(command)
            }
        }
    }

    func open(_ connection: Connection) throws(AMQPError) {
        guard drainsUntil == nil else { return }
        nextChannel = 1
        freeChannels = []
        leftChannels = []
        for lane in lanes { lane.connectionBegins() }
        try declareTopology(connection)
        for lane in lanes { try start(lane, connection) }
    }

    private func declareTopology(_ connection: Connection) throws(AMQPError) {
        let channel = try takeChannel(connection)
        try connection.openChannel(channel)
        try connection.declare(topology, channel: channel) { step, error in
            logger.error(
                "the broker refused a declaration",
                metadata: ["step": "\(step.description)", "error": "\(error)"]
            )
        }
        try connection.closeChannel(channel)
        freeChannels.append(channel)
    }

    private func takeChannel(_ connection: Connection) throws(AMQPError) -> UInt16 {
        if let channel = freeChannels.popLast() { return channel }
        guard nextChannel <= connection.channelLimit else {
            throw .connectionClosed("the broker allows only \(connection.channelLimit) channels on a connection")
        }
        defer { nextChannel += 1 }
        return nextChannel
    }

    /// Consumes on a new channel. What the broker refuses concerns this lane alone: it tries again later.
    private func start(_ lane: SubscriptionLane, _ connection: Connection) throws(AMQPError) {
        let channel = try takeChannel(connection)
        do {
            try lane.start(connection, channel: channel)
        } catch .channelClosed(let code, let text) {
            freeChannels.append(channel)
            lane.failed()
            logger.error(
                "cannot consume",
                metadata: ["queue": "\(lane.name)", "error": "\(AMQPError.channelClosed(code: code, text: text))"]
            )
        }
    }

    func receive(_ frame: InboundFrame, _ connection: Connection) throws(AMQPError) {
        guard let lane = lanes.first(where: { $0.channel == frame.channel }) else {
            // Frames of a channel left behind; its closing wants an answer.
            switch frame {
            case .method(let channel, .channelClose): try connection.sendChannelCloseOk(channel)
            case .method(let channel, .channelCloseOk):
                if leftChannels.remove(channel) != nil { freeChannels.append(channel) }
            default: break
            }
            return
        }
        switch try lane.receive(frame, connection) {
        case .nothing: break
        case .cancelled:
            logger.warning("the broker cancelled a consumer", metadata: ["queue": "\(lane.name)"])
        case .closed(let code, let text):
            freeChannels.append(frame.channel)
            logger.error(
                "the broker closed a channel",
                metadata: ["queue": "\(lane.name)", "error": "\(code) \(text)"]
            )
        }
    }

    func work(_ connection: Connection?, blocked: String?) throws(AMQPError) {
        for command in mailbox.take() {
            switch command {
            case .answered(let subscription, let incarnation, let tag, let disposition):
                lanes[subscription].answered(incarnation: incarnation, tag: tag, disposition)
            case .drain(let duration):
                try drain(duration, connection)
            }
        }
        guard let connection else { return }
        if lanes.contains(where: \.hasAnswers) {
            try connection.batch { () throws(AMQPError) in
                for lane in lanes where lane.hasAnswers { try lane.sendAnswers(connection) }
            }
        }
        try leaveSilent(connection)
        guard drainsUntil == nil else { return }
        let due = lanes.filter { $0.isDueToRecover(.now) }
        guard !due.isEmpty else { return }
        // Quorum queues need the old channel gone: a new queue of the same name is another one to the broker.
        for lane in due {
            if let channel = try lane.leaveChannel(connection) { freeChannels.append(channel) }
        }
        try declareTopology(connection)
        for lane in due { try start(lane, connection) }
    }

    /// Gives up consumers that the broker has not agreed to in time; each is tried again later.
    private func leaveSilent(_ connection: Connection) throws(AMQPError) {
        for lane in lanes {
            guard let limit = lane.consumesBy, limit <= .now else { continue }
            if let channel = try lane.giveUp(connection) { leftChannels.insert(channel) }
            logger.error(
                "the broker does not let consume; the queue may have no leader",
                metadata: ["queue": "\(lane.name)"]
            )
        }
    }

    private func drain(_ duration: Duration, _ connection: Connection?) throws(AMQPError) {
        let end = Moment.now + duration
        drainsUntil = drainsUntil.map { min($0, end) } ?? end
        for lane in lanes { try lane.stop(connection) }
    }

    func lost(_ error: AMQPError) {
        for lane in lanes { lane.connectionEnds() }
    }

    /// The loop is over: nothing may be left running.
    func end() {
        for lane in lanes { lane.end() }
    }

    var nextDeadline: Moment? {
        (lanes.map(\.recoversAt) + lanes.map(\.consumesBy) + [drainsUntil]).compactMap(\.self).min()
    }

    var isReady: Bool { lanes.allSatisfy { $0.consumesBy == nil } }

    var wantsToWrite: Bool { false }

    var isFinished: Bool {
        guard let drainsUntil else { return false }
        return Moment.now >= drainsUntil || lanes.allSatisfy(\.isQuiet)
    }
}
