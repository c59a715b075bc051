// The state machine of a session's requests: gives ids, matches replies, knows what a late reply still obliges to.

internal import NIOCore

/// Requests sent and not yet answered. Pure: the session's loop does what the returned actions say.
///
/// `Receiver` is whoever waits for a reply.
struct RequestTable<Receiver> {
    struct Entry {
        var expectation: Request.Expectation
        var operation: String
        var path: String
        var receiver: Receiver
        /// Bytes to give back to the session's queue once answered.
        var bytes: Int
        var begun: ContinuousClock.Instant
    }

    /// What to do with an answered request.
    struct Delivery {
        var receiver: Receiver
        var result: Result<Reply, SFTPError>
        var bytes: Int
    }

    private var entries: [UInt32: Entry] = [:]
    private var nextID: UInt32
    /// Requests that may wait for an answer at once; far above what the byte bound lets through.
    static var capacity: Int { 4096 }

    init(firstID: UInt32 = 0) { nextID = firstID }

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }
    var hasRoom: Bool { entries.count < Self.capacity }

    /// Notes a request and returns its id. Ids of unanswered requests are passed over when the counter wraps.
    mutating func begin(_ entry: Entry) -> UInt32 {
        while entries[nextID] != nil { nextID &+= 1 }
        defer { nextID &+= 1 }
        entries[nextID] = entry
        return nextID
    }

    /// Matches a reply.
    ///
    /// Throws a protocol violation when nobody asked, or the reply is of a kind the request cannot have.
    mutating func answer(id: UInt32, with reply: Reply) throws(SFTPError) -> Delivery {
        guard let entry = entries.removeValue(forKey: id) else {
            throw .protocolViolation("reply to request \(id), which is not waiting")
        }
        let result: Result<Reply, SFTPError>
        switch (entry.expectation, reply) {
        case (.status, .status(.ok, _)), (.extended, .status(.ok, _)):
            result = .success(reply)
        case (_, .status(let code, let message)) where code != .ok:
            result = .failure(
                .status(code: code, message: message, operation: entry.operation, path: entry.path)
            )
        case (.handle, .handle), (.names, .names), (.attributes, .attributes), (.extended, .extended):
            result = .success(reply)
        case (.data(let bound), .data(let data)):
            guard data.readableBytes <= bound else {
                // Put back, so that whoever waits is told with all the others.
                entries[id] = entry
                throw .protocolViolation("\(data.readableBytes) bytes where \(bound) were asked for")
            }
            result = .success(reply)
        default:
            entries[id] = entry
            throw .protocolViolation("reply of the wrong kind to \(entry.operation)")
        }
        return Delivery(receiver: entry.receiver, result: result, bytes: entry.bytes)
    }

    /// The oldest unanswered request, for the hard time limit.
    var oldest: (operation: String, begun: ContinuousClock.Instant)? {
        entries.values.min { $0.begun < $1.begun }.map { ($0.operation, $0.begun) }
    }

    /// Empties the table when the session ends; each receiver gets `reason` with its own operation in it.
    mutating func end(_ reason: SFTPError) -> [Delivery] {
        defer { entries.removeAll() }
        return entries.values.map {
            Delivery(receiver: $0.receiver, result: .failure(reason.naming($0.operation)), bytes: $0.bytes)
        }
    }
}

extension SFTPError {
    /// The same end of a session, seen from one operation.
    func naming(_ operation: String) -> SFTPError {
        switch self {
        case .disconnected(let reason, _): .disconnected(reason: reason, operation: operation)
        case .timedOut: .timedOut(operation: operation)
        default: self
        }
    }
}
