// Reads RESP2 on its way: commands one way, and which reply belongs to which.

/// The inspector of a connection to Redis.
public final class RedisInspector: TrafficInspector {
    private let board: TrapBoard
    private var requests: [UInt8] = []
    private var replies: [UInt8] = []
    private var sent = 0
    private var answered = 0
    /// Commands whose replies are to be held, by their number.
    private var awaited: [Int: (trap: Trap, frame: TrafficFrame)] = [:]

    /// An inspector that asks a board what to do.
    public init(_ board: TrapBoard) { self.board = board }

    /// Takes what came in a direction and answers what may go on, in order.
    public func inspect(_ bytes: ArraySlice<UInt8>, _ direction: FaultProxy.Direction) -> [TrafficStretch] {
        switch direction {
        case .toServer:
            requests += bytes
            return commands()
        case .toClient:
            replies += bytes
            return answers()
        }
    }

    private func commands() -> [TrafficStretch] {
        var stretches: [TrafficStretch] = []
        var passing: [UInt8] = []
        var at = 0
        while let end = Self.end(of: requests, from: at) {
            let bytes = requests[at..<end]
            at = end
            sent += 1
            guard !board.isEmpty, let frame = Self.command(Array(bytes)), let trap = board.trap(for: frame) else {
                passing += bytes
                continue
            }
            switch trap.place {
            case .before:
                let hold = Hold()
                stretches.append(TrafficStretch(passing))
                passing = []
                stretches.append(TrafficStretch(Array(bytes), hold: hold))
                trap.caught(frame, hold, owner: board.owner)
            case .after:
                awaited[sent] = (trap, frame)
                passing += bytes
            case .seen, .drop:
                passing += bytes
                let hold = Hold()
                hold.open()
                trap.caught(frame, hold, owner: board.owner)
            }
        }
        requests.removeFirst(at)
        stretches.append(TrafficStretch(passing))
        return stretches
    }

    private func answers() -> [TrafficStretch] {
        var stretches: [TrafficStretch] = []
        var passing: [UInt8] = []
        var at = 0
        while let end = Self.end(of: replies, from: at) {
            let bytes = replies[at..<end]
            at = end
            answered += 1
            guard let (trap, frame) = awaited.removeValue(forKey: answered) else {
                passing += bytes
                continue
            }
            let hold = Hold()
            stretches.append(TrafficStretch(passing))
            passing = []
            stretches.append(TrafficStretch(Array(bytes), hold: hold))
            trap.caught(frame, hold, owner: board.owner)
        }
        replies.removeFirst(at)
        stretches.append(TrafficStretch(passing))
        return stretches
    }

    // MARK: RESP2

    /// A command: an array of texts.
    static func command(_ bytes: [UInt8]) -> TrafficFrame? {
        guard bytes.first == UInt8(ascii: "*"), let head = line(of: bytes, from: 0), let count = Int(head.text) else {
            return nil
        }
        var words: [[UInt8]] = []
        var at = head.end
        for _ in 0..<max(0, count) {
            guard let size = line(of: bytes, from: at), let length = Int(size.text), length >= 0,
                size.end + length + 2 <= bytes.count
            else { return nil }
            words.append(Array(bytes[size.end..<size.end + length]))
            at = size.end + length + 2
        }
        guard let name = words.first else { return nil }
        return TrafficFrame(name: String(decoding: name, as: UTF8.self).uppercased(), words: Array(words.dropFirst()))
    }

    /// Where the value that begins at `start` ends; nil while it is incomplete.
    static func end(of bytes: [UInt8], from start: Int) -> Int? {
        guard start < bytes.count, let head = line(of: bytes, from: start) else { return nil }
        switch bytes[start] {
        case UInt8(ascii: "$"):
            guard let length = Int(head.text), length >= 0 else { return head.end }
            let end = head.end + length + 2
            return end <= bytes.count ? end : nil
        case UInt8(ascii: "*"):
            var at = head.end
            for _ in 0..<max(0, Int(head.text) ?? 0) {
                guard let end = end(of: bytes, from: at) else { return nil }
                at = end
            }
            return at
        default: return head.end
        }
    }

    /// The line at `start` without its first byte, and where the next one begins.
    private static func line(of bytes: [UInt8], from start: Int) -> (text: String, end: Int)? {
        guard start < bytes.count, let feed = bytes[start...].firstIndex(of: 0x0A) else { return nil }
        return (String(decoding: bytes[(start + 1)..<max(start + 1, feed - 1)], as: UTF8.self), feed + 1)
    }
}
