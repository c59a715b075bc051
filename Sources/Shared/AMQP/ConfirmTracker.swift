// Which publish a confirm or a return belongs to.

internal import DequeModule

/// Publishes in flight on one channel in confirm mode, by delivery tag.
///
/// The broker counts publishes from 1 (RabbitMQ, "Publisher Confirms"). It confirms or refuses one, or all up to one
/// (`multiple`). An unroutable mandatory message comes back by `basic.return` **before** its `basic.ack`, without a
/// tag. Returns come in the order of publishing, so the first message in flight after the last returned one with the
/// same exchange, routing key and message id is the one meant.
struct ConfirmTracker<Entry> {
    /// What the peer must not send.
    enum Violation: Error, Equatable {
        case tagNeverPublished(UInt64)
        case returnOfNothing
    }

    private struct Flight {
        let entry: Entry
        let exchange: String
        let routingKey: String
        let messageID: String?
        var returned: (code: Int, text: String)?
    }

    private var flights: Deque<Flight?> = []
    private var firstTag: UInt64 = 1
    private var lastReturned: UInt64 = 0
    /// How many are in flight.
    private(set) var count = 0

    private var nextTag: UInt64 { firstTag + UInt64(flights.count) }

    /// Records a publish and returns its delivery tag.
    @discardableResult
    mutating func published(_ entry: Entry, exchange: String, routingKey: String, messageID: String?) -> UInt64 {
        let tag = nextTag
        flights.append(Flight(entry: entry, exchange: exchange, routingKey: routingKey, messageID: messageID))
        count += 1
        return tag
    }

    /// Notes that a message came back; its outcome is told with its confirm.
    mutating func returned(
        exchange: String,
        routingKey: String,
        messageID: String?,
        code: Int,
        text: String
    ) throws(Violation) {
        let start = lastReturned >= firstTag ? Int(lastReturned - firstTag) + 1 : 0
        let matches = { (flight: Flight?) -> Bool in
            guard let flight, flight.returned == nil else { return false }
            return flight.routingKey == routingKey && flight.messageID == messageID && flight.exchange == exchange
        }
        guard
            let index = flights[start...].firstIndex(where: matches) ?? flights[..<start].firstIndex(where: matches)
        else { throw .returnOfNothing }
        flights[index]?.returned = (code, text)
        lastReturned = firstTag + UInt64(index)
    }

    /// Settles one publish, or all up to it, and hands out each with its outcome, in order.
    mutating func settle(
        tag: UInt64,
        multiple: Bool,
        positive: Bool,
        _ body: (Entry, PublishOutcome) -> Void
    ) throws(Violation) {
        // 0 with multiple means all outstanding (AMQP 0-9-1, basic.ack).
        let last = tag == 0 && multiple ? nextTag - 1 : tag
        guard last < nextTag, tag != 0 || multiple else { throw .tagNeverPublished(tag) }
        // A tag settled before is ignored: the broker may repeat itself within `multiple`.
        guard last >= firstTag else { return }
        let index = Int(last - firstTag)
        for position in multiple ? 0...index : index...index {
            guard let flight = flights[position] else { continue }
            flights[position] = nil
            count -= 1
            if !positive {
                body(flight.entry, .rejected)
            } else if let returned = flight.returned {
                body(flight.entry, .returned(code: returned.code, text: returned.text))
            } else {
                body(flight.entry, .confirmed)
            }
        }
        while let front = flights.first, front == nil {
            flights.removeFirst()
            firstTag += 1
        }
    }

    /// Hands out everything in flight and starts anew at tag 1, as on a new channel.
    mutating func abandon(_ body: (Entry) -> Void) {
        for case .some(let flight) in flights { body(flight.entry) }
        self = ConfirmTracker()
    }

    /// The oldest in flight.
    var oldest: Entry? {
        // The front is never an empty place: settling removes those.
        flights.first.flatMap { $0?.entry }
    }
}
