// How uploads of the old interfaces end, and what is told of those that failed, are gone or cannot be looked up.

import Core
import CoreTesting
import Foundation
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct CompatibilityEndingTests {
    private static let path = "/srv/incoming/a.bin"

    @Test func aFileThatExistsIsNamed() async throws {
        try await APIFixture(existing: ["a.bin"]).serve { api in
            let answer = try await api.old("get_file_upload_status", ["hash_code": "abc"])
            #expect(answer.status == 400 && answer.code == -1 && answer.problem == "target-exists")
            #expect(answer.data == Self.path)
            #expect(try await api.old("get_file_upload_status", ["hash_code": "abc", "overwrite": "1"]).code == 1)
            #expect(try await api.newest()["overwrite"]?.text == "replace")
        }
    }

    /// Fails the newest upload as a worker would.
    private func fail(_ fixture: APIFixture, _ api: Client, _ reason: FailureReason) async throws -> UploadID {
        let id = try #require(try await api.newest()["id"]?.text.flatMap { UploadID($0) })
        let request = FailRequest(
            job: .ship(id, offset: 0),
            attempt: 0,
            fence: nil,
            failure: Failure(reason, "/secret/place"),
            worker: "w-1"
        )
        guard case .applied = try await fixture.store.fail(request) else { throw HarnessError("not failed") }
        return id
    }

    @Test func aFailedUploadIsNeverTakenForAGoodOne() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(10)).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "1"]).code == 1)
            _ = try await fail(fixture, api, .diskFull)
            for answer in [
                try await api.old("get_file_upload_status", ["hash_code": "abc"]),
                try await api.old("bigfile_merge", ["chunk_num": "1"]),
            ] {
                #expect(answer.status == 409 && answer.code == -1 && answer.problem == "wrong-state", "\(answer.text)")
                #expect(try answer.json()["reason"]?.text == "disk-full")
                #expect(!answer.text.contains("/secret"))
            }
            #expect(try await api.old("get_file_dir_info").json()["data"]?["state"]?.text == "failed")
        }
    }

    @Test func aFileThatAppearedMeanwhileIsReplacedIfItsOwnerSaysSo() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(10)).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "1"]).code == 1)
            let id = try await fail(fixture, api, .targetExists)
            for answer in [
                try await api.old("get_file_upload_status", ["hash_code": "abc"]),
                try await api.old("bigfile_merge", ["chunk_num": "1"]),
            ] {
                #expect(answer.status == 400 && answer.code == -1 && answer.problem == "target-exists")
                #expect(answer.data == Self.path)
            }
            #expect(
                try await api.old("get_file_upload_status", ["hash_code": "abc", "overwrite": "replace"]).code == 1
            )
            let shown = try await api.newest()
            #expect(shown["id"]?.text == id.description && shown["overwrite"]?.text == "replace")
            #expect(shown["state"]?.text == "shipping")
        }
    }

    @Test func anUploadThatFailedOnTheWayTakesItsEndAndSaysThatItFailed() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            _ = try await fail(fixture, api, .permissionDenied)
            #expect(try await api.chunk(2, sample(10)).code == 1)
            let merge = try await api.old("bigfile_merge", ["chunk_num": "2"])
            #expect(merge.status == 409 && merge.problem == "wrong-state")
            #expect(try await api.newest()["size"]?.number == 4_106)
        }
    }

    @Test func aDamagedChunkIsAskedForAgain() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            #expect(try await api.chunk(2, sample(10)).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "2"]).code == 1)
            let id = try #require(try await api.newest()["id"]?.text.flatMap { UploadID($0) })
            let part = Part(offset: 0, size: 4_096, digest: SHA256.digest(sample(4_096)))
            try await fixture.staging.strike(part, of: id)
            guard case .applied = try await fixture.store.strike(part, of: id, by: "w-1") else {
                throw HarnessError("not struck")
            }
            for answer in [
                try await api.old("get_file_upload_status", ["hash_code": "abc"]),
                try await api.old("bigfile_merge", ["chunk_num": "2"]),
            ] {
                #expect(answer.status == 409 && answer.problem == "parts-missing" && answer.code == -1)
                #expect(try answer.json()["missing"]?.text == "1")
            }
            #expect(try await api.old("get_file_dir_info").json()["data"]?["chunk_list"] == .list([.number(2)]))
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "2"]).code == 1)
        }
    }

    @Test func theMergesCountIsComparedWithWhatIsThere() async throws {
        try await APIFixture().serve { api in
            try await api.begin()
            for number in [1, 2, 4] { #expect(try await api.chunk(number, sample(4_096)).code == 1) }
            func merge(_ count: String) async throws -> Answer {
                try await api.old("bigfile_merge", ["chunk_num": count])
            }
            for count in ["-1", "01", "1.0", "x", "50001", "99999999999999999999"] {
                #expect(try await merge(count).status == 422, "\(count)")
            }
            for count in ["0", "2", "3"] {
                let few = try await merge(count)
                #expect(few.status == 400 && few.problem == "part-out-of-range" && few.code == -1, "\(few.text)")
            }
            #expect(try await merge("4").json()["missing"]?.text == "3")
            #expect(try await merge("6").json()["missing"]?.text == "3,5-6")
            #expect(try await api.newest()["state"]?.text == "receiving")
            #expect(try await api.chunk(3, sample(4_096)).code == 1)
            #expect(try await merge("4").code == 1)
            // An empty file has no chunks.
            try await api.begin(path: "/srv/incoming/empty")
            let empty = try await api.old("bigfile_merge", ["chunk_num": "0"], path: "/srv/incoming/empty")
            #expect(empty.code == 1)
        }
    }

    /// Takes the newest upload, an empty one that is complete, to its end as a worker would.
    private func finish(_ fixture: APIFixture, _ id: UploadID) async throws {
        let store = fixture.store
        let (generation, _) = try #require(try await store.nextGeneration(of: id))
        _ = try await store.startGeneration(generation, of: id, replacing: nil)
        guard case .applied(let claimed, _) = try await store.claim(id, holder: "w-1", for: .seconds(60)) else {
            throw HarnessError("not claimed")
        }
        let fence = try #require(claimed.fence)
        let file = FinalFile(size: 0, digest: nil, modified: 0)
        _ = try await store.beginCommit(id, fence: fence, generation: generation, finalFile: file)
        guard case .applied = try await store.finish(id, fence: fence, atomic: true) else {
            throw HarnessError("not finished")
        }
    }

    @Test func anOwnUploadThatIsDoneIsNobodyElses() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let temporary = try await api.begin()
            #expect(try await api.old("bigfile_merge", ["chunk_num": "0"]).code == 1)
            let id = try #require(try await api.newest()["id"]?.text.flatMap { UploadID($0) })
            try await finish(fixture, id)
            // Not cleaned yet: the path is still held, by an own upload that is done.
            let merge = try await api.old("bigfile_merge", ["chunk_num": "0"])
            #expect(try merge.code == 1 && merge.json()["state"]?.text == "done")
            let status = try await api.old("get_file_upload_status", ["hash_code": "abc"])
            #expect(status.status == 400 && status.problem == "target-exists" && status.data == Self.path)
            let again = try await api.old("get_file_upload_status", ["hash_code": "abc", "overwrite": "replace"])
            #expect(again.status == 503 && again.problem == "unavailable" && again.code == -1, "\(again.text)")
            #expect(again["Retry-After"].flatMap(Int.init) ?? 0 > 0)
            #expect(try await api.old("get_file_dir_info").problem == "upload-ended")
            #expect(try await api.chunk(1, sample(4_096)).problem == "upload-ended")

            try await fixture.store.cleaned(id)
            for more in [["tmp_path": temporary], ["tmp_path": temporary, "hash_code": "abc"]] {
                let merged = try await api.old("bigfile_merge", more.merging(["chunk_num": "0"]) { $1 })
                #expect(try merged.code == 1 && merged.json()["state"]?.text == "done", "\(merged.text)")
            }
            #expect(try await api.old("bigfile_merge", ["chunk_num": "0"]).status == 404)
            // The path is somebody else's by now, and what was merged still was.
            try await api.begin(person: "bob", token: APIFixture.bob)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "0", "tmp_path": temporary]).code == 1)
            #expect(try await api.old("bigfile_merge", ["chunk_num": "0"]).status == 423)
            let bobs = temporary.replacing(":alice:", with: ":bob:")
            let stolen = ["chunk_num": "1", "tmp_path": bobs]
            #expect(try await api.old("bigfile_merge", stolen, person: "bob", token: APIFixture.bob).code == -1)
        }
    }

    @Test func anIndexThatKnowsNothingSaysNothing() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            try await api.begin()
            #expect(try await api.chunk(1, sample(4_096)).code == 1)
            fixture.index.wipe()
            for answer in [
                try await api.old("get_file_dir_info"), try await api.old("bigfile_merge", ["chunk_num": "1"]),
                try await api.chunk(2, sample(4_096)),
                try await api.old("get_file_upload_status", ["hash_code": "abc"]),
            ] {
                #expect(answer.status == 503 && answer.code == -1 && answer.problem == "unavailable", "\(answer.text)")
                #expect(answer["Retry-After"] != nil)
            }
        }
    }
}
