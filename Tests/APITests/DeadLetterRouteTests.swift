// Dead letters and histories over HTTP.

import Core
import CoreTesting
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct DeadLetterRouteTests {
    private static let operations = APIFixture.operations

    /// An upload of one part that was complete and has failed.
    private func failed(
        _ fixture: APIFixture,
        _ api: Client,
        _ path: String = "a.bin",
        _ reason: FailureReason = .diskFull
    ) async throws -> String {
        let id = try await api.create(path, size: 4_096)
        #expect(try await api.part(id, 1, sample(4_096)).status == 201)
        #expect(try await api.request("POST", "/v1/uploads/\(id)/complete").status == 202)
        let job = Job.ship(try #require(UploadID(id)), offset: 0)
        let failure = Failure(reason, "seen <there>")
        let request = FailRequest(job: job, attempt: 3, fence: nil, failure: failure, worker: "w-1")
        guard case .applied = try await fixture.store.fail(request) else { throw HarnessError("not failed") }
        return id
    }

    @Test func aDeadLetterIsListedShownAndReplayed() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await failed(fixture, api)
            let page = try await api.request("GET", "/v1/dead-letters", token: Self.operations).json()
            #expect(page["deadLetters"]?.items.count == 1 && page["next"] == .null)
            let letter = try await api.request("GET", "/v1/dead-letters/\(id)", token: Self.operations).json()
            #expect(letter["id"]?.text == id && letter["reason"]?.text == "disk-full")
            #expect(letter["job"]?["kind"]?.text == "ship" && letter["job"]?["offset"]?.number == 0)
            #expect(letter["attempts"]?.number == 3)
            #expect(letter["firstError"]?["detail"]?.text == "seen <there>")
            #expect(letter["lastError"]?["at"]?.text == letter["failedAt"]?.text)
            #expect(letter["upload"]?["state"]?.text == "failed")
            let events = letter["history"]?.items.compactMap { $0["event"]?.text }
            #expect(events == ["created", "completed", "failed"])
            // Its owner sees the history too, but is no operator.
            let history = try await api.request("GET", "/v1/uploads/\(id)/history").json()["history"]
            #expect(history?[2]?["by"]?.text == "w-1" && history?[0]?["by"]?.text == "alice")
            let others = try await api.request("GET", "/v1/uploads/\(id)/history", token: APIFixture.bob)
            #expect(others.status == 404)

            for _ in 1...3 {
                let answer = try await api.request("POST", "/v1/dead-letters/\(id)/replay", token: Self.operations)
                #expect(answer.status == 202 && answer["Location"] == "/v1/uploads/\(id)")
                #expect(try answer.json()["state"]?.text == "shipping")
            }
            let gone = try await api.request("GET", "/v1/dead-letters/\(id)", token: Self.operations)
            #expect(gone.status == 404 && gone.problem == "not-found")
        }
    }

    @Test func aThousandReplaysAtOnceStartOne() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await failed(fixture, api)
            let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        var accepted = 0
                        for _ in 0..<50 {
                            let path = "/v1/dead-letters/\(id)/replay"
                            accepted +=
                                try await api.request("POST", path, token: Self.operations).status == 202 ? 1 : 0
                        }
                        return accepted
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(accepted == 1_000)
            let history = try await api.request("GET", "/v1/uploads/\(id)/history").json()["history"]
            #expect(history?.items.count { $0["event"]?.text == "replayed" } == 1)
        }
    }

    @Test func manyAreReplayedByFilter() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            _ = try await failed(fixture, api, "a")
            _ = try await failed(fixture, api, "b", .permissionDenied)
            func replay(_ body: String) async throws -> JSONValue {
                let path = "/v1/dead-letters/replay"
                let answer = try await api.json("POST", path, body, token: Self.operations)
                #expect(answer.status == 202, "\(answer.text)")
                return try answer.json()
            }
            let counted = try await replay(#"{"reason":"disk-full","dryRun":true}"#)
            #expect(counted["matched"]?.number == 1 && counted["replayed"]?.number == 0)
            #expect(counted["dryRun"] == .bool(true))
            #expect(try await replay(#"{"target":"web-2"}"#)["matched"]?.number == 0)
            let paced = try await replay(#"{"reason":"disk-full","ratePerSecond":2.5,"limit":10}"#)
            #expect(paced["replayed"]?.number == 1)
            let rest = try await api.request("POST", "/v1/dead-letters/replay", token: Self.operations)
            #expect(rest.status == 202)
            #expect(try rest.json()["replayed"]?.number == 1)
        }
    }

    @Test func aReplayAsksForTheOwnersRightsAgain() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await failed(fixture, api)
            let line = "\(SHA256.digest(Array(Self.operations.utf8)).hex) olga operator\n"
            try APIFixture.write(line, to: fixture.tokensFile)
            let path = "/v1/dead-letters/\(id)/replay"
            let answer = try await api.request("POST", path, token: Self.operations)
            #expect(answer.status == 409 && answer.problem == "owner-revoked")
            #expect(try answer.json()["owner"]?.text == "alice")
            try APIFixture.write(APIFixture.tokens, to: fixture.tokensFile)
            #expect(try await api.request("POST", path, token: Self.operations).status == 202)
        }
    }

    @Test func aDiscardedOneIsCancelled() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await failed(fixture, api)
            let path = "/v1/dead-letters/\(id)"
            let answer = try await api.request("DELETE", path, token: Self.operations)
            #expect(answer.status == 202)
            #expect(try answer.json()["state"]?.text == "cancelled")
            let replay = try await api.request("POST", "\(path)/replay", token: Self.operations)
            #expect(replay.status == 410 && replay.problem == "upload-ended")
            let live = try await api.create("b", size: 9)
            let refused = try await api.request("DELETE", "/v1/dead-letters/\(live)", token: Self.operations)
            #expect(refused.status == 409 && refused.problem == "wrong-state")
        }
    }

    @Test(arguments: [
        #"{"limit":0}"#, #"{"limit":10001}"#, #"{"ratePerSecond":0}"#, #"{"ratePerSecond":1e9}"#, #"{"reason":"x"}"#,
        #"{"target":"../a"}"#, #"{"targets":"web-1"}"#, #"{"dryRun":"yes"}"#, "[]",
    ])
    func wrongFiltersAreRefused(_ body: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.json("POST", "/v1/dead-letters/replay", body, token: Self.operations)
            #expect(answer.status == 422 && answer.problem == "invalid-request", "\(answer.text)")
        }
    }

    @Test(arguments: ["reason=x", "target=..%2f", "limit=0", "cursor=x"])
    func wrongQueriesAreRefused(_ query: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("GET", "/v1/dead-letters?\(query)", token: Self.operations)
            #expect(answer.status == 422 && answer.problem == "invalid-request")
        }
    }
}
