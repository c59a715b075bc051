// Chunks of the old interfaces: how their size is learned, and which forms are refused without leaving anything.

import Core
import CoreTesting
import Foundation
import Harness
import Synchronization
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct CompatibilityChunkTests {
    /// Begins an upload as the article's client does: without saying how large a chunk is.
    private func begin(_ api: Client) async throws {
        let status = try await api.old("get_file_upload_status", ["hash_code": "abc"])
        #expect(try status.code == 1 && status.json()["chunk_size"]?.number == 65_536, "\(status.text)")
    }

    private func merge(_ api: Client, _ count: Int) async throws -> Answer {
        try await api.old("bigfile_merge", ["chunk_num": "\(count)"])
    }

    @Test func theFirstChunkTellsHowLargeAllAre() async throws {
        try await APIFixture().serve { api in
            try await begin(api)
            let early = try #require(try await api.old("get_file_dir_info").json()["data"]?["path"]?.text)
            for (number, count) in [(1, 5_000), (3, 10), (2, 5_000)] {
                // The temporary path that was told before still names the same content.
                let answer = try await api.chunk(number, sample(count), ["tmp_path": early])
                #expect(answer.code == 1, "\(answer.text)")
            }
            #expect(try await api.old("get_file_dir_info").json()["data"]?["chunk_size"]?.number == 5_000)
            #expect(try await merge(api, 3).code == 1)
            #expect(try await api.newest()["size"]?.number == 10_010)
        }
    }

    @Test func theAssumedSizeNeedsNothing() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await begin(api)
            let id = try await api.newest()["id"]
            #expect(try await api.chunk(2, sample(65_536)).code == 1)
            #expect(try await api.chunk(1, sample(65_536)).code == 1)
            #expect(try await api.chunk(3, sample(1)).code == 1)
            #expect(try await merge(api, 3).code == 1)
            let upload = try await api.newest()
            #expect(upload["id"] == id && upload["size"]?.number == 131_073)
        }
    }

    @Test(arguments: [1, 100, 4_095, 4_096, 70_000])
    func oneChunkIsAWholeFile(_ count: Int) async throws {
        try await APIFixture().serve { api in
            try await begin(api)
            #expect(try await api.chunk(1, sample(count)).code == 1)
            #expect(try await merge(api, 1).code == 1)
            #expect(try await api.newest()["size"]?.number == count)
        }
    }

    @Test func aChunkThatComesBeforeTheFirstWaitsForIt() async throws {
        let patient = ChunkAssumptions(size: 65_536, patience: .seconds(60))
        let looks = Atomic(0)
        let fixture = try await APIFixture(
            chunks: patient,
            storeFaults: PortFaults { operation, moment in
                if operation == .holder, moment == .after { looks.add(1, ordering: .relaxed) }
                return nil
            }
        )
        try await fixture.serve { api in
            try await begin(api)
            let before = looks.load(ordering: .relaxed)
            async let second = api.chunk(2, sample(5_000, seed: 2))
            // Whoever looks again waits.
            try await eventually("chunk 2 waits") { looks.load(ordering: .relaxed) >= before + 2 }
            async let third = api.chunk(3, sample(10))
            for answer in [try await api.chunk(1, sample(5_000)), try await second, try await third] {
                #expect(answer.code == 1, "\(answer.text)")
            }
            #expect(try await merge(api, 3).code == 1)
            #expect(try await api.newest()["size"]?.number == 10_010)
        }
    }

    @Test func theLastChunkMayComeAloneAndFirst() async throws {
        try await APIFixture().serve { api in
            try await begin(api)
            #expect(try await api.chunk(2, sample(10)).code == 1)
            // It was taken for the last of 64 KiB chunks: that others are smaller comes too late.
            let answer = try await api.chunk(1, sample(5_000))
            #expect(answer.status == 400 && answer.problem == "wrong-part-size", "\(answer.text)")
            #expect(try answer.json()["minimum"]?.number == 65_536)
            #expect(try await api.chunk(1, sample(65_536)).code == 1)
            #expect(try await merge(api, 2).code == 1)
            #expect(try await api.newest()["size"]?.number == 65_546)
        }
    }

    @Test func aDeclaredSizeIsTakenAtItsWord() async throws {
        try await APIFixture().serve { api in
            try await api.begin()
            let id = try await api.newest()["id"]
            #expect(try await api.chunk(3, sample(10)).code == 1)
            #expect(try await api.chunk(4, sample(4_096)).problem == "part-out-of-range")
            #expect(try await api.chunk(1, sample(4_097)).problem == "wrong-part-size")
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            #expect(try await api.newest()["id"] == id)
            // Said again before anything came, another size counts.
            let other = "/srv/incoming/b"
            try await api.begin(path: other)
            let again = ["hash_code": "abc", "chunk_size": "8192"]
            let status = try await api.old("get_file_upload_status", again, path: other)
            #expect(try status.code == 1 && status.json()["chunk_size"]?.number == 8_192)
            #expect(try await api.chunk(1, sample(8_192), path: other).code == 1)
            // And does not any more afterwards; the answer says which one does.
            let late = ["hash_code": "abc", "chunk_size": "4096"]
            let kept = try await api.old("get_file_upload_status", late, path: other)
            #expect(try kept.code == 1 && kept.json()["chunk_size"]?.number == 8_192)
        }
    }

    @Test func theSameBytesAgainAreFineAndOthersAreNot() async throws {
        try await APIFixture().serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            let again = try await api.chunk(1, sample(4_096))
            #expect(try again.code == 1 && again.json()["msg"]?.text == "the chunk was stored already")
            let other = try await api.chunk(1, sample(4_096, seed: 2))
            #expect(other.status == 409 && other.problem == "part-conflict" && other.code == -1)
        }
    }

    @Test func contentThatLooksLikeABoundaryIsContent() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            let bytes = Array(String(repeating: "\r\n--a-boundar\r\r\n--", count: 200).utf8)
            #expect(try await api.chunk(1, bytes).code == 1)
            let upload = try #require(try await api.newest()["id"]?.text.flatMap { UploadID($0) })
            let part = try await fixture.store.parts(of: upload).first?.part
            #expect(part == Part(offset: 0, size: Int64(bytes.count), digest: SHA256.digest(bytes)))
        }
    }

    @Test func formsThatCannotBeStoredLeaveNothing() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            let fields = Client.fields().map { ($0.key, $0.value) } + [("chunk_num", "1")]
            func expect(_ answer: Answer, _ status: Int, _ problem: String, _ says: String = "", _ line: Int = #line) {
                #expect(answer.status == status && answer.problem == problem, "line \(line): \(answer.text)")
                #expect(
                    answer.code == -1 && (says.isEmpty || answer.text.contains(says)),
                    "line \(line): \(answer.text)"
                )
            }
            var form = TestForm(fields: fields, file: sample(4_096), fileComesFirst: true)
            // Before the fields, nobody knows what it is a chunk of; and after them nothing else may come.
            expect(try await api.send(form), 422, "invalid-request", "person_id")
            let query = "?host_id=web-1&full_path=/srv/incoming/a.bin&person_id=alice&chunk_num=1"
            expect(try await api.send(form, query: query), 422, "invalid-request", "must be the form's last part")
            form.fields = []
            expect(
                try await api.send(
                    form,
                    query: "?host_id=web-2&full_path=/srv/incoming/a.bin&person_id=alice&chunk_num=1"
                ),
                404,
                "not-found"
            )
            #expect(fixture.staging.unfinishedParts == 0)
            #expect(try await api.newest()["receivedBytes"]?.number == 0)

            form = TestForm(fields: fields, file: sample(4_096), end: "")
            expect(try await api.send(form), 400, "invalid-form", "CR LF")
            form.end = "\r\n\r\n"
            expect(try await api.send(form), 400, "invalid-form")
            form.end = "\r\nand more"
            expect(try await api.send(form), 400, "invalid-form")
            form = TestForm(fields: fields + [("chunk_num", "2")], file: sample(4_096))
            expect(try await api.send(form), 400, "invalid-form", "comes twice")
            form = TestForm(fields: fields, file: [])
            expect(try await api.send(form), 422, "invalid-request", "chunk_num 0")
            form = TestForm(fields: fields)
            expect(try await api.send(form), 422, "invalid-request", "file_info")
            for number in ["0", "-1", "01", "x", "50001"] {
                form = TestForm(fields: Client.fields().map { ($0.key, $0.value) } + [("chunk_num", number)], file: [1])
                expect(try await api.send(form), 422, "invalid-request", "chunk_num")
            }
            form = TestForm(fields: fields, file: sample(4_096))
            expect(try await api.send(form, query: "?chunk_num=2"), 400, "invalid-form", "comes twice")
            func post(_ type: String?, _ body: [UInt8], _ more: [String: String] = [:]) async throws -> Answer {
                let fields = more.merging(type.map { ["Content-Type": $0] } ?? [:]) { $1 }
                return try await api.request("POST", "/file_chunk_upload", fields: fields, body: body)
            }
            expect(try await post("application/json", Array("{}".utf8)), 415, "unsupported-media-type")
            expect(try await post(nil, form.body), 415, "unsupported-media-type")
            expect(try await post("multipart/form-data", form.body), 400, "invalid-form", "boundary")
            expect(try await post("multipart/form-data; boundary=other", form.body), 400, "invalid-form")
            let gzip = ["Content-Encoding": "gzip"]
            expect(try await post(form.contentType, form.body, gzip), 415, "unsupported-encoding")
            let chunked = ["Transfer-Encoding": "chunked", "Content-Type": form.contentType]
            expect(try await api.request("POST", "/file_chunk_upload", fields: chunked), 411, "length-required")
            let huge = ["Content-Length": "1074790401"]
            expect(try await post(form.contentType, form.body, huge), 413, "too-large")
            #expect(fixture.staging.unfinishedParts == 0)
            #expect(try await api.newest()["receivedBytes"]?.number == 0)
            // The same form, as it should be; with fields in the query it may come alone.
            #expect(try await api.send(form).code == 1)
            form.fields = []
            #expect(try await api.send(form, query: query).code == 1)
        }
        #expect(fixture.staging.unfinishedParts == 0)
    }

    @Test func aClientThatLeavesLeavesNothing() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            let fields = Client.fields().map { ($0.key, $0.value) } + [("chunk_num", "1")]
            let form = TestForm(fields: fields, file: sample(4_096))
            try await RawConnection.with(port: api.port) { connection in
                let head = "POST /file_chunk_upload HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer alice-token\r\n"
                let body = form.body
                let type = "Content-Type: \(form.contentType)\r\nContent-Length: \(body.count)\r\n\r\n"
                try await connection.send(Array((head + type).utf8) + body.dropLast(500))
                try await eventually("the chunk has begun") { fixture.staging.unfinishedParts == 1 }
            }
            try await eventually("nothing is left of it") { fixture.staging.unfinishedParts == 0 }
            #expect(try await api.send(form).code == 1)
        }
    }

    @Test func stagingWithoutRoomSaysSo() async throws {
        try await APIFixture(stagingLimit: 5_000).serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            let full = try await api.chunk(2, sample(4_096))
            #expect(full.status == 507 && full.code == -1 && full.problem == "staging-full")
        }
    }
}
