// What a proxy that understands its traffic sees: frames, and pieces of it that are held.

import Synchronization

/// One command or message on a connection.
public struct TrafficFrame: Sendable {
    /// Redis: the command. AMQP: `publish`, `deliver`, `ack` (of the client), `confirm` (of the server).
    public let name: String
    /// Redis: what follows the command. AMQP: exchange, routing key and body; none for acknowledgements.
    public let words: [[UInt8]]

    /// A frame.
    public init(name: String, words: [[UInt8]]) {
        self.name = name
        self.words = words
    }

    /// A word as text; empty where there is none.
    public func text(_ index: Int) -> String {
        index < words.count ? String(decoding: words[index], as: UTF8.self) : ""
    }
}

/// Bytes that do not pass until they are released; what follows them waits too.
public final class Hold: Sendable {
    private let opened = Atomic<Bool>(false)

    /// Closed.
    public init() {}

    var isOpen: Bool { opened.load(ordering: .acquiring) }

    func open() { opened.store(true, ordering: .releasing) }
}

/// Some bytes on their way, perhaps held.
public struct TrafficStretch: Sendable {
    /// The bytes.
    public let bytes: [UInt8]
    let hold: Hold?
    /// Whether they go back to where the last ones came from: an answer that the other side never gave.
    public let goesBack: Bool

    /// Bytes that pass at once where there is no hold.
    public init(_ bytes: [UInt8], hold: Hold? = nil, goesBack: Bool = false) {
        self.bytes = bytes
        self.hold = hold
        self.goesBack = goesBack
    }
}

/// Reads one connection's frames. It belongs to the proxy's thread; bytes of an unfinished frame stay with it.
public protocol TrafficInspector: AnyObject {
    /// Takes what came in a direction and answers what may go on, in order.
    func inspect(_ bytes: ArraySlice<UInt8>, _ direction: FaultProxy.Direction) -> [TrafficStretch]
}
