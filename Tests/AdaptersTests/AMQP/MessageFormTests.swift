// The exact form of messages on the wire, and what is refused.

import AMQP
import Adapters
import Core
import CoreTesting
import Testing

@Suite struct MessageFormTests {
    let id = UploadID(high: 0x0123_4567_89ab_cdef, low: 1)
    private var name: String { "0123456789abcdef0000000000000001" }

    @Test func jobsHaveTheDesignsForm() throws {
        let forms: [(Job, String)] = [
            (.ship(id, offset: 10_485_760), #"{"kind":"ship","offset":10485760,"upload":"\#(name)","v":1}"#),
            (.merge(id), #"{"kind":"merge","upload":"\#(name)","v":1}"#),
            (.clean(id), #"{"kind":"clean","upload":"\#(name)","v":1}"#),
        ]
        for (job, text) in forms {
            #expect(String(decoding: JobMessage.encode(job), as: UTF8.self) == text)
            #expect(try JobMessage.decode(Array(text.utf8)) == job)
        }
        let spaced = #"{ "v": 1, "kind": "ship", "upload": "\#(name)", "offset": 0, "more": [] }"#
        #expect(try JobMessage.decode(Array(spaced.utf8)) == .ship(id, offset: 0))
    }

    @Test func whatIsNoJobIsMalformed() {
        let texts = [
            "", "null", "[]", "ship", #"{"kind":"merge","upload":"\#(name)"}"#,
            #"{"v":0,"kind":"merge","upload":"\#(name)"}"#,
            #"{"v":1,"kind":"burn","upload":"\#(name)"}"#, #"{"v":1,"kind":"merge"}"#,
            #"{"v":1,"kind":"merge","upload":"../../../../etc/passwd"}"#, #"{"v":1,"kind":"ship","upload":"\#(name)"}"#,
            #"{"v":1,"kind":"ship","upload":"\#(name)","offset":-1}"#,
            #"{"v":1,"kind":"ship","upload":"\#(name)","offset":1.5}"#,
            #"{"v":1,"kind":"ship","upload":"\#(name)","offset":9223372036854775808}"#,
            #"{"v":"1","kind":"merge","upload":"\#(name)"}"#, String(repeating: " ", count: 70_000), "\u{0}",
        ]
        for text in texts {
            #expect {
                try JobMessage.decode(Array(text.utf8))
            } throws: { error in
                if case .malformed = error as? MessageError { true } else { false }
            }
        }
        #expect(throws: MessageError.self) { try JobMessage.decode([0xff, 0xfe]) }
    }

    @Test func aNewerVersionIsToldApart() {
        #expect(throws: MessageError.newer(version: 2)) { try JobMessage.decode(Array(#"{"v":2,"what":"ever"}"#.utf8)) }
        #expect(throws: MessageError.newer(version: 9)) { try EventMessage.decode(Array(#"{"v":9}"#.utf8)) }
    }

    @Test func eventsHaveTheContractsForm() throws {
        let event = try SampleEvent.event(id, .partShipped)
        let text =
            #"{"at":"2026-01-31T09:05:00.250Z","error":null,"mergedBytes":0,"owner":"alice","path":"a/é.mov","#
            + #""receivedBytes":7,"shippedBytes":3,"size":null,"state":"receiving","target":"web-eu-1","#
            + #""type":"part.shipped","upload":"\#(name)","v":1}"#
        #expect(String(decoding: EventMessage.encode(event), as: UTF8.self) == text)
        #expect(try EventMessage.decode(Array(text.utf8)) == event)
        var failed = event
        failed.state = .failed
        failed.size = 10
        failed.failure = Failure(.diskFull, "no \"room\"\r\nleft")
        let failedText = String(decoding: EventMessage.encode(failed), as: UTF8.self)
        #expect(failedText.contains(#""error":{"detail":"no \"room\"\r\nleft","reason":"disk-full"},"#))
        #expect(!failedText.utf8.contains { $0 == 10 || $0 == 13 })
        #expect(try EventMessage.decode(Array(failedText.utf8)) == failed)
    }

    @Test func everyKindOfEventComesBack() throws {
        for kind in Event.Kind.allCases {
            for state in UploadState.allCases {
                var event = try SampleEvent.event(id, kind)
                event.state = state
                #expect(try EventMessage.decode(EventMessage.encode(event)) == event)
            }
        }
    }

    @Test func theTopologyIsTheDesigns() throws {
        let target = try #require(TargetID("web-eu-1"))
        var declared = FerryTopology()
        declared.maximumLength = 5
        let topology = declared.jobs(of: [target])
        #expect(topology.exchanges.map(\.name) == ["ferry.jobs", "ferry.dead"])
        #expect(topology.exchanges.map(\.kind) == [.direct, .fanout])
        #expect(
            topology.queues.map(\.name)
                == ["ferry.dead", "ferry.ship.web-eu-1", "ferry.merge.web-eu-1", "ferry.probe.web-eu-1"]
        )
        #expect(
            topology.queues[1].arguments == [
                "x-queue-type": "quorum", "x-delivery-limit": 20, "x-max-length": 5, "x-overflow": "reject-publish",
                "x-dead-letter-exchange": "ferry.dead", "x-dead-letter-strategy": "at-least-once",
            ]
        )
        #expect(topology.queues[3].arguments == ["x-queue-type": "classic", "x-message-ttl": 5_000])
        #expect(topology.bindings.map(\.routingKey) == ["", "ship.web-eu-1", "merge.web-eu-1"])
        #expect(topology.exchanges.allSatisfy(\.durable) && topology.queues.allSatisfy(\.durable))
        #expect(FerryTopology.target(ofRoutingKey: "merge.web-eu-1") == target)
        for key in ["", "merge.", "burn.x", "ship", "ship.A"] {
            #expect(FerryTopology.target(ofRoutingKey: key) == nil)
        }
    }
}

enum SampleEvent {
    static func event(_ id: UploadID, _ kind: Event.Kind) throws -> Event {
        Event(
            kind: kind,
            upload: id,
            owner: try #require(Owner("alice")),
            target: try #require(TargetID("web-eu-1")),
            path: try TargetPath("a/é.mov"),
            state: .receiving,
            size: nil,
            receivedBytes: 7,
            shippedBytes: 3,
            mergedBytes: 0,
            failure: nil,
            at: Timestamp(microseconds: 1_769_850_300_250_000)
        )
    }
}
