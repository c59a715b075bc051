// Clients that break off, are slow, wait to be asked, or send nonsense.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct ConnectionTests {
    private static func head(_ id: String, length: Int, more: String = "") -> String {
        "PUT /v1/uploads/\(id)/parts/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n"
            + "Content-Length: \(length)\r\n\(more)\r\n"
    }

    @Test(arguments: ["close", "reset", "half"], [4_096, 100_000])
    func aBodyThatBreaksOffLeavesNothing(_ how: String, size: Int) async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let id = try await api.create(
                size: 10 * size,
                partSize: size,
                more: #","fingerprint":"\#(how)""#
            )
            #expect(try await api.part(id, 1, sample(size)).status == 201)
            let half = how == "half"
            try await RawConnection.with(port: api.port) { connection in
                let head = Self.head(id, length: size).replacing("parts/1", with: "parts/2")
                try await connection.send(Array(head.utf8) + sample(2_000))
                // A small one is begun when all of it is there.
                if size <= PartPlace.small {
                    fixture.staging.faults.plant(.failed("EIO"), in: .store)
                } else {
                    try await eventually("the part has begun") { fixture.staging.unfinishedParts == 1 }
                }
                if half {
                    try await connection.finishSending()
                    let answer = try await connection.answer()
                    #expect(answer.status == 400 && answer.problem == "body-incomplete")
                } else if how == "close" {
                    try await connection.close()
                } else {
                    try await connection.reset()
                }
            }
            try await eventually("nothing of it is left") { fixture.staging.unfinishedParts == 0 }
            if size <= PartPlace.small {
                #expect(try await api.part(id, 3, sample(size)).status == 503, "the first that is stored is this one")
            }
            #expect(try await api.request("GET", "/v1/uploads/\(id)").json()["receivedParts"]?.text == "1")
        }
    }

    /// The beginning of a file's request; what is left are its own fields.
    private static let fileHead =
        "PUT /v1/files/web-1/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n"

    @Test func aSmallFileThatBreaksOffWasNeverBegun() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(Array("\(Self.fileHead)Content-Length: 9000\r\n\r\n".utf8) + sample(2_000))
                try await connection.finishSending()
                let answer = try await connection.answer()
                #expect(answer.status == 400 && answer.problem == "body-incomplete")
            }
            #expect(try await api.request("GET", "/v1/uploads").json()["uploads"]?.items.isEmpty == true)
        }
        #expect(fixture.staging.uploadIDs.isEmpty)
    }

    @Test func aFileThatBreaksOffIsCancelled() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(Array("\(Self.fileHead)Content-Length: 90000\r\n\r\n".utf8) + sample(2_000))
                try await eventually("the part has begun") { fixture.staging.unfinishedParts == 1 }
                try await connection.close()
            }
            try await eventually("it is cancelled") {
                let uploads = try await api.request("GET", "/v1/uploads").json()["uploads"]
                return uploads?[0]?["state"]?.text == "cancelled"
            }
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func aBrokenFileDoesNotTakeBackWhatAnotherRequestSent() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let bytes = sample(90_000)
            let digest = "sha-256=:\(Data(SHA256.digest(bytes).bytes).base64EncodedString()):"
            try await RawConnection.with(port: api.port) { connection in
                let fields = "Content-Digest: \(digest)\r\nContent-Length: 90000\r\n\r\n"
                try await connection.send(Array("\(Self.fileHead)\(fields)".utf8) + bytes.prefix(2_000))
                try await eventually("the part has begun") { fixture.staging.unfinishedParts == 1 }
                // What a client does whose first request hangs.
                let again = try await api.request(
                    "PUT",
                    "/v1/files/web-1/a",
                    fields: ["Content-Digest": digest],
                    body: bytes
                )
                #expect(again.status == 202)
                try await connection.close()
            }
            try await eventually("the first request has ended") { fixture.staging.unfinishedParts == 0 }
            let uploads = try await api.request("GET", "/v1/uploads").json()["uploads"]
            #expect(uploads?.items.count == 1 && uploads?[0]?["state"]?.text == "shipping")
        }
    }

    @Test func aFileGivesWayOfWhichNothingWasAcknowledged() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            // As a server leaves it that died while the body came.
            let request = CreateRequest(target: "web-1", path: "a", size: 9_000, partSize: 9_000, isWhole: true)
            let alice = Principal(owner: try #require(Owner("alice")), roles: [.uploader])
            let left = try await fixture.intake.create(request, for: alice).upload.id
            let answer = try await api.request("PUT", "/v1/files/web-1/a", body: sample(9_000))
            #expect(answer.status == 202)
            #expect(try answer.json()["id"]?.text != left.description)
            #expect(try await api.request("GET", "/v1/uploads/\(left)").json()["state"]?.text == "cancelled")
        }
    }

    @Test func anUploadThatWasCreatedDoesNotGiveWayToAFile() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create("a", size: 4_096)
            let answer = try await api.request("PUT", "/v1/files/web-1/a", body: sample(9_000))
            #expect(answer.status == 409 && answer.problem == "different-content")
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
        }
    }

    @Test func aFileThatFailedGivesWayToTheNextOne() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let first = try await api.request("PUT", "/v1/files/web-1/a", body: sample(70_000)).json()["id"]?.text
            let id = try #require(first.flatMap { UploadID($0) })
            let taken = Failure(.targetExists, "a file is there")
            guard case .applied = try await fixture.store.fail(id, fence: nil, failure: taken) else {
                throw HarnessError("not failed")
            }
            // Only the owner's yes to replacing is an answer to that.
            let never = try await api.request("PUT", "/v1/files/web-1/a", body: sample(70_000))
            #expect(never.status == 409 && never.problem == "different-content")
            // Nobody cleans here; the path is free once the first one is cleared away.
            async let again = api.request(
                "PUT",
                "/v1/files/web-1/a",
                fields: ["Overwrite": "replace"],
                body: sample(3_000, seed: 2)
            )
            try await eventually("the first is given up") {
                try await fixture.store.upload(id)?.state == .cancelled
            }
            try await fixture.staging.discard(id)
            try await fixture.store.cleaned(id)
            #expect(try await again.status == 202)
        }
    }

    @Test func aKeyIsForOneRequest() async throws {
        try await APIFixture().serve { api in
            let fields = ["Idempotency-Key": "k"]
            let first = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(3_000))
            #expect(first.status == 202)
            let same = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(3_000))
            #expect(try same.json()["id"]?.text == first.json()["id"]?.text)
            let other = try await api.request("PUT", "/v1/files/web-1/a", fields: fields, body: sample(3_001))
            #expect(other.status == 422 && other.problem == "invalid-request")
            #expect(try other.json()["field"]?.text == "Idempotency-Key")
        }
    }

    @Test func aSlowBodyIsRefused() async throws {
        let fixture = try await APIFixture()
        let limits = ServerLimits(minimumRate: 1_000, rateWindow: .milliseconds(400), lingerTime: .milliseconds(200))
        try await fixture.serve(limits) { api in
            let id = try await api.create(size: 4_096)
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(Self.head(id, length: 4_096))
                let feeding = 40
                for _ in 1...feeding {
                    // A byte now and then resets every plain time-out; the server has answered when this fails.
                    do { try await connection.send([0]) } catch { break }
                    try await Task.sleep(for: .milliseconds(20))
                }
                let answer = try await connection.answer()
                #expect(answer.status == 408 && answer.problem == "request-timeout")
                #expect(answer["Connection"] == "close")
                #expect(await connection.ends())
            }
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func aConnectionWithoutARequestIsClosed() async throws {
        try await APIFixture().serve(ServerLimits(idleTimeout: .milliseconds(300))) { api in
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send("GET /healthz HTTP/1.1\r\nHost:")
                let clock = ContinuousClock()
                let start = clock.now
                #expect(await connection.ends())
                #expect(clock.now - start < .seconds(10))
            }
        }
    }

    @Test func aBodyIsAskedForOnlyWhenItIsWanted() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 4_096)
            let expects = "Expect: 100-continue\r\n"
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(Self.head(id, length: 4_096, more: expects))
                #expect(try await connection.answer().status == 100)
                try await connection.send(sample(4_096))
                #expect(try await connection.answer().status == 201)
            }
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(Self.head(id, length: 4_095, more: expects))
                let answer = try await connection.answer()
                #expect(answer.status == 400 && answer.problem == "wrong-part-size")
                #expect(answer["Connection"] == "close")
                try await connection.finishSending()
                #expect(await connection.ends())
            }
        }
    }

    @Test func aRefusalReachesAClientThatSendsFirst() async throws {
        try await APIFixture().serve { api in
            // Twelve MiB fit no socket buffer: the client has the answer only if the server reads on.
            let head = Self.head(String(repeating: "0", count: 32), length: 12 << 20)
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(head)
                for _ in 1...12 { try await connection.send([UInt8](repeating: 7, count: 1 << 20)) }
                let answer = try await connection.answer()
                #expect(answer.status == 404 && answer["Connection"] == "close")
                #expect(await connection.ends())
            }
        }
    }

    @Test func aSmallRefusedBodyKeepsTheConnection() async throws {
        try await APIFixture().serve { api in
            try await RawConnection.with(port: api.port) { connection in
                for _ in 1...3 {
                    let head = Self.head(String(repeating: "0", count: 32), length: 4_096)
                    try await connection.send(Array(head.utf8) + sample(4_096))
                    let answer = try await connection.answer()
                    #expect(answer.status == 404 && answer["Connection"] == nil)
                }
            }
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await APIFixture().serve { api in
            try await RawConnection.with(port: api.port) { connection in
                let request = "GET /healthz HTTP/1.1\r\nHost: h\r\nX-Request-Id: "
                try await connection.send("\(request)one\r\n\r\n\(request)two\r\n\r\n")
                #expect(try await connection.answer()["X-Request-Id"] == "one")
                #expect(try await connection.answer()["X-Request-Id"] == "two")
            }
        }
    }

    @Test(arguments: [
        ("NONSENSE\r\n\r\n", 400, "malformed-request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400, "malformed-request"),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "malformed-request"),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
            "malformed-request"
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", 400, "malformed-request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: \(String(repeating: "a", count: 70_000))\r\n\r\n", 431, "header-too-large"),
    ])
    func whatIsNoRequestIsAnsweredInTheSameForm(_ bytes: String, _ status: Int, _ problem: String) async throws {
        try await APIFixture().serve { api in
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send(bytes)
                let answer = try await connection.answer()
                #expect(answer.status == status && answer.problem == problem)
                #expect(answer["X-Request-Id"] != nil && answer["Connection"] == "close")
            }
        }
    }

    @Test func aBrokenChunkIsRefused() async throws {
        try await APIFixture().serve { api in
            try await RawConnection.with(port: api.port) { connection in
                let head = "POST /v1/uploads HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n"
                try await connection.send("\(head)Transfer-Encoding: chunked\r\n\r\nxyz\r\n")
                let answer = try await connection.answer()
                #expect(answer.status == 400 && answer.problem == "body-incomplete")
            }
        }
    }

    @Test func requestIdentifiersAreKeptIfSane() async throws {
        try await APIFixture().serve { api in
            let sane = try await api.request("GET", "/healthz", fields: ["X-Request-Id": "a-1_b:2.c"])
            #expect(sane["X-Request-Id"] == "a-1_b:2.c")
            for bad in ["a b", String(repeating: "a", count: 129), "ä", "<x>"] {
                let answer = try await api.request("GET", "/healthz", fields: ["X-Request-Id": bad])
                #expect(answer["X-Request-Id"] != bad && answer["X-Request-Id"]?.count == 32)
            }
        }
    }

    @Test func connectionsAreBounded() async throws {
        try await APIFixture().serve(ServerLimits(maximumConnections: 2)) { api in
            try await RawConnection.with(port: api.port) { first in
                try await first.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try await first.answer().status == 200)
                try await RawConnection.with(port: api.port) { second in
                    try await second.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                    #expect(try await second.answer().status == 200)
                    let answered = Answered()
                    // A connection of its own, not one that the test framework keeps.
                    let port = api.port
                    let third = Task {
                        try await RawConnection.with(port: port) { third in
                            try await third.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                            await answered.note(try await third.answer().status)
                        }
                    }
                    // Without the bound it would be answered within this time.
                    try await Task.sleep(for: .milliseconds(200))
                    #expect(await answered.status == nil)
                    try await first.close()
                    try await third.value
                    #expect(await answered.status == 200)
                }
            }
        }
    }
}

/// What a request was answered, once it was.
private actor Answered {
    private(set) var status: Int?

    func note(_ status: Int) { self.status = status }
}
