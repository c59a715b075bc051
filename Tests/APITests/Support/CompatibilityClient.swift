// The old interfaces as tests call them.

import Core
import Foundation
import Harness
import Testing

@testable import API

extension Client {
    /// The fields of every request, for alice's file.
    static func fields(_ path: String = "/srv/incoming/a.bin", person: String = "alice") -> [String: String] {
        ["host_id": "web-1", "full_path": path, "person_id": person]
    }

    /// Calls an interface with a JSON body.
    func old(
        _ interface: String,
        _ more: [String: String] = [:],
        path: String = "/srv/incoming/a.bin",
        person: String = "alice",
        token: String = APIFixture.alice
    ) async throws -> Answer {
        let fields = Self.fields(path, person: person).merging(more) { $1 }.filter { !$0.value.isEmpty }
        let body = String(decoding: try JSONEncoder().encode(fields), as: UTF8.self)
        return try await json("POST", "/\(interface)", body, token: token, fields: ["Content-Type": "application/json"])
    }

    /// Sends a chunk as a form.
    func chunk(
        _ number: Int,
        _ bytes: [UInt8],
        _ more: [String: String] = [:],
        path: String = "/srv/incoming/a.bin",
        person: String = "alice",
        token: String = APIFixture.alice
    ) async throws -> Answer {
        let fields = Self.fields(path, person: person).merging(["chunk_num": "\(number)"]) { $1 }.merging(more) { $1 }
        return try await send(TestForm(fields: fields.map { ($0.key, $0.value) }, file: bytes), token: token)
    }

    /// Sends a form.
    func send(
        _ form: TestForm,
        to interface: String = "file_chunk_upload",
        query: String = "",
        token: String = APIFixture.alice
    ) async throws -> Answer {
        try await request(
            "POST",
            "/\(interface)\(query)",
            token: token,
            fields: ["Content-Type": form.contentType],
            body: form.body
        )
    }

    /// Begins an upload of which every chunk has 4,096 bytes, and answers its temporary path.
    @discardableResult
    func begin(
        hash: String = "abc",
        path: String = "/srv/incoming/a.bin",
        person: String = "alice",
        token: String = APIFixture.alice
    ) async throws -> String {
        let more = ["hash_code": hash, "chunk_size": "4096"]
        let status = try await old("get_file_upload_status", more, path: path, person: person, token: token)
        #expect(status.code == 1, "\(status.text)")
        let directory = try await old("get_file_dir_info", path: path, person: person, token: token)
        return try #require(try directory.json()["data"]?["path"]?.text)
    }

    /// What the native interface says of the newest upload.
    func newest(token: String = APIFixture.alice) async throws -> JSONValue {
        let page = try await request("GET", "/v1/uploads", token: token).json()
        return try #require(page["uploads"]?[0])
    }
}

extension Answer {
    /// The article's code; nil where the answer has none.
    var code: Int? { (try? json())?["code"]?.number }
    /// The article's data, where it is text.
    var data: String? { (try? json())?["data"]?.text }
}
