// EventStreamer: writes one stream: a snapshot, then events, and at each heartbeat what was missed.

import Core
import Hummingbird
import HummingbirdCore
import NIOCore

/// One client's event stream.
///
/// It subscribes first and reads the state after that, so nothing falls between the two. Events may be lost on the
/// way; so at each heartbeat the state is read again, and what the client has not seen is sent as a snapshot.
struct EventStreamer: Sendable {
    /// The most uploads that a snapshot of many shows: the newest that have not ended.
    static let snapshotLimit = 200
    /// The most pages of others' uploads, and of such as wait for their clean-up, that are looked through for them.
    static let snapshotPages = 10
    /// The most other uploads that are looked at in one heartbeat: events wait meanwhile, and not many can.
    static let looks = 64

    let filter: EventFilter
    let subscription: EventSubscription
    let intake: UploadIntake
    let principal: Principal
    /// Whether the caller still has the right that it had when the stream was opened.
    let isStillAllowed: @Sendable () async -> Bool

    /// The uploads that the stream shows, as they are now.
    func current() async throws(IntakeError) -> [Upload] {
        if case .upload(let id) = filter { return [try await intake.upload(id, for: principal)] }
        var found: [UploadID: Upload] = [:]
        // What moves from one to the other meanwhile comes as an event.
        for var query in UploadQuery.unended(limit: Self.snapshotLimit) {
            var count = 0
            for _ in 0..<Self.snapshotPages where count < Self.snapshotLimit {
                let page = try await intake.uploads(query, for: principal)
                for upload in page.uploads where !upload.state.isEnded {
                    found[upload.id] = upload
                    count += 1
                }
                query.cursor = page.next
                if query.cursor == nil { break }
            }
        }
        let newest = found.values.sorted { ($0.record.createdAt, $0.id) > ($1.record.createdAt, $1.id) }
        return Array(newest.prefix(Self.snapshotLimit))
    }

    /// The uploads that the stream shows, and those that the client saw and that are not among them any more: each
    /// has ended, perhaps without an event that arrived, or been outnumbered by newer ones. Of many, some each time.
    private func current(
        since seen: [UploadID: UploadSummary]
    ) async throws(IntakeError) -> (uploads: [Upload], gone: [UploadID]) {
        let uploads = try await current()
        if case .upload = filter { return (uploads, []) }
        let present = Set(uploads.map(\.id))
        var others: [Upload] = []
        var gone: [UploadID] = []
        for id in seen.keys.filter({ !present.contains($0) }).shuffled().prefix(Self.looks) {
            do { others.append(try await intake.upload(id, for: principal)) } catch {
                guard error == .notFound else { throw error }
                gone.append(id)
            }
        }
        return (uploads + others, gone)
    }

    /// Writes until the upload has ended, the client has gone, or the server stops.
    ///
    /// A task keeps the memory of the deepest call that it ever made, and thousands of streams wait here: so what asks the
    /// index runs in a task of its own, which is gone when it has answered, and no upload is held across a wait.
    @concurrent func write(
        _ snapshot: [ByteBuffer],
        _ seen: consuming [UploadID: UploadSummary],
        to writer: inout any ResponseBodyWriter
    ) async throws {
        for frame in snapshot { try await writer.write(frame) }
        if isOver(seen) { return }
        // Whose end a heartbeat told before the events that waited meanwhile.
        var ended: Set<UploadID> = []
        for await item in subscription.items {
            switch item {
            case .event(let summary, let frame):
                if !summary.state.isEnded, ended.contains(summary.upload) { continue }
                note(summary, &seen)
                try await writer.write(frame)
                if isOver([summary.upload: summary]) { return }
            case .beat:
                guard await isStillAllowed() else {
                    try await writer.write(EventFrame.end("unauthorized"))
                    return
                }
                try await writer.write(EventFrame.keepAlive)
                let missed = await missed(since: seen)
                seen = missed.seen
                ended = missed.ended
                for frame in missed.frames { try await writer.write(frame) }
                if isOver(seen) { return }
            }
        }
        if let reason = subscription.reason { try await writer.write(EventFrame.end(reason.rawValue)) }
    }

    /// Snapshots of what changed without an event that arrived, and what is seen with them. Where the index does not
    /// answer there are none, and the next beat asks again.
    private func missed(
        since seen: [UploadID: UploadSummary]
    ) async -> (frames: [ByteBuffer], seen: [UploadID: UploadSummary], ended: Set<UploadID>) {
        await Task {
            guard let now = try? await current(since: seen) else { return ([], seen, []) }
            let news = now.uploads.filter { seen[$0.id] != UploadSummary($0) }
            var (frames, seen) = snapshots(of: news, seen)
            for id in now.gone { seen[id] = nil }
            return (frames, seen, Set(news.filter(\.state.isEnded).map(\.id)))
        }.value
    }

    /// Whether nothing more can come.
    private func isOver(_ seen: [UploadID: UploadSummary]) -> Bool {
        guard case .upload(let id) = filter else { return false }
        return seen[id]?.state.isEnded ?? false
    }

    private func note(_ summary: UploadSummary, _ seen: inout [UploadID: UploadSummary]) {
        if case .upload = filter {
            seen[summary.upload] = summary
        } else {
            seen[summary.upload] = summary.state.isEnded ? nil : summary
        }
    }

    private func snapshots(
        of uploads: [Upload],
        _ seen: [UploadID: UploadSummary]
    ) -> (frames: [ByteBuffer], seen: [UploadID: UploadSummary]) {
        var seen = seen
        var frames: [ByteBuffer] = []
        for upload in uploads {
            note(UploadSummary(upload), &seen)
            let frame = EventFrame.make(
                type: "snapshot",
                id: String(upload.updatedAt.microseconds),
                document: EventDocument(snapshot: upload)
            )
            if let frame { frames.append(frame) }
        }
        return (frames, seen)
    }
}

extension EventStreamer {
    /// The response whose body is the stream.
    func response(_ snapshot: [Upload], channel: any Channel) -> Response {
        // A connection that is gone ends the stream at once, not with the next failed write.
        channel.closeFuture.whenComplete { [weak subscription] _ in subscription?.close(.shutdown) }
        let (frames, seen) = snapshots(of: snapshot, [:])
        let body = ResponseBody { writer in
            // A first comment opens the stream for the client even where there is nothing to tell.
            try await writer.write(EventFrame.keepAlive)
            try await write(frames, seen, to: &writer)
            try await writer.finish(nil)
        }
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: body
        )
    }
}
