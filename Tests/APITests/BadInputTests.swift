// What is wrong with requests: each a stable problem and status, nothing lost, nothing of one owner shown to another.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct BadInputTests {
    @Test(arguments: [
        (#"{"target":"web-1""#, 400, "invalid-json", nil), ("[]", 422, "invalid-request", "the document"),
        ("\u{FEFF}nonsense", 400, "invalid-json", nil), ("", 400, "invalid-json", nil),
        (#"{"path":"a"}"#, 422, "invalid-request", "target"),
        (#"{"target":"web-1","path":"a","szie":1}"#, 422, "invalid-request", "szie"),
        (#"{"target":"web-1","path":"a","size":"1"}"#, 422, "invalid-request", "size"),
        (#"{"target":"web-1","path":"a","size":1.5}"#, 422, "invalid-request", "size"),
        (#"{"target":"web-1","path":"a","size":-1}"#, 422, "invalid-request", "size"),
        (#"{"target":"web-1","path":"a","size":99999999999999999999}"#, 422, "invalid-request", "size"),
        (#"{"target":"web-1","path":"a","size":9223372036854775807}"#, 413, "too-large", nil),
        (#"{"target":"web-1","path":"a","partSize":4095}"#, 422, "invalid-request", "partSize"),
        (#"{"target":"web-1","path":"a","partSize":1073741825}"#, 422, "invalid-request", "partSize"),
        (#"{"target":"web-1","path":"a","partSize":4096,"size":204804097}"#, 422, "invalid-request", "partSize"),
        (#"{"target":"web-1","path":"a","digest":{"sha-256":"zz"}}"#, 422, "invalid-request", "digest.sha-256"),
        (#"{"target":"web-1","path":"a","digest":{"md5":"00"}}"#, 422, "invalid-request", "digest.md5"),
        (#"{"target":"web-1","path":"a","overwrite":"yes"}"#, 422, "invalid-request", "overwrite"),
        (#"{"target":"web-1","path":"a","metadata":{"a":1}}"#, 422, "invalid-request", "metadata.a"),
        (#"{"target":"web-1","path":"a","size":1,"size":2}"#, 400, "invalid-json", nil),
        (#"{"target":"web-1","path":"a","path":"a"}"#, 400, "invalid-json", nil),
        (#"{"target":"web-1","path":"a","\u0070ath":"b"}"#, 400, "invalid-json", nil),
        (#"{"target":"web-1","path":"a","metadata":{"\"":"1","\u0022":"2"}}"#, 400, "invalid-json", nil),
        (#"{"target":"web-1","path":"a","metadata":{"\#u{E9}":"1","e\#u{301}":"2"}}"#, 400, "invalid-json", nil),
        (#"{"target":"nowhere","path":"a"}"#, 422, "target-unknown", nil),
        (#"{"target":"../web-1","path":"a"}"#, 422, "target-unknown", nil),
    ])
    func creationsAreRefused(_ body: String, _ status: Int, _ problem: String, _ field: String?) async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let answer = try await api.json("POST", "/v1/uploads", body)
            #expect(answer.status == status && answer.problem == problem, "\(answer.text)")
            if let field { #expect(try answer.json()["field"]?.text == field) }
        }
        #expect(try await fixture.staging.uploads(after: nil, touchedSince: nil, limit: 10).isEmpty)
    }

    @Test func keysThatOnlyLookRepeatedAreNot() async throws {
        try await APIFixture().serve { api in
            let metadata = #"{"path":"path","size":"{\"size\":1,\"size\":2}","":"a\\","target":","}"#
            let body = #"{"target":"web-1","path":"a","metadata":\#(metadata)}"#
            #expect(try await api.json("POST", "/v1/uploads", body).status == 201)
            let repeated = try await api.json("POST", "/v1/uploads", #"{"target":"web-1","path":"b","path":"c"}"#)
            #expect(try repeated.json()["detail"]?.text == "'path' comes twice in one object")
        }
    }

    @Test func bytesThatAreNoTextAndBodiesThatAreTooLargeAreRefused() async throws {
        try await APIFixture().serve { api in
            let bytes = try await api.request("POST", "/v1/uploads", body: [0x7B, 0xFF, 0x7D])
            #expect(bytes.status == 400 && bytes.problem == "invalid-json")
            let large = try await api.request("POST", "/v1/uploads", body: sample(262_145))
            #expect(large.status == 413 && large.problem == "too-large")
            let wide = #"{"target":"web-1","path":"a"}"#.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
            #expect(try await api.request("POST", "/v1/uploads", body: wide).problem == "invalid-json")
            let encoded = try await api.request("POST", "/v1/uploads", fields: ["Content-Encoding": "gzip"], body: [1])
            #expect(encoded.status == 415 && encoded.problem == "unsupported-encoding")
            let deep = String(repeating: "[", count: 100_000)
            #expect(try await api.json("POST", "/v1/uploads", deep).problem == "invalid-json")
        }
    }

    @Test func wrongPartsAreRefusedAndLeaveNothing() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await api.create(size: 5_000)
            func expect(_ answer: Answer, _ status: Int, _ problem: String, _ line: Int = #line) {
                #expect(answer.status == status && answer.problem == problem, "line \(line): \(answer.text)")
            }
            expect(try await api.part(id, 1, sample(4_095)), 400, "wrong-part-size")
            expect(try await api.part(id, 1, sample(4_097)), 400, "wrong-part-size")
            expect(try await api.part(id, 2, sample(4_096)), 400, "wrong-part-size")
            expect(try await api.part(id, 1, []), 400, "wrong-part-size")
            expect(try await api.part(id, 0, sample(4_096)), 400, "part-out-of-range")
            expect(try await api.part(id, 3, sample(1)), 400, "part-out-of-range")
            expect(try await api.part(id, -1, sample(1)), 400, "part-out-of-range")
            expect(try await api.part(id, .max, sample(1)), 400, "part-out-of-range")
            for name in ["+1", "01", "1.0", "%31x", "%31", "99999999999999999999", "-99999999999999999999"] {
                let answer = try await api.request("PUT", "/v1/uploads/\(id)/parts/\(name)", body: sample(4_096))
                expect(answer, 422, "invalid-request")
            }
            let path = "/v1/uploads/\(id)/parts"
            expect(try await api.request("PUT", "\(path)/one", body: [1]), 422, "invalid-request")
            expect(try await api.request("PUT", "\(path)/9223372036854775808", body: [1]), 422, "invalid-request")
            let digest = ["Content-Digest": "sha-256=:\(Data(SHA256.digest([1]).bytes).base64EncodedString()):"]
            expect(try await api.part(id, 1, sample(4_096), fields: digest), 400, "digest-mismatch")
            expect(
                try await api.part(id, 1, sample(4_096), fields: ["Content-Digest": "sha-256=abc"]),
                400,
                "invalid-digest"
            )
            expect(
                try await api.part(id, 1, sample(4_096), fields: ["Content-Encoding": "gzip"]),
                415,
                "unsupported-encoding"
            )
            let chunked = ["Transfer-Encoding": "chunked"]
            expect(try await api.request("PUT", "\(path)/1", fields: chunked), 411, "length-required")
            let huge = ["Content-Length": "1073741825"]
            expect(try await api.request("PUT", "\(path)/1", fields: huge, body: [1]), 413, "too-large")
            let overflow = ["Content-Length": "9223372036854775808"]
            expect(try await api.request("PUT", "\(path)/1", fields: overflow, body: [1]), 413, "too-large")
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["receivedBytes"]?.number == 0)
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test(arguments: ["GET", "DELETE", "PUT", "POST", "EVENTS"])
    func unknownAndOthersUploadsAnswerAlike(_ verb: String) async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 5_000)
            func ask(_ id: String) async throws -> Answer {
                switch verb {
                case "PUT": try await api.part(id, 1, sample(4_096), token: APIFixture.bob)
                case "POST": try await api.request("POST", "/v1/uploads/\(id)/complete", token: APIFixture.bob)
                case "EVENTS": try await api.request("GET", "/v1/uploads/\(id)/events", token: APIFixture.bob)
                default: try await api.request(verb, "/v1/uploads/\(id)", token: APIFixture.bob)
                }
            }
            let others = try await ask(id)
            #expect(others.status == 404 && others.problem == "not-found")
            for unknown in [String(repeating: "0", count: 32), "..", "%2e%2e", "A" + id.dropFirst(), "x"] {
                let answer = try await ask(unknown)
                #expect(answer.status == 404)
                if answer.problem == "not-found" { #expect(answer.body == others.body) }
            }
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["state"]?.text == "receiving" && shown["receivedBytes"]?.number == 0)
        }
    }

    @Test func fullStagingIsToldAndNothingStays() async throws {
        let fixture = try await APIFixture(stagingLimit: 6_000)
        try await fixture.serve { api in
            let id = try await api.create()
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            let full = try await api.part(id, 2, sample(4_096))
            #expect(full.status == 507 && full.problem == "staging-full")
            #expect(full["Retry-After"].flatMap(Int.init) ?? 0 > 0)
            #expect(try await api.request("GET", "/v1/uploads/\(id)").json()["receivedParts"]?.text == "1")
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func aFileThatStagingCannotHoldIsRefusedAtItsCreation() async throws {
        let fixture = try await APIFixture(stagingLimit: 6_000)
        try await fixture.serve { api in
            func create(_ path: String, _ size: Int, _ fields: [String: String] = [:]) async throws -> Answer {
                let body = #"{"target":"web-1","path":"\#(path)","size":\#(size),"partSize":4096,"fingerprint":"f"}"#
                return try await api.json("POST", "/v1/uploads", body, fields: fields)
            }
            for fields in [[:], ["Idempotency-Key": "k"]] {
                let never = try await create("a", 6_001, fields)
                #expect(never.status == 413 && never.problem == "too-large", "\(never.text)")
                #expect(try never.json()["limit"]?.number == 6_000)
            }
            let first = try await create("a", 6_000, ["Idempotency-Key": "k"])
            #expect(first.status == 201)
            let id = try #require(try first.json()["id"]?.text)
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            let later = try await create("b", 2_000)
            #expect(later.status == 507 && later.problem == "staging-full")
            #expect(later["Retry-After"].flatMap(Int.init) ?? 0 > 0)
            #expect(try await create("c", 1_904).status == 201)
            // Whoever goes on with what fills staging is not kept from it.
            #expect(try await create("a", 6_000).status == 200)
            #expect(try await create("a", 6_000, ["Idempotency-Key": "k"]).status == 200)
            #expect(try await api.part(id, 2, sample(1_904)).status == 201)
        }
        #expect(try await fixture.staging.uploads(after: nil, touchedSince: nil, limit: 10).count == 2)
    }

    @Test func withoutTheIndexNothingIsLost() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await api.create(size: 4_096)
            fixture.store.faults.plant(.unavailable("no route to 10.0.0.5"), in: .receive)
            let part = try await api.part(id, 1, sample(4_096))
            #expect(part.status == 503 && part.problem == "unavailable" && part["Retry-After"] != nil)
            #expect(!part.text.contains("10.0.0.5"))
            #expect(try await api.part(id, 1, sample(4_096)).status == 200)
            #expect(try await api.request("GET", "/v1/uploads/\(id)").json()["receivedBytes"]?.number == 4_096)
            for operation in [InMemoryUploadStore.Operation.upload, .holder, .uploads, .targets, .workers] {
                fixture.store.faults.plant(.unavailable("away"), in: operation, times: 1)
            }
            #expect(try await api.request("GET", "/v1/uploads/\(id)").problem == "unavailable")
            let body = #"{"target":"web-1","path":"b"}"#
            #expect(try await api.json("POST", "/v1/uploads", body).problem == "unavailable")
            #expect(try await api.request("GET", "/v1/uploads").problem == "unavailable")
            let token = APIFixture.operations
            #expect(try await api.request("GET", "/v1/targets", token: token).problem == "unavailable")
            #expect(try await api.request("GET", "/v1/workers", token: token).problem == "unavailable")
            fixture.store.faults.plant(.rebuilding, in: .complete)
            #expect(try await api.request("POST", "/v1/uploads/\(id)/complete").problem == "unavailable")
            #expect(try await api.request("POST", "/v1/uploads/\(id)/complete").status == 202)
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func withoutTheBrokerUploadsAreAccepted() async throws {
        let fixture = try await APIFixture()
        fixture.queue.behaviour = .isAway
        try await fixture.serve { api in
            let id = try await api.create(size: 4_096)
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            #expect(try await api.request("POST", "/v1/uploads/\(id)/complete").status == 202)
        }
        #expect(fixture.queue.sent.isEmpty)
    }

    @Test func aDiskThatFailsIsToldWithoutDetails() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            // Small parts are stored in one step, others in several.
            let steps: [(Int, [InMemoryStaging.Operation])] = [
                (4_096, [.store]), (100_000, [.beginPart, .write, .seal, .publish]),
            ]
            for (size, operations) in steps {
                let id = try await api.create("of \(size)", size: size, partSize: size)
                for operation in operations {
                    fixture.staging.faults.plant(.failed("write /srv/secret: EIO"), in: operation)
                    let answer = try await api.part(id, 1, sample(size))
                    // It may pass: whoever obeys comes back.
                    #expect(answer.status == 503 && answer.problem == "unavailable" && answer["Retry-After"] == "5")
                    #expect(!answer.text.contains("/srv"))
                }
                #expect(try await api.part(id, 1, sample(size)).status == 201)
            }
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func pathsAndMethodsThatDoNotExistAreTold() async throws {
        try await APIFixture().serve { api in
            for path in ["/none", "/v1", "/v1/upload", "/v1/files/web-1", "/v2/uploads", "/v1/uploads/x/parts"] {
                let answer = try await api.request("GET", path)
                #expect(answer.status == 404 && answer.problem == "route-unknown", "\(path)")
            }
            let wrong = try await api.request("PATCH", "/v1/uploads")
            #expect(wrong.status == 405 && wrong.problem == "method-not-allowed" && wrong["Allow"] == "GET, POST")
        }
    }

    @Test func aTargetThatIsNotConfiguredIsNoFilter() async throws {
        try await APIFixture().serve { api in
            let token = APIFixture.operations
            let lists = ["/v1/uploads", "/v1/dead-letters"]
            for list in lists {
                let answer = try await api.request("GET", "\(list)?target=nope", token: token)
                #expect(answer.status == 422 && answer.problem == "target-unknown", "\(list)")
                #expect(try answer.json()["target"]?.text == "nope")
                #expect(try await api.request("GET", "\(list)?target=web-2", token: token).status == 200)
            }
            let replay = try await api.json("POST", "/v1/dead-letters/replay", #"{"target":"nope"}"#, token: token)
            #expect(replay.status == 422 && replay.problem == "target-unknown")
        }
    }

    @Test(arguments: [
        "state=asleep", "target=..%2f", "limit=0", "limit=1001", "limit=x", "cursor=", "cursor=x", "cursor=1-2",
    ])
    func wrongQueriesAreRefused(_ query: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("GET", "/v1/uploads?\(query)")
            #expect(answer.status == 422 && answer.problem == "invalid-request")
            #expect(try answer.json()["field"]?.text == query.split(separator: "=").first.map(String.init))
        }
    }
}
