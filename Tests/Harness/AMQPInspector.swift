// Reads AMQP 0-9-1 on its way: what is published, delivered, confirmed and acknowledged.

/// The inspector of a connection to RabbitMQ. A message travels in one piece: method, header and body together.
public final class AMQPInspector: TrafficInspector {
    /// A message whose header or body is still to come.
    private struct Message {
        var name: String
        var exchange: [UInt8]
        var routingKey: [UInt8]
        var bytes: [UInt8]
        var body: [UInt8] = []
        var size: Int?
    }

    private struct Side {
        var bytes: [UInt8] = []
        var greeted = false
        var message: Message?
    }

    private let board: TrapBoard
    private var toServer = Side()
    private var toClient = Side(greeted: true)
    private var published: UInt64 = 0

    /// An inspector that asks a board what to do. The board's traps may be `before`, `seen` or `drop`.
    public init(_ board: TrapBoard) { self.board = board }

    /// Takes what came in a direction and answers what may go on, in order.
    public func inspect(_ bytes: ArraySlice<UInt8>, _ direction: FaultProxy.Direction) -> [TrafficStretch] {
        switch direction {
        case .toServer: read(bytes, &toServer, isClient: true)
        case .toClient: read(bytes, &toClient, isClient: false)
        }
    }

    private func read(_ bytes: ArraySlice<UInt8>, _ side: inout Side, isClient: Bool) -> [TrafficStretch] {
        side.bytes += bytes
        var stretches: [TrafficStretch] = []
        var at = 0
        if !side.greeted {
            // §4.2.2: the protocol header, eight bytes that are no frame.
            guard side.bytes.count >= 8 else { return [] }
            side.greeted = true
            stretches.append(TrafficStretch(Array(side.bytes[..<8])))
            at = 8
        }
        // §4.2.3: type, channel, size, payload, end.
        while at + 8 <= side.bytes.count {
            let size = Self.number(side.bytes, at + 3, 4)
            let end = at + 7 + size + 1
            guard end <= side.bytes.count else { break }
            let frame = Array(side.bytes[at..<end])
            at = end
            if let stretch = take(frame, &side, isClient: isClient) { stretches.append(stretch) }
        }
        side.bytes.removeFirst(at)
        return stretches
    }

    /// What may go on after a frame; nil in the middle of a message.
    private func take(_ frame: [UInt8], _ side: inout Side, isClient: Bool) -> TrafficStretch? {
        let payload = Array(frame[7..<frame.count - 1])
        if var message = side.message {
            message.bytes += frame
            if frame[0] == 2, payload.count >= 12 {
                message.size = Self.number(payload, 4, 8)
            } else if frame[0] == 3 {
                message.body += payload
            }
            guard let size = message.size, message.body.count >= size else {
                side.message = message
                return nil
            }
            side.message = nil
            let words = [message.exchange, message.routingKey, message.body]
            return decided(TrafficFrame(name: message.name, words: words), message.bytes)
        }
        guard frame[0] == 1, payload.count >= 4, Self.number(payload, 0, 2) == 60 else { return TrafficStretch(frame) }
        switch Self.number(payload, 2, 2) {
        case 40:
            // basic.publish: reserved, exchange, routing key, bits.
            let (exchange, next) = Self.short(payload, 6)
            let (key, _) = Self.short(payload, next)
            side.message = Message(name: "publish", exchange: exchange, routingKey: key, bytes: frame)
            return nil
        case 60:
            // basic.deliver: consumer tag, delivery tag, redelivered, exchange, routing key.
            let (_, tag) = Self.short(payload, 4)
            let (exchange, next) = Self.short(payload, tag + 9)
            let (key, _) = Self.short(payload, next)
            side.message = Message(name: "deliver", exchange: exchange, routingKey: key, bytes: frame)
            return nil
        case 80: return decided(TrafficFrame(name: isClient ? "ack" : "confirm", words: []), frame)
        default: return TrafficStretch(frame)
        }
    }

    private func decided(_ frame: TrafficFrame, _ bytes: [UInt8]) -> TrafficStretch {
        if frame.name == "publish" { published += 1 }
        guard !board.isEmpty, let trap = board.trap(for: frame) else { return TrafficStretch(bytes) }
        let hold = Hold()
        if trap.place != .before { hold.open() }
        trap.caught(frame, hold, owner: board.owner)
        guard trap.place == .drop else { return TrafficStretch(bytes, hold: hold) }
        // basic.ack of the message's number, on its channel. Numbers are right where all messages are dropped.
        let number = (0..<8).map { UInt8(truncatingIfNeeded: published >> UInt64(56 - 8 * $0)) }
        return TrafficStretch([1, bytes[1], bytes[2], 0, 0, 0, 13, 0, 60, 0, 80] + number + [0, 0xCE], goesBack: true)
    }

    private static func number(_ bytes: [UInt8], _ at: Int, _ count: Int) -> Int {
        guard at + count <= bytes.count else { return 0 }
        return bytes[at..<at + count].reduce(0) { $0 << 8 | Int($1) }
    }

    /// A short text, and where what follows it begins.
    private static func short(_ bytes: [UInt8], _ at: Int) -> ([UInt8], Int) {
        guard at < bytes.count else { return ([], at) }
        let end = min(bytes.count, at + 1 + Int(bytes[at]))
        return (Array(bytes[at + 1..<end]), end)
    }
}
