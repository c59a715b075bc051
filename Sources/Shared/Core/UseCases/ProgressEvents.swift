// Events on their way out: endings at once, progress at most ten times a second an upload.

internal import Synchronization

/// Publishes events and coalesces progress, so that a fast upload does not flood those who watch.
public final class ProgressEvents: Sendable {
    private struct Upload {
        var lastSent: Timestamp
        var waiting: Event?
    }

    private let bus: any EventBus
    private let surroundings: Surroundings
    private let interval: Duration
    private let uploads = Mutex<[UploadID: Upload]>([:])

    /// Publishes to a bus; progress of one upload at most once an interval.
    public init(bus: any EventBus, surroundings: Surroundings, interval: Duration = .milliseconds(100)) {
        self.bus = bus
        self.surroundings = surroundings
        self.interval = interval
    }

    /// Tells what happened to an upload.
    public func publish(_ kind: Event.Kind, _ upload: Core.Upload) {
        let event = Event(kind, upload, at: surroundings.now())
        guard kind == .partReceived || kind == .partShipped else {
            // What was held back is older than this, and shows no more.
            uploads.withLock { $0[event.upload]?.waiting = nil }
            bus.publish(event)
            return
        }
        if admit(event) { bus.publish(event) }
    }

    /// Whether progress goes out now; else it waits for `flush`, in place of an older one.
    private func admit(_ event: Event) -> Bool {
        uploads.withLock { uploads in
            guard let known = uploads[event.upload], !isDue(known.lastSent, at: event.at) else {
                uploads[event.upload] = Upload(lastSent: event.at, waiting: nil)
                return true
            }
            uploads[event.upload]?.waiting = event
            return false
        }
    }

    /// Whether an interval has passed, or the clock was set back.
    private func isDue(_ last: Timestamp, at now: Timestamp) -> Bool { now < last || now - last >= interval }

    /// Sends what waited, and forgets uploads that have been quiet; called once an interval by `run`.
    public func flush() {
        let now = surroundings.now()
        let due = uploads.withLock { uploads in
            var due: [Event] = []
            for (id, upload) in uploads where isDue(upload.lastSent, at: now) {
                if let event = upload.waiting {
                    due.append(event)
                    uploads[id] = Upload(lastSent: now, waiting: nil)
                } else {
                    uploads[id] = nil
                }
            }
            return due
        }
        for event in due { bus.publish(event) }
    }

    /// Flushes once an interval until cancelled.
    public func run() async {
        while !Task.isCancelled {
            do { try await surroundings.sleep(interval) } catch { break }
            flush()
        }
        flush()
    }
}
