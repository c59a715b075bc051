// Uploads whose size is fixed by their end: a part that is shorter than the others can only be the last.

import Core
import CoreTesting
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct UnknownSizeTests {
    @Test func aPartAfterAShortOneIsRefused() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create()
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            #expect(try await api.part(id, 2, sample(10)).status == 201)
            for bytes in [sample(4_096), sample(9)] {
                let answer = try await api.part(id, 3, bytes)
                #expect(answer.status == 400 && answer.problem == "part-out-of-range", "\(answer.text)")
                #expect(try answer.json()["parts"]?.number == 2)
                #expect(answer.text.contains("part 2 is shorter"))
            }
            // What is there is known, and what is before it may come.
            #expect(try await api.part(id, 2, sample(10)).status == 200)
            #expect(try await api.request("POST", "/v1/uploads/\(id)/complete").status == 202)
        }
    }

    @Test func aShortPartBeforeAnotherIsRefused() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create()
            #expect(try await api.part(id, 3, sample(10)).status == 201)
            #expect(try await api.part(id, 2, sample(4_096)).status == 201)
            let answer = try await api.part(id, 1, sample(10))
            #expect(answer.status == 400 && answer.problem == "wrong-part-size", "\(answer.text)")
            #expect(try answer.json()["minimum"]?.number == 4_096)
            #expect(try await api.part(id, 1, sample(4_096)).status == 201)
            let done = try await api.request("POST", "/v1/uploads/\(id)/complete")
            #expect(done.status == 202)
            #expect(try done.json()["size"]?.number == 8_202)
        }
    }

    @Test func twoThatCameAtOnceAreToldOfAtTheEndAndNothingIsLost() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            // Larger than what is begun only when all of it is there.
            let id = try await api.create(partSize: 100_000)
            try await RawConnection.with(port: api.port) { connection in
                let head = "PUT /v1/uploads/\(id)/parts/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n"
                try await connection.send(Array("\(head)Content-Length: 70000\r\n\r\n".utf8) + sample(69_999))
                try await eventually("the part has begun") { fixture.staging.unfinishedParts == 1 }
                #expect(try await api.part(id, 2, sample(100_000)).status == 201)
                try await connection.send([1])
                #expect(try await connection.answer().status == 201)
            }
            for _ in 1...2 {
                let answer = try await api.request("POST", "/v1/uploads/\(id)/complete")
                #expect(answer.status == 409 && answer.problem == "part-conflict", "\(answer.text)")
                #expect(try answer.json()["part"]?.number == 1)
                #expect(answer.text.contains("cancel the upload and create it again"))
            }
            let shown = try await api.request("GET", "/v1/uploads/\(id)").json()
            #expect(shown["state"]?.text == "receiving" && shown["receivedParts"]?.text == "1-2")
            // What the answer says can be done, can be done.
            #expect(try await api.request("DELETE", "/v1/uploads/\(id)").status == 202)
        }
    }
}
