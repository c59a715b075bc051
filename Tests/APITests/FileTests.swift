// Small files in one request, and paths that try to be more than a path.

import Core
import CoreTesting
import Foundation
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct FileTests {
    @Test func oneRequestCreatesStagesAndCompletes() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let bytes = sample(300_000)
            let digest = Data(SHA256.digest(bytes).bytes).base64EncodedString()
            let answer = try await api.request(
                "PUT",
                "/v1/files/web-1/in/some%20file%2Ebin",
                fields: ["Content-Digest": "sha-512=:AAAA:, sha-256=:\(digest):"],
                body: bytes
            )
            #expect(answer.status == 202)
            let upload = try answer.json()
            #expect(upload["path"]?.text == "in/some file.bin" && upload["state"]?.text == "shipping")
            #expect(upload["receivedBytes"]?.number == 300_000 && upload["size"]?.number == 300_000)
            #expect(upload["digest"]?["sha-256"]?.text == SHA256.digest(bytes).hex)
            #expect(answer["Location"] == "/v1/uploads/\(upload["id"]?.text ?? "?")")
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func anEmptyFileNeedsNoPart() async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("PUT", "/v1/files/web-1/empty", body: [])
            #expect(answer.status == 202)
            #expect(try answer.json()["size"]?.number == 0)
            let wrong = Data(SHA256.digest([1]).bytes).base64EncodedString()
            let fields = ["Content-Digest": "sha-256=:\(wrong):"]
            let refused = try await api.request("PUT", "/v1/files/web-1/empty2", fields: fields, body: [])
            #expect(refused.status == 400 && refused.problem == "digest-mismatch")
        }
    }

    @Test func aRepeatedRequestIsTheSameUpload() async throws {
        try await APIFixture().serve { api in
            let fields = ["Idempotency-Key": "once"]
            let first = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(100))
            let second = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(100))
            #expect(first.status == 202 && second.status == 202)
            #expect(try first.json()["id"] == second.json()["id"])
        }
    }

    @Test func aWrongDigestLeavesNoUpload() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let wrong = Data(SHA256.digest([1]).bytes).base64EncodedString()
            let fields = ["Content-Digest": "sha-256=:\(wrong):"]
            let answer = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(100))
            #expect(answer.status == 400 && answer.problem == "digest-mismatch")
            let uploads = try await api.request("GET", "/v1/uploads?state=receiving").json()["uploads"]
            #expect(uploads?.items.isEmpty == true)
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test(arguments: [
        "/v1/files/web-1/../etc/passwd", "/v1/files/web-1/..%2fetc%2fpasswd", "/v1/files/web-1/%2e%2e/a",
        "/v1/files/web-1/a/%2e%2e/b", "/v1/files/web-1//etc/passwd", "/v1/files/web-1/%2Fetc/passwd",
        "/v1/files/web-1/a//b", "/v1/files/web-1/a/", "/v1/files/web-1/./a", "/v1/files/web-1/a%00b",
        "/v1/files/web-1/a%0d%0ab", "/v1/files/web-1/a%5cb", "/v1/files/web-1/.ferry-x",
        "/v1/files/web-1/d/.ferry-0123.1.part", "/v1/files/web-1/%ff%fe", "/v1/files/web-1/%c3", "/v1/files/web-1/a%zz",
        "/v1/files/web-1/a%2", "/v1/files/web-1/%c0%ae%c0%ae/a", "/v1/files/web-1/%ed%a0%80",
    ])
    func pathTricksAreRefused(_ target: String) async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let answer = try await api.request("PUT", target, body: [1])
            #expect(answer.status == 422 && answer.problem == "invalid-request")
            #expect(try answer.json()["field"]?.text == "path")
        }
        #expect(try await fixture.staging.uploads(after: nil, touchedSince: nil, limit: 10).isEmpty)
    }

    @Test(arguments: ["", "/", "a/", "../a", "a/../b", "/a", "a\\\\b", "a\\u0000b", "a\\nb", ".ferry-a/b", "a//b"])
    func pathTricksInJSONAreRefused(_ path: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.json("POST", "/v1/uploads", #"{"target":"web-1","path":"\#(path)"}"#)
            #expect(answer.status == 422 && answer.problem == "invalid-request")
            #expect(try answer.json()["field"]?.text == "path")
        }
    }

    @Test(arguments: ["nowhere", "%2e%2e", "WEB-1", "web-1%2F.."])
    func unknownTargetsAreNamed(_ target: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("PUT", "/v1/files/\(target)/a", body: [1])
            #expect(answer.status == 422 && answer.problem == "target-unknown")
        }
    }

    @Test func overwriteIsCheckedAndLengthsToo() async throws {
        try await APIFixture().serve { api in
            let fields = ["Overwrite": "maybe"]
            let answer = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: [1])
            #expect(answer.status == 422 && answer.problem == "invalid-request")
            let huge = ["Content-Length": "1073741825"]
            let large = try await api.request("PUT", "/v1/files/web-1/a", fields: huge, body: [1])
            #expect(large.status == 413 && large.problem == "too-large")
            let lengthless = try await api.request("PUT", "/v1/files/web-1/a", fields: ["Transfer-Encoding": "chunked"])
            #expect(lengthless.status == 411 && lengthless.problem == "length-required")
        }
    }

    @Test func aRefusedFileCanBeSentAgainWithItsKey() async throws {
        let fixture = try await APIFixture(stagingLimit: 4_000)
        try await fixture.serve { api in
            let fields = ["Idempotency-Key": "k"]
            #expect(try await api.request("PUT", "/v1/files/web-1/b", body: sample(500)).status == 202)
            let full = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(4_000))
            #expect(full.status == 507 && full.problem == "staging-full")
            let large = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(5_000))
            #expect(large.status == 413 && large.problem == "too-large")
            // The first ones were taken back: they must not answer for this one.
            let again = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(3_000))
            #expect(again.status == 202)
            #expect(try again.json()["state"]?.text == "merging")
        }
    }
}
