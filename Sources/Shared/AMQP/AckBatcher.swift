// Which acknowledgements to send for what the handlers decided.

internal import DequeModule

/// Deliveries of one channel that were not answered yet, and the fewest frames that answer them.
///
/// `multiple` answers everything up to a tag, so it may only be used where nothing older waits for another answer.
struct AckBatcher {
    /// A frame to send.
    enum Action: Equatable {
        case ack(tag: UInt64, multiple: Bool)
        case reject(tag: UInt64, requeue: Bool)
    }

    private enum Standing {
        case open
        case acknowledged
        case answered
    }

    private var deliveries: Deque<(tag: UInt64, standing: Standing)> = []
    private var rejections: [Action] = []
    private var acknowledged: [UInt64] = []

    /// How many the broker waits for an answer of.
    var count: Int { deliveries.count { $0.standing != .answered } }

    /// Notes a delivery. False if the tag does not rise, which the peer must not do.
    mutating func delivered(_ tag: UInt64) -> Bool {
        guard tag > deliveries.last?.tag ?? 0 else { return false }
        deliveries.append((tag, .open))
        return true
    }

    /// Notes a handler's answer; an unknown or answered tag changes nothing.
    mutating func settle(_ tag: UInt64, _ disposition: AMQPConsumer.Disposition) {
        guard let index = index(of: tag), deliveries[index].standing == .open else { return }
        switch disposition {
        case .ack:
            deliveries[index].standing = .acknowledged
            acknowledged.append(tag)
        case .reject(let requeue):
            deliveries[index].standing = .answered
            rejections.append(.reject(tag: tag, requeue: requeue))
        case .leave:
            break
        }
    }

    /// The frames to send now.
    mutating func flush() -> [Action] {
        // Rejections first: an acknowledgement of all up to a later tag would swallow them.
        var actions = rejections
        rejections.removeAll(keepingCapacity: true)
        var last: UInt64?
        var number = 0
        while let front = deliveries.first, front.standing != .open {
            if front.standing == .acknowledged {
                last = front.tag
                number += 1
            }
            deliveries.removeFirst()
        }
        if let last { actions.append(.ack(tag: last, multiple: number > 1)) }
        for tag in acknowledged where tag > last ?? 0 {
            guard let index = index(of: tag) else { continue }
            deliveries[index].standing = .answered
            actions.append(.ack(tag: tag, multiple: false))
        }
        acknowledged.removeAll(keepingCapacity: true)
        return actions
    }

    private func index(of tag: UInt64) -> Int? {
        var low = 0
        var high = deliveries.count
        while low < high {
            let middle = (low + high) / 2
            if deliveries[middle].tag < tag { low = middle + 1 } else { high = middle }
        }
        return low < deliveries.count && deliveries[low].tag == tag ? low : nil
    }
}
