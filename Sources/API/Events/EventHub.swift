// EventHub: one stream of events from the broker, fanned out to all who watch.

import Core
import NIOCore
import ServiceLifecycle
import Synchronization

/// Which uploads a stream shows.
enum EventFilter: Hashable, Sendable {
    /// One upload, whose owner was checked when the stream was opened; an owner never changes.
    case upload(UploadID)
    /// Those of one owner.
    case owner(Owner)
    /// All: an operator's.
    case everything
}

/// What watchers compare to see whether they know an upload's state.
struct UploadSummary: Hashable, Sendable {
    let upload: UploadID
    let state: UploadState
    let receivedBytes: Int64
    let shippedBytes: Int64
    let failure: Failure?

    init(_ event: Event) {
        upload = event.upload
        state = event.state
        receivedBytes = event.receivedBytes
        shippedBytes = event.shippedBytes
        failure = event.failure
    }

    init(_ upload: Upload) {
        self.upload = upload.id
        state = upload.state
        receivedBytes = upload.received.bytes
        shippedBytes = upload.shipped.bytes
        failure = upload.failure
    }
}

/// One of the things that a stream is told.
enum EventStreamItem: Sendable {
    /// An event, encoded once for all streams.
    case event(UploadSummary, ByteBuffer)
    /// Time to show a sign of life and to look at the state again.
    case beat
}

/// Which uploads ended lately. Processes tell events each on its own way: what one of them told before an upload's end may
/// come after that, and would look as if the upload went on.
struct RecentEnds {
    /// How many are remembered at least.
    static let bound = 4_096

    private var newer: Set<UploadID> = []
    private var older: Set<UploadID> = []

    /// Whether an event tells of what was before the end of its upload; notes ends.
    mutating func isOvertaken(_ event: Event) -> Bool {
        guard event.state.isEnded else { return newer.contains(event.upload) || older.contains(event.upload) }
        newer.insert(event.upload)
        if newer.count >= Self.bound { (newer, older) = ([], newer) }
        return false
    }
}

/// Fans events out. Thousands of idle streams cost a set entry and an empty buffer each; an event that nobody watches
/// is not even encoded.
final class EventHub: Sendable {
    /// Why a stream ended.
    enum Ending: String, Sendable {
        /// It was read too slowly, and events would have been lost in silence.
        case slowReader = "slow-reader"
        /// The server stops.
        case shutdown
    }

    private struct Subscriber {
        var filter: EventFilter
        var items: AsyncStream<EventStreamItem>.Continuation
        var beatSlot: Int
        var ending: EndingNote
    }

    /// The reason for a stream's end, shared with the stream.
    final class EndingNote: Sendable {
        private let value = Mutex<Ending?>(nil)
        var reason: Ending? { value.withLock { $0 } }
        func end(_ reason: Ending) { value.withLock { if $0 == nil { $0 = reason } } }
    }

    private struct State {
        var nextID: UInt64 = 0
        var sequence: UInt64 = 0
        var slot = 0
        var isClosed = false
        var isWatched = false
        var subscribers: [UInt64: Subscriber] = [:]
        var byFilter: [EventFilter: Set<UInt64>] = [:]
        var ends = RecentEnds()
    }

    /// The most items that wait for one stream: about what a busy server tells in the tenth of a second in which it may
    /// write to none.
    static let bound = 256
    /// The parts of a heartbeat interval over which streams are spread.
    static let slots = 15

    private let state = Mutex(State())
    private let surroundings: Surroundings
    private let interval: Duration

    /// A hub whose streams beat once an interval.
    init(surroundings: Surroundings, interval: Duration = .seconds(15)) {
        self.surroundings = surroundings
        self.interval = interval
    }

    /// How many streams are open.
    var count: Int { state.withLock { $0.subscribers.count } }

    /// Hands an event to all who may see and want it, unless the upload's end was told already.
    func deliver(_ event: Event) {
        let keys: [EventFilter] = [.upload(event.upload), .owner(event.owner), .everything]
        let (wanted, sequence) = state.withLock { state in
            state.sequence &+= 1
            guard !state.ends.isOvertaken(event) else { return (false, state.sequence) }
            return (keys.contains { state.byFilter[$0] != nil }, state.sequence)
        }
        guard wanted else { return }
        let frame = EventFrame.make(
            type: event.kind.rawValue,
            id: "\(event.at.microseconds)-\(sequence)",
            document: EventDocument(event)
        )
        guard let frame else { return }
        let item = EventStreamItem.event(UploadSummary(event), frame)
        state.withLock { state in
            for id in keys.flatMap({ state.byFilter[$0] ?? [] }) {
                guard let subscriber = state.subscribers[id] else { continue }
                if case .dropped = subscriber.items.yield(item) {
                    subscriber.ending.end(.slowReader)
                    subscriber.items.finish()
                    Self.remove(id, from: &state)
                }
            }
        }
    }

    /// Opens a stream; it is closed when the subscription is let go.
    func subscribe(_ filter: EventFilter) -> EventSubscription {
        let (items, continuation) = AsyncStream.makeStream(
            of: EventStreamItem.self,
            bufferingPolicy: .bufferingOldest(Self.bound)
        )
        let ending = EndingNote()
        let id = state.withLock { state in
            state.nextID += 1
            let id = state.nextID
            guard !state.isClosed else {
                ending.end(.shutdown)
                continuation.finish()
                return id
            }
            state.subscribers[id] = Subscriber(
                filter: filter,
                items: continuation,
                beatSlot: Int(id % UInt64(Self.slots)),
                ending: ending
            )
            state.byFilter[filter, default: []].insert(id)
            return id
        }
        return EventSubscription(items: items, ending: ending, end: { [weak self] in self?.remove(id) })
    }

    private func remove(_ id: UInt64) { state.withLock { Self.remove(id, from: &$0) } }

    private static func remove(_ id: UInt64, from state: inout State) {
        guard let subscriber = state.subscribers.removeValue(forKey: id) else { return }
        state.byFilter[subscriber.filter]?.remove(id)
        if state.byFilter[subscriber.filter]?.isEmpty == true { state.byFilter[subscriber.filter] = nil }
        subscriber.items.finish()
    }

    /// Lets streams beat: those of one slot, or all.
    func beat(slot: Int? = nil) {
        let due = state.withLock { state in
            state.subscribers.values.filter { slot == nil || $0.beatSlot == slot }.map(\.items)
        }
        for items in due { items.yield(.beat) }
    }

    /// Beats until cancelled, a slot at a time, so that not all streams ask the index at once.
    func run() async {
        while !Task.isCancelled {
            do { try await surroundings.sleep(interval / Self.slots) } catch { return }
            let slot = state.withLock { state in
                state.slot = (state.slot + 1) % Self.slots
                return state.slot
            }
            beat(slot: slot)
        }
    }

    /// Has all streams end when the server is asked to stop, in whose requests this is called. Once is enough: a handler for
    /// each stream would be held by thousands.
    func endWithServer() {
        let isWatched = state.withLock { state in
            defer { state.isWatched = true }
            return state.isWatched
        }
        guard !isWatched else { return }
        Task { [weak self] in
            try? await gracefulShutdown()
            self?.close()
        }
    }

    /// Ends all streams; new ones end at once.
    func close() {
        state.withLock { state in
            state.isClosed = true
            for subscriber in state.subscribers.values {
                subscriber.ending.end(.shutdown)
                subscriber.items.finish()
            }
            state.subscribers = [:]
            state.byFilter = [:]
        }
    }
}

/// One open stream. Whoever holds it keeps it open.
final class EventSubscription: Sendable {
    /// What the stream is told, in order; ends when the stream must end.
    let items: AsyncStream<EventStreamItem>
    private let ending: EventHub.EndingNote
    private let end: @Sendable () -> Void

    fileprivate init(
        items: AsyncStream<EventStreamItem>,
        ending: EventHub.EndingNote,
        end: @escaping @Sendable () -> Void
    ) {
        self.items = items
        self.ending = ending
        self.end = end
    }

    /// Why the hub ended it, if it did.
    var reason: EventHub.Ending? { ending.reason }

    /// Ends it from here; for a server that stops or a connection that is gone.
    func close(_ reason: EventHub.Ending) {
        ending.end(reason)
        end()
    }

    deinit { end() }
}
