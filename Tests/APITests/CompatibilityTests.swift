// The old interfaces over HTTP: every code and status, two owners, and the ways in which uploads end.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct CompatibilityTests {
    private static let path = "/srv/incoming/a.bin"

    @Test func aFileGoesThroughAllFour() async throws {
        try await APIFixture().serve { api in
            let status = try await api.old("get_file_upload_status", ["hash_code": "abc", "chunk_size": "4096"])
            #expect(status.status == 200 && status.code == 1 && status.data == Self.path, "\(status.text)")
            #expect(status["Content-Type"] == "application/json" && status["Cache-Control"] == "no-store")
            let empty = try await api.old("get_file_dir_info")
            #expect(empty.status == 200 && empty.code == 0)
            #expect(try empty.json()["data"]?["chunk_list"] == .list([]))
            for number in [3, 1] {
                let answer = try await api.chunk(number, sample(number == 3 ? 10 : 4_096))
                #expect(answer.status == 200 && answer.code == 1, "\(answer.text)")
                #expect(try answer.json()["chunk_num"]?.number == number)
            }
            let directory = try #require(try await api.old("get_file_dir_info").json()["data"])
            #expect(directory["name"]?.text == "a.bin" && directory["size"]?.number == 4_106)
            #expect(directory["num"]?.number == 2 && directory["chunk"]?.number == 0)
            #expect(directory["chunk_list"] == .list([.number(1), .number(3)]))
            #expect(directory["chunk_size"]?.number == 4_096 && directory["state"]?.text == "receiving")
            let temporary = try #require(directory["path"]?.text)
            #expect(temporary.hasPrefix("\(Self.path):alice:") && temporary.hasSuffix("/"))
            #expect(directory["dir_hashcode"]?.text?.count == 64)

            let early = try await api.old("bigfile_merge", ["chunk_num": "3", "tmp_path": temporary])
            #expect(early.status == 409 && early.problem == "parts-missing" && early.code == -1)
            #expect(try early.json()["missing"]?.text == "2" && early.data == Self.path)
            #expect(try await api.chunk(2, sample(4_096, seed: 2), ["tmp_path": temporary]).code == 1)
            for _ in 1...2 {
                let merge = try await api.old("bigfile_merge", ["chunk_num": "3", "tmp_path": temporary])
                #expect(merge.status == 200 && merge.code == 1 && merge.data == Self.path, "\(merge.text)")
                #expect(try merge.json()["state"]?.text == "shipping")
            }
            let upload = try await api.newest()
            #expect(upload["size"]?.number == 8_202 && upload["state"]?.text == "shipping")
            #expect(upload["path"]?.text == "a.bin" && upload["target"]?.text == "web-1")
            // A client that was killed after the merge learns that it can go on.
            #expect(try await api.old("get_file_upload_status", ["hash_code": "abc"]).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "4"]).problem == "different-content")
        }
    }

    @Test func fieldsComeInEveryForm() async throws {
        try await APIFixture().serve { api in
            let query = "host_id=web-1&full_path=%2Fsrv%2Fincoming%2Fa.bin&person_id=alice"
            func ask(_ type: String?, _ body: String, query: String = "") async throws -> Answer {
                try await api.request(
                    "POST",
                    "/get_file_upload_status\(query)",
                    fields: type.map { ["Content-Type": $0] } ?? [:],
                    body: Array(body.utf8)
                )
            }
            let encoded = "application/x-www-form-urlencoded"
            #expect(try await ask(encoded, query + "&hash_code=abc").code == 1)
            #expect(try await ask("\(encoded); charset=UTF-8", "hash_code=abc", query: "?" + query).code == 1)
            #expect(try await ask(nil, "", query: "?\(query)&hash_code=abc").code == 1)
            let json =
                #""full_path":"/srv/incoming/a.bin","person_id":"alice","hash_code":"abc","chat":true,"more":[{}]"#
            #expect(try await ask("application/json", #"{"host_id":"web-1",\#(json)}"#).code == 1)
            #expect(try await ask(nil, #"{"host_id":"web-1",\#(json)}"#).code == 1)
            var form = TestForm(fields: Client.fields().map { ($0.key, $0.value) } + [("hash_code", "abc")])
            #expect(try await api.send(form, to: "get_file_upload_status").code == 1)
            // Ids that are numbers are numbers in JSON, too.
            let number = try await ask("application/json", #"{"host_id":118,\#(json)}"#)
            #expect(number.status == 422 && number.problem == "target-unknown" && number.data == "118")

            func expect(_ answer: Answer, _ status: Int, _ problem: String, _ line: Int = #line) {
                #expect(answer.status == status && answer.problem == problem, "line \(line): \(answer.text)")
                #expect(answer.code == -1 && answer["Content-Type"] == "application/json", "line \(line)")
            }
            expect(try await ask("text/plain", query), 415, "unsupported-media-type")
            expect(try await ask("nonsense;;=", query), 415, "unsupported-media-type")
            expect(try await ask("multipart/form-data", query), 400, "invalid-form")
            expect(try await ask(encoded, "host_id=%zz"), 400, "invalid-form")
            expect(try await ask(encoded, query + "&hash_code=a&hash_code=a"), 400, "invalid-form")
            expect(try await ask(encoded, query + "&hash_code=a", query: "?hash_code=b"), 400, "invalid-form")
            expect(try await ask("application/json", "{"), 400, "invalid-json")
            expect(try await ask("application/json", #"{"host_id":"web-1","host_id":"web-1"}"#), 400, "invalid-json")
            expect(try await ask("application/json", "[]"), 422, "invalid-request")
            expect(try await ask("application/json", #"{"host_id":["web-1"],\#(json)}"#), 422, "invalid-request")
            expect(try await ask(encoded, String(repeating: "x", count: 262_145)), 413, "too-large")
            expect(try await ask(encoded, "x=" + String(repeating: "x", count: 70_000)), 413, "too-large")
            form.fields = (0...64).map { ("f\($0)", "") }
            expect(try await api.send(form, to: "get_file_upload_status"), 413, "too-large")
        }
    }

    @Test func everyRequestSaysWhoseFileItIs() async throws {
        try await APIFixture().serve { api in
            for interface in ["get_file_upload_status", "get_file_dir_info", "bigfile_merge"] {
                let more = ["hash_code": "abc", "chunk_num": "0"]
                let other = try await api.old(interface, more, person: "bob")
                #expect(other.status == 403 && other.problem == "forbidden" && other.code == -1)
                for name in ["person_id", "host_id", "full_path"] {
                    let missing = try await api.old(interface, more.merging([name: ""]) { $1 })
                    #expect(missing.status == 422 && missing.problem == "invalid-request", "\(interface) \(name)")
                    #expect(try missing.json()["field"]?.text == name)
                }
                let outside = try await api.old(interface, more, path: "/srv/incoming2/a")
                #expect(outside.status == 422 && outside.data == "/srv/incoming2/a")
                #expect(try outside.json()["field"]?.text == "full_path")
                #expect(!(try outside.json()["msg"]?.text ?? "").contains("/srv"))
                #expect(try await api.old(interface, more.merging(["host_id": "web-9"]) { $1 }).data == "web-9")
            }
            #expect(try await api.chunk(1, sample(10), person: "bob").status == 403)
            #expect(try await api.old("get_file_upload_status").status == 422)
            #expect(try await api.old("bigfile_merge").status == 422)
            #expect(try await api.old("get_file_dir_info", token: "none").code == -1)
        }
    }

    @Test func somebodyElsesUploadIsInTheWay() async throws {
        try await APIFixture().serve { api in
            try await api.begin()
            func bob(_ interface: String, _ more: [String: String] = [:]) async throws -> Answer {
                try await api.old(interface, more, person: "bob", token: APIFixture.bob)
            }
            let status = try await bob("get_file_upload_status", ["hash_code": "abc"])
            #expect(status.status == 200 && status.code == 2 && status.data == Self.path)
            #expect(!status.text.contains("alice"))
            for answer in [
                try await bob("get_file_dir_info"), try await bob("bigfile_merge", ["chunk_num": "0"]),
                try await api.chunk(1, sample(4_096), person: "bob", token: APIFixture.bob),
            ] {
                #expect(answer.status == 423 && answer.code == 2 && answer.problem == "upload-in-progress")
            }
            let directory = try await api.old("get_file_dir_info").json()
            #expect(directory["data"]?["num"]?.number == 0)
            // At another path bob has an upload of his own.
            try await api.begin(path: "/srv/incoming/b.bin", person: "bob", token: APIFixture.bob)
        }
    }

    @Test func whoBeginsNothingFindsNothing() async throws {
        try await APIFixture().serve { api in
            for answer in [
                try await api.old("get_file_dir_info"), try await api.old("bigfile_merge", ["chunk_num": "0"]),
                try await api.chunk(1, sample(4_096)),
            ] {
                #expect(answer.status == 404 && answer.code == -1 && answer.problem == "not-found", "\(answer.text)")
            }
        }
    }

    @Test func onlyTheSameContentIsContinued() async throws {
        try await APIFixture().serve { api in
            func ask(_ hash: String, _ more: [String: String] = [:]) async throws -> Answer {
                try await api.old("get_file_upload_status", ["hash_code": hash].merging(more) { $1 })
            }
            try await api.begin(hash: "ABCdef")
            #expect(try await ask("abcDEF").code == 1)
            for hash in ["abcdee", "sha-256:" + SHA256.digest([1]).hex] {
                let other = try await ask(hash)
                #expect(other.status == 409 && other.problem == "different-content" && other.code == -1)
            }
            let replacing = try await ask("abcdef", ["overwrite": "replace"])
            #expect(replacing.status == 409 && replacing.problem == "different-content")
            #expect(try replacing.json()["msg"]?.text?.contains("overwrite: never") == true)
            #expect(try await ask("abcdef", ["overwrite": "false"]).code == 1)
            #expect(try await ask("abcdef", ["overwrite": "perhaps"]).status == 422)
            #expect(try await ask("abcdef", ["chunk_size": "4095"]).status == 422)
        }
    }

    @Test func aSHA256IsDeclaredAndProven() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let digest = SHA256.digest(sample(10))
            try await api.begin(hash: "SHA-256:" + digest.hex.uppercased())
            #expect(try await api.newest()["digest"]?["sha-256"]?.text == digest.hex)
            #expect(try await api.chunk(1, sample(10), ["hash_code": "sha-256:" + digest.hex]).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "1"]).code == 1)
            // An upload of the native interface that declared it is continued; one that did not cannot be told.
            let hex = #","digest":{"sha-256":"\#(digest.hex)"}"#
            _ = try await api.create("native", more: hex)
            let native = "/srv/incoming/native"
            let hash = ["hash_code": "sha-256:" + digest.hex]
            #expect(try await api.old("get_file_upload_status", hash, path: native).code == 1)
            #expect(try await api.chunk(1, sample(10), path: native).code == 1)
            _ = try await api.create("unknown", more: #","fingerprint":"hash_code:ab""#)
            let unknown = try await api.old("get_file_upload_status", hash, path: "/srv/incoming/unknown")
            #expect(unknown.status == 409 && unknown.problem == "different-content")
            _ = try await api.create("bare")
            for answer in [
                try await api.old("get_file_dir_info", path: "/srv/incoming/bare"),
                try await api.chunk(1, sample(10), path: "/srv/incoming/bare"),
            ] { #expect(answer.status == 409 && answer.problem == "different-content") }
        }
    }

    @Test func aRequestIsBoundToItsContent() async throws {
        try await APIFixture().serve { api in
            let first = try await api.begin(hash: "abc")
            let second = try await api.begin(hash: "abd", path: "/srv/incoming/b")
            let tag = first.suffix(17)
            let mixed = second.dropLast(17) + tag
            for more in [["tmp_path": String(mixed)], ["hash_code": "abc"]] {
                for answer in [
                    try await api.chunk(1, sample(4_096), more, path: "/srv/incoming/b"),
                    try await api.old("get_file_dir_info", more, path: "/srv/incoming/b"),
                    try await api.old(
                        "bigfile_merge",
                        more.merging(["chunk_num": "0"]) { $1 },
                        path: "/srv/incoming/b"
                    ),
                ] { #expect(answer.status == 409 && answer.problem == "different-content", "\(answer.text)") }
            }
            for path in [first, "/srv/incoming/b", "x"] {
                let answer = try await api.chunk(1, sample(4_096), ["tmp_path": path], path: "/srv/incoming/b")
                #expect(answer.status == 422, "\(answer.text)")
                #expect(try answer.json()["field"]?.text == "tmp_path")
            }
            for path in [second, "/srv/incoming/b:alice", "/srv/incoming/b:alice/", ""] {
                let answer = try await api.chunk(1, sample(4_096), ["tmp_path": path], path: "/srv/incoming/b")
                #expect(answer.code == 1, "\(answer.text)")
            }
        }
    }
}
