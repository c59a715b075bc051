// The life of an upload over real HTTP.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct UploadTests {
    @Test func creationAnswersWithAllFields() async throws {
        try await APIFixture().serve { api in
            let body = #"{"target":"web-1","path":"in/ä.bin","size":9000,"metadata":{"k":"v\r\nx"},"fingerprint":"f"}"#
            let answer = try await api.json("POST", "/v1/uploads", body)
            #expect(answer.status == 201)
            let upload = try answer.json()
            let id = try #require(upload["id"]?.text)
            #expect(answer["Location"] == "/v1/uploads/\(id)")
            #expect(answer["Content-Type"] == "application/json")
            #expect(upload["owner"]?.text == "alice" && upload["state"]?.text == "receiving")
            #expect(upload["path"]?.text == "in/ä.bin" && upload["metadata"]?["k"]?.text == "v\r\nx")
            #expect(upload["size"]?.number == 9_000 && upload["partSize"]?.number == 4_096)
            for key in [
                "mode", "modifiedAt", "digest", "generation", "merge", "verification", "atomic", "error", "endedAt",
            ] {
                #expect(upload[key] == .null, "\(key)")
            }
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["receivedParts"]?.text == "" && shown["shippedParts"]?.text == "")
            #expect(shown.keys == upload.keys.union(["receivedParts", "shippedParts"]))
        }
    }

    @Test func whatTheFileIsToHaveIsKeptAndShown() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let more = #","mode":"640","modifiedAt":"2026-01-31T10:05:00.25+01:00""#
            let id = try await api.create("a", more: more)
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["mode"]?.text == "0640" && shown["modifiedAt"]?.text == "2026-01-31T09:05:00.250Z")
            let fields = ["Mode": "0400", "Modified-At": "2026-01-31T09:05:00Z"]
            let file = try await api.request("PUT", "/v1/files/web-1/b", fields: fields, body: [1])
            #expect(file.status == 202)
            #expect(try file.json()["mode"]?.text == "0400")
            #expect(try file.json()["modifiedAt"]?.text == "2026-01-31T09:05:00.000Z")
        }
    }

    @Test(arguments: [
        ("mode", #""rw-r--r--""#), ("mode", #""1644""#), ("mode", #""0044""#), ("mode", #""""#), ("mode", "416"),
        ("modifiedAt", #""yesterday""#), ("modifiedAt", #""2026-01-31""#), ("modifiedAt", "1769850300"),
        ("modifiedAt", #""1969-12-31T23:59:59Z""#), ("modifiedAt", #""2106-02-07T06:28:16Z""#),
    ])
    func whatNoFileCanHaveIsRefusedByName(field: String, value: String) async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let body = #"{"target":"web-1","path":"a","\#(field)":\#(value)}"#
            let answer = try await api.json("POST", "/v1/uploads", body)
            #expect(answer.status == 422 && answer.problem == "invalid-request")
            #expect(try answer.json()["field"]?.text == field)
            guard value.hasPrefix("\"") else { return }
            let fields = [field == "mode" ? "Mode" : "Modified-At": String(value.dropFirst().dropLast())]
            let file = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: [1])
            #expect(file.status == 422 && file.problem == "invalid-request")
        }
        #expect(try await fixture.staging.uploads(after: nil, touchedSince: nil, limit: 10).isEmpty)
    }

    @Test func partsComeInAnyOrderAndInParallel() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let bytes = sample(20 * 4_096 + 100)
            let id = try await api.create(size: bytes.count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in (1...21).shuffled() {
                    group.addTask {
                        let part = Array(bytes[(number - 1) * 4_096..<min(number * 4_096, bytes.count)])
                        let digest = Data(SHA256.digest(part).bytes).base64EncodedString()
                        let answer = try await api.part(
                            id,
                            number,
                            part,
                            fields: ["Content-Digest": "sha-256=:\(digest):"]
                        )
                        #expect(answer.status == 201)
                        #expect(try answer.json()["offset"]?.number == (number - 1) * 4_096)
                        #expect(try answer.json()["digest"]?["sha-256"]?.text == SHA256.digest(part).hex)
                    }
                }
                try await group.waitForAll()
            }
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["receivedParts"]?.text == "1-21" && shown["receivedBytes"]?.number == bytes.count)
            let whole = #"{"digest":{"sha-256":"\#(SHA256.digest(bytes).hex)"}}"#
            for _ in 1...2 {
                let done = try await api.json("POST", "/v1/uploads/\(id)/complete", whole)
                #expect(done.status == 202)
                #expect(try done.json()["state"]?.text == "shipping")
            }
            try await eventually("every part has a ship job") { Set(fixture.queue.sent.map(\.job)).count == 21 }
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func theSameBytesAgainAreKnownAndOthersConflict() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 5_000)
            let part = sample(4_096)
            #expect(try await api.part(id, 1, part).status == 201)
            #expect(try await api.part(id, 1, part).status == 200)
            let other = try await api.part(id, 1, sample(4_096, seed: 2))
            #expect(other.status == 409 && other.problem == "part-conflict")
        }
    }

    @Test func completionNamesTheMissingParts() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 5 * 4_096)
            #expect(try await api.part(id, 2, sample(4_096)).status == 201)
            let answer = try await api.request("POST", "/v1/uploads/\(id)/complete")
            #expect(answer.status == 409 && answer.problem == "parts-missing")
            #expect(try answer.json()["missing"]?.text == "1,3-5")
        }
    }

    @Test func aSizeThatWasLeftOutIsFixedByCompletion() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create()
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            #expect(try await api.part(id, 2, sample(10)).status == 201)
            let answer = try await api.request("POST", "/v1/uploads/\(id)/complete")
            #expect(answer.status == 202)
            #expect(try answer.json()["size"]?.number == 4_106)
        }
    }

    @Test func anInterruptedUploadIsFoundAgain() async throws {
        try await APIFixture().serve { api in
            let body = #"{"target":"web-1","path":"a.bin","size":9000,"fingerprint":"a.bin 9000 1"}"#
            let first = try await api.json("POST", "/v1/uploads", body)
            let second = try await api.json("POST", "/v1/uploads", body)
            #expect(first.status == 201 && second.status == 200)
            #expect(try first.json()["id"] == second.json()["id"] && second["Location"] == first["Location"])
            let other = try await api.json("POST", "/v1/uploads", #"{"target":"web-1","path":"a.bin","size":9001}"#)
            #expect(other.status == 409 && other.problem == "different-content")
            #expect(try other.json()["upload"] == first.json()["id"])
            let stranger = try await api.json("POST", "/v1/uploads", body, token: APIFixture.bob)
            #expect(stranger.status == 423 && stranger.problem == "upload-in-progress")
            #expect(stranger["Retry-After"].flatMap(Int.init) ?? 0 > 0)
            let id = try #require(try first.json()["id"]?.text)
            #expect(!stranger.text.contains("alice") && !stranger.text.contains(id))
        }
    }

    @Test func anIdempotencyKeyMakesOneUpload() async throws {
        try await APIFixture().serve { api in
            let body = #"{"target":"web-1","path":"a.bin"}"#
            let first = try await api.json("POST", "/v1/uploads", body, fields: ["Idempotency-Key": "k-1"])
            let second = try await api.json("POST", "/v1/uploads", body, fields: ["Idempotency-Key": "k-1"])
            #expect(first.status == 201 && second.status == 200)
            #expect(try first.json()["id"] == second.json()["id"])
        }
    }

    @Test func aFileOnTheTargetIsNotTakenAway() async throws {
        try await APIFixture(existing: ["a.bin"]).serve { api in
            let answer = try await api.json("POST", "/v1/uploads", #"{"target":"web-1","path":"a.bin"}"#)
            #expect(answer.status == 409 && answer.problem == "target-exists")
            let replacing = #"{"target":"web-1","path":"a.bin","overwrite":"replace"}"#
            #expect(try await api.json("POST", "/v1/uploads", replacing).status == 201)
        }
    }

    @Test func cancellingHappensOnce() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await api.create(size: 5_000)
            for _ in 1...2 {
                let answer = try await api.request("DELETE", "/v1/uploads/\(id)")
                #expect(answer.status == 202)
                #expect(try answer.json()["state"]?.text == "cancelled")
            }
            let part = try await api.part(id, 1, sample(4_096))
            #expect(part.status == 410 && part.problem == "upload-ended")
            let complete = try await api.request("POST", "/v1/uploads/\(id)/complete")
            #expect(complete.status == 410 && complete.problem == "upload-ended")
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func listsShowOnlyOnesOwnNewestFirst() async throws {
        try await APIFixture().serve { api in
            var mine: [String] = []
            for number in 1...3 { mine.insert(try await api.create("a\(number)"), at: 0) }
            let other = try await api.create("b", token: APIFixture.bob)
            let own = try await api.request("GET", "/v1/uploads").json()
            #expect(own["uploads"]?.items.compactMap { $0["id"]?.text } == mine && own["next"] == .null)
            let all = try await api.request("GET", "/v1/uploads", token: APIFixture.operations).json()
            #expect(Set(all["uploads"]?.items.compactMap { $0["id"]?.text } ?? []) == Set(mine + [other]))
            let page = try await api.request("GET", "/v1/uploads?limit=2&state=receiving&target=web-1").json()
            #expect(page["uploads"]?.items.count == 2)
            let cursor = try #require(page["next"]?.text)
            let rest = try await api.request("GET", "/v1/uploads?limit=2&cursor=\(cursor)").json()
            #expect(rest["uploads"]?.items.compactMap { $0["id"]?.text } == [mine[2]])
        }
    }

    @Test func operationsShowTargetsWorkersAndQueues() async throws {
        let fixture = try await APIFixture()
        let target = try #require(TargetID("web-1"))
        let now = Timestamp(microseconds: 1_700_000_000_000_000)
        try await fixture.store.announce(
            WorkerPresence(
                name: "w-1",
                host: "h",
                process: 7,
                version: "1",
                targets: [target],
                jobs: 2,
                startedAt: now,
                seenAt: now
            ),
            lifetime: .seconds(60)
        )
        try await fixture.store.announce(
            TargetPresence(
                target: target,
                reachable: true,
                breaker: .open,
                facts: ["merge": "in-place"],
                error: nil,
                seenAt: now
            ),
            lifetime: .seconds(60)
        )
        try await fixture.store.hold(3, at: target)
        try await fixture.serve { api in
            let token = APIFixture.operations
            let targets = try await api.request("GET", "/v1/targets", token: token).json()["targets"]
            #expect(targets?[0]?["id"]?.text == "web-1" && targets?[0]?["reachable"] == .bool(true))
            #expect(targets?[0]?["breaker"]?.text == "open" && targets?[1]?["breaker"] == .null)
            #expect(targets?[0]?["sessions"]?.number == 3 && targets?[1]?["sessions"]?.number == 0)
            let metrics = try await api.request("GET", "/metrics", token: nil)
            #expect(metrics.status == 200)
            #expect(targets?[0]?["facts"]?["merge"]?.text == "in-place" && targets?[1]?["reachable"] == .null)
            let workers = try await api.request("GET", "/v1/workers", token: token).json()["workers"]
            #expect(workers?[0]?["name"]?.text == "w-1" && workers?[0]?["jobs"]?.number == 2)
            let queues = try await api.request("GET", "/v1/queues", token: token).json()
            #expect(queues["available"] == .bool(true) && queues["queues"]?.items.count == 4)
            #expect(queues["queues"]?[0]?["messages"]?.number == 0)
            fixture.queue.behaviour = .isAway
            let away = try await api.request("GET", "/v1/queues", token: token).json()
            #expect(away["available"] == .bool(false) && away["queues"]?[0]?["messages"] == .null)
        }
    }
}
