// Event streams: snapshot, progress, ends, and what they must not show.

import Core
import CoreTesting
import Foundation
import Harness
import NIOCore
import Testing

@testable import API

@Suite(.timeLimit(.minutes(5)))
struct EventStreamTests {
    private func watch<Value: Sendable>(
        _ port: Int,
        _ target: String,
        token: String = APIFixture.alice,
        _ body: (RawConnection) async throws -> Value
    ) async throws -> Value {
        try await RawConnection.with(port: port) { connection in
            try await connection.send("GET \(target) HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer \(token)\r\n\r\n")
            let head = try await connection.head()
            #expect(head.status == 200 && head["Content-Type"] == "text/event-stream")
            return try await body(connection)
        }
    }

    @Test func oneUploadIsShownFromSnapshotToEnd() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 8_192)
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            try await watch(api.port, "/v1/uploads/\(id)/events") { stream in
                let snapshot = try #require(try await stream.event())
                #expect(snapshot.type == "snapshot" && snapshot.data["receivedBytes"]?.number == 4_096)
                #expect(snapshot.data["owner"]?.text == "alice" && snapshot.data["v"]?.number == 1)
                #expect(try await api.part(id, 2, sample(4_096)).status == 201)
                var last = try #require(try await stream.event())
                while last.data["receivedBytes"]?.number != 8_192 { last = try #require(try await stream.event()) }
                #expect(last.type == "part.received" && last.data["type"]?.text == "part.received")
                #expect(last.data.keys == snapshot.data.keys)
                #expect(try await api.request("DELETE", "/v1/uploads/\(id)").status == 202)
                var end = try #require(try await stream.event())
                while end.type == "part.received" { end = try #require(try await stream.event()) }
                #expect(end.type == "upload.cancelled" && end.data["state"]?.text == "cancelled")
                #expect(try await stream.event()?.type == nil)
            }
            try await watch(api.port, "/v1/uploads/\(id)/events") { stream in
                let last = try #require(try await stream.event())
                #expect(last.data["state"]?.text == "cancelled")
                #expect(try await stream.event()?.type == nil)
            }
        }
    }

    @Test func onesOwnUploadsAreShownAndNobodyElses() async throws {
        try await APIFixture().serve { api in
            let own = try await api.create("own")
            let others = try await api.create("others", token: APIFixture.bob)
            try await watch(api.port, "/v1/events") { alice in
                #expect(try await alice.event()?.data["upload"]?.text == own)
                try await watch(api.port, "/v1/events", token: APIFixture.operations) { olga in
                    var seen: Set<String?> = []
                    for _ in 1...2 { seen.insert(try await olga.event()?.data["upload"]?.text) }
                    #expect(seen == [own, others])
                    let secret = try await api.create("secret", token: APIFixture.bob)
                    let next = try await api.create("next")
                    #expect(try await olga.event()?.data["upload"]?.text == secret)
                    #expect(try await olga.event()?.data["upload"]?.text == next)
                    #expect(try await alice.event()?.data["upload"]?.text == next)
                }
            }
        }
    }

    @Test func aHeartbeatShowsWhatEventsLost() async throws {
        let fixture = try await APIFixture(losesEvents: true)
        try await fixture.serve { api in
            let id = try await api.create(size: 8_192)
            try await watch(api.port, "/v1/uploads/\(id)/events") { stream in
                #expect(try await stream.event()?.type == "snapshot")
                #expect(try await api.part(id, 1, sample(4_096)).status == 201)
                fixture.hub.beat()
                #expect(try await stream.block() == ": keep-alive")
                let snapshot = try #require(try await stream.event())
                #expect(snapshot.type == "snapshot" && snapshot.data["receivedBytes"]?.number == 4_096)
                // Nothing changed: a sign of life only.
                fixture.hub.beat()
                #expect(try await stream.block() == ": keep-alive")
                #expect(try await api.request("DELETE", "/v1/uploads/\(id)").status == 202)
                fixture.hub.beat()
                let last = try #require(try await stream.event())
                #expect(last.data["state"]?.text == "cancelled")
                #expect(try await stream.event()?.type == nil)
            }
        }
    }

    /// More have ended since than are ever looked through: none of them is.
    @Test func aSnapshotShowsWhatHasNotEndedHoweverOldItIs() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let ids = [try await api.create("live", size: 8_192), try await api.create("dead", size: 8_192)]
            let dead = try #require(UploadID(ids[1]))
            let failure = Failure(.diskFull, "full")
            let request = FailRequest(
                job: .ship(dead, offset: 0),
                attempt: 3,
                fence: nil,
                failure: failure,
                worker: "w"
            )
            _ = try await fixture.store.fail(request)
            var record = try #require(try await fixture.store.upload(dead)).record
            for number in 1...2_100 as ClosedRange<UInt64> {
                record.id = UploadID(high: number, low: 0)
                record.path = try TargetPath("ended-\(number)")
                record.createdAt = record.createdAt + .seconds(1)
                _ = try await fixture.store.create(record)
                _ = try await fixture.store.cancel(record.id, by: "alice", only: .any)
                try await fixture.store.cleaned(record.id)
            }
            try await watch(api.port, "/v1/events") { stream in
                let shown = [try await stream.event(), try await stream.event()]
                #expect(Set(shown.map { $0?.data["upload"]?.text }) == Set(ids))
                #expect(Set(shown.map { $0?.data["state"]?.text }) == ["receiving", "failed"])
            }
        }
    }

    @Test func aHeartbeatShowsEndingsThatEventsLost() async throws {
        let fixture = try await APIFixture(losesEvents: true)
        try await fixture.serve { api in
            let ids = [try await api.create("a", size: 8_192), try await api.create("b", size: 8_192)]
            try await watch(api.port, "/v1/events") { stream in
                for _ in ids { #expect(try await stream.event()?.type == "snapshot") }
                #expect(try await api.request("DELETE", "/v1/uploads/\(ids[0])").status == 202)
                fixture.hub.beat()
                let last = try #require(try await stream.event())
                #expect(last.data["upload"]?.text == ids[0] && last.data["state"]?.text == "cancelled")
                // It is told once, and what waited meanwhile is older.
                let id = try #require(UploadID(ids[0]))
                var upload = try #require(try await fixture.store.upload(id))
                upload.state = .shipping
                fixture.hub.deliver(Event(.partReceived, upload, at: upload.updatedAt))
                fixture.hub.beat()
                #expect(try await stream.block() == ": keep-alive")
                fixture.hub.beat()
                #expect(try await stream.block() == ": keep-alive")
            }
        }
    }

    @Test func aRightThatIsTakenAwayEndsTheStream() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await watch(api.port, "/v1/events") { stream in
                #expect(try await stream.block() == ": keep-alive")
                try await eventually("the stream is open") { fixture.hub.count == 1 }
                try APIFixture.write("# nobody\n", to: fixture.tokensFile)
                fixture.hub.beat()
                let end = try #require(try await stream.event())
                #expect(end.type == "end" && end.data["reason"]?.text == "unauthorized")
                #expect(try await stream.event()?.type == nil)
            }
        }
    }

    @Test func aClientThatGoesIsForgotten() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            for how in ["close", "reset"] {
                try await watch(api.port, "/v1/events") { stream in
                    try await eventually("the stream is open") { fixture.hub.count == 1 }
                    if how == "close" { try await stream.close() } else { try await stream.reset() }
                }
                try await eventually("the stream is forgotten after \(how)") { fixture.hub.count == 0 }
            }
        }
    }

    @Test func aReaderThatStopsReadingIsCutOff() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve(ServerLimits(idleTimeout: .milliseconds(300))) { api in
            let id = try #require(UploadID(try await api.create()))
            var upload = try #require(try await fixture.store.upload(id))
            // More than any socket buffer takes, in fewer events than a stream may have waiting.
            upload.failure = Failure(.targetFailed, String(repeating: "x", count: 512 << 10))
            let event = Event(.jobRetrying, upload, at: upload.updatedAt)
            try await RawConnection.with(port: api.port, receiveBuffer: 8_192) { stream in
                let head = "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n\r\n"
                try await stream.send(head)
                #expect(try await stream.head().status == 200)
                try await eventually("the stream is open") { fixture.hub.count == 1 }
                for _ in 1..<EventHub.bound { fixture.hub.deliver(event) }
                try await eventually("the connection is cut") { fixture.hub.count == 0 }
                await #expect(throws: (any Error).self) {
                    while try await stream.event() != nil {}
                }
            }
        }
    }

    @Test func openStreamsEndWithTheServer() async throws {
        let fixture = try await APIFixture()
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let (opens, opened) = AsyncStream.makeStream(of: Void.self)
        async let ending = { () -> (String?, Bool)? in
            for await port in ports {
                return try await watch(port, "/v1/events") { stream in
                    #expect(try await stream.block() == ": keep-alive")
                    opened.yield()
                    let end = try await stream.event()
                    return (end?.data["reason"]?.text, try await stream.event()?.type == nil)
                }
            }
            return nil
        }()
        try await fixture.serve { api in
            port.yield(api.port)
            for await _ in opens { break }
        }
        let (reason, isOver) = try #require(try await ending)
        #expect(reason == "shutdown" && isOver)
    }

    @Test func manyIdleStreamsAreServed() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await api.create(size: 8_192)
            let (opens, opened) = AsyncStream.makeStream(of: Void.self)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 1...200 {
                    group.addTask {
                        try await watch(api.port, "/v1/uploads/\(id)/events") { stream in
                            #expect(try await stream.event()?.type == "snapshot")
                            opened.yield()
                            while let event = try await stream.event() {
                                if event.data["state"]?.text == "cancelled" { return }
                            }
                            Issue.record("the stream ended early")
                        }
                    }
                }
                var count = 0
                for await _ in opens {
                    count += 1
                    if count == 200 { break }
                }
                #expect(fixture.hub.count == 200)
                #expect(try await api.request("DELETE", "/v1/uploads/\(id)").status == 202)
                try await group.waitForAll()
            }
        }
    }
}

struct EventHubTests {
    private func event(
        _ owner: String = "alice",
        path: String = "a",
        bytes: Int64 = 0,
        id: UploadID = UploadID(high: 1, low: 2)
    ) throws -> Event {
        let record = UploadRecord(
            id: id,
            owner: try #require(Owner(owner)),
            target: try #require(TargetID("web-1")),
            path: try TargetPath(path),
            size: 10,
            partSize: 4_096,
            createdAt: Timestamp(microseconds: 1),
            expiresAt: Timestamp(microseconds: 2)
        )
        var upload = Upload(record: record)
        upload.received.bytes = bytes
        return Event(.partReceived, upload, at: Timestamp(microseconds: 3))
    }

    private let surroundings = Surroundings(
        now: { Timestamp(microseconds: 0) },
        sleep: { try await Task.sleep(for: $0) },
        random: { 4 }
    )

    @Test func aSlowReaderIsDroppedAndOthersAreNot() async throws {
        let hub = EventHub(surroundings: surroundings)
        let owner = try #require(Owner("alice"))
        let slow = hub.subscribe(.owner(owner))
        let quick = hub.subscribe(.everything)
        var items = quick.items.makeAsyncIterator()
        for number in 0...EventHub.bound {
            hub.deliver(try event(bytes: Int64(number)))
            _ = await items.next()
        }
        #expect(slow.reason == .slowReader && quick.reason == nil && hub.count == 1)
        var received = 0
        for await _ in slow.items { received += 1 }
        #expect(received == EventHub.bound)
    }

    @Test func whatComesAfterAnEndIsNotTold() async throws {
        let hub = EventHub(surroundings: surroundings)
        let stream = hub.subscribe(.everything)
        var ended = try event()
        for (kind, state) in [
            (Event.Kind.uploadFailed, UploadState.failed), (.jobReplayed, .shipping), (.uploadDone, .done),
            // Told by another process before the end.
            (.partReceived, .shipping), (.uploadMerging, .merging), (.uploadDone, .done),
        ] {
            ended.kind = kind
            ended.state = state
            hub.deliver(ended)
        }
        hub.deliver(try event(id: UploadID(high: 1, low: 3)))
        hub.close()
        var told: [UploadState] = []
        for await item in stream.items { if case .event(let summary, _) = item { told.append(summary.state) } }
        #expect(told == [.failed, .shipping, .done, .done, .receiving])
    }

    @Test func theLastThousandsOfEndsAreRemembered() throws {
        var ends = RecentEnds()
        func told(_ number: Int, _ state: UploadState) throws -> Bool {
            var event = try event(id: UploadID(high: 1, low: UInt64(number)))
            event.state = state
            return !ends.isOvertaken(event)
        }
        for number in 0..<3 * RecentEnds.bound { #expect(try told(number, .done)) }
        #expect(try told(0, .shipping))
        for number in 2 * RecentEnds.bound..<3 * RecentEnds.bound { #expect(try !told(number, .shipping)) }
        #expect(try told(3 * RecentEnds.bound - 1, .done))
    }

    @Test func subscriptionsEndWithTheirHolder() throws {
        let hub = EventHub(surroundings: surroundings)
        do {
            let held = hub.subscribe(.everything)
            #expect(hub.count == 1)
            withExtendedLifetime(held) {}
        }
        #expect(hub.count == 0)
    }

    @Test func onlyTheOwnersStreamsGetAnEvent() async throws {
        let hub = EventHub(surroundings: surroundings)
        let bob = hub.subscribe(.owner(try #require(Owner("bob"))))
        let other = hub.subscribe(.upload(UploadID(high: 9, low: 9)))
        let one = hub.subscribe(.upload(UploadID(high: 1, low: 2)))
        hub.deliver(try event())
        hub.close()
        var counts: [Int] = []
        for subscription in [bob, other, one] {
            var count = 0
            for await _ in subscription.items { count += 1 }
            counts.append(count)
        }
        #expect(counts == [0, 0, 1])
        #expect(hub.subscribe(.everything).reason == .shutdown)
    }

    @Test func nothingBreaksOutOfADataLine() throws {
        var event = try event()
        event.failure = Failure(.targetFailed, "a\r\nevent: upload.done\ndata: {}\r\n\r\n\u{2028}\u{0}")
        let frame = try #require(EventFrame.make(type: "job.retrying", id: "1", document: EventDocument(event)))
        let text = String(buffer: frame)
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline && $0 != "\u{2028}" }
        #expect(lines.count == 5 && lines[3].isEmpty && lines[4].isEmpty)
        #expect(lines[0] == "event: job.retrying" && lines[1] == "id: 1")
        let data = try JSONValue.parse(lines[2].dropFirst(6).utf8)
        #expect(data["error"]?["detail"]?.text == event.failure?.detail)
    }
}
