// One thread's life: connect, serve, reconnect, until it is done.

internal import Logging

/// What a publisher, consumer or requester does on its connection. All calls come from the loop's thread.
protocol SessionDriver: AnyObject {
    /// A new connection is logged in: open channels, declare, consume.
    func open(_ connection: Connection) throws(AMQPError)
    /// A frame on any channel but 0.
    func receive(_ frame: InboundFrame, _ connection: Connection) throws(AMQPError)
    /// Once a round: take commands, send, meet deadlines. Without a connection, only what can be done without.
    func work(_ connection: Connection?, blocked: String?) throws(AMQPError)
    /// The connection is gone, and what was in flight with it.
    func lost(_ error: AMQPError)
    /// When `work` must be called at the latest.
    var nextDeadline: Moment? { get }
    /// Whether the socket is full and `work` wants to go on writing.
    var wantsToWrite: Bool { get }
    /// Whether what `open` asked the broker for has been answered, so that callers may be told of the connection.
    var isReady: Bool { get }
    /// Whether everything asked for is done and the loop may end.
    var isFinished: Bool { get }
}

extension SessionDriver {
    var isReady: Bool { true }
}

/// Runs a driver's connection.
struct SessionLoop {
    let configuration: AMQPConfiguration
    let link: LinkState
    /// Readable when there are commands.
    let wakeUp: Int32
    let logger: Logger

    /// Frames handled before commands get their turn.
    private static let framesInRound = 1_024

    /// Returns when the driver is finished. Throws only if the very first login is refused: that is a wrong setting,
    /// which trying again does not mend.
    func run(_ driver: some SessionDriver) throws(AMQPError) {
        var backoff = Backoff()
        var hasConnected = false
        while !driver.isFinished {
            do {
                let connection = try Connection(configuration)
                try connection.open()
                try driver.open(connection)
                hasConnected = true
                backoff.reset()
                try serve(driver, connection)
                connection.close()
                return
            } catch {
                link.set(.disconnected(reason: "\(error)"))
                driver.lost(error)
                if case .accessRefused = error, !hasConnected { throw error }
                let pause = backoff.next()
                logger.warning(
                    "no connection to the broker",
                    metadata: ["error": "\(error)", "broker": "\(configuration)", "retry_in": "\(pause)"]
                )
                try sleep(Moment.now + pause, driver)
            }
        }
    }

    private func serve(_ driver: some SessionDriver, _ connection: Connection) throws(AMQPError) {
        var blocked: String?
        var isAnnounced = false
        while true {
            if !isAnnounced, blocked == nil, driver.isReady {
                isAnnounced = true
                link.set(.connected)
                logger.info("connected to the broker", metadata: ["broker": "\(configuration)"])
            }
            var frames = 0
            while frames < Self.framesInRound, let frame = try connection.nextFrame() {
                frames += 1
                guard frame.channel == 0 else {
                    try driver.receive(frame, connection)
                    continue
                }
                guard case .method(_, let method) = frame else { continue }
                switch method {
                case .connectionClose(let code, let text):
                    connection.sendCloseOk()
                    throw .connectionClosed("\(code) \(text)")
                case .blocked(let reason):
                    blocked = reason
                    link.set(.blocked(reason: reason))
                    logger.warning("the broker takes no messages", metadata: ["reason": "\(reason)"])
                case .unblocked:
                    blocked = nil
                    if isAnnounced { link.set(.connected) }
                    logger.info("the broker takes messages again")
                default:
                    break
                }
            }
            try driver.work(connection, blocked: blocked)
            if driver.isFinished { return }
            connection.releaseBuffers()
            if frames < Self.framesInRound {
                try connection.wait(wakeUp: wakeUp, until: driver.nextDeadline, writable: driver.wantsToWrite)
            } else {
                connection.progress()
            }
        }
    }

    private func sleep(_ end: Moment, _ driver: some SessionDriver) throws(AMQPError) {
        while true {
            try driver.work(nil, blocked: nil)
            guard !driver.isFinished, Moment.now < end else { return }
            WakeUp.wait(wakeUp, until: min(end, driver.nextDeadline ?? end))
        }
    }
}
