// The old interfaces' pure parts: paths below a root, hashes, temporary paths, and what a chunk's length tells.

import Core
import CoreTesting
import Testing

@testable import API

struct CompatibilityPartsTests {
    @Test func aPathBelowTheRootLosesIt() throws {
        let root = TargetRoot("/srv/incoming/")
        #expect(try root.path(of: "/srv/incoming/a/b.bin").description == "a/b.bin")
        #expect(try root.path(of: "/srv/incoming/srv/incoming").description == "srv/incoming")
        #expect(root.fullPath(of: try TargetPath("a/b")) == "/srv/incoming/a/b")
        #expect(try TargetRoot("/").path(of: "/a").description == "a")
        #expect(TargetRoot("/").fullPath(of: try TargetPath("a")) == "/a")
        // Either way of writing a letter is the same directory.
        #expect(try TargetRoot("/r\u{E9}").path(of: "/re\u{301}/e\u{301}").description == "\u{E9}")
    }

    @Test(
        arguments: [
            ("a", TargetRoot.Refusal.relative), ("", .relative), ("srv/incoming/a", .relative),
            ("/srv/incoming2/a", .outside), ("/srv/incoming2", .outside), ("/srv/incomin/a", .outside),
            ("/srv/incoming", .outside), ("/srv/incoming/", .outside), ("/srv", .outside), ("/", .outside),
            ("//srv/incoming/a", .outside), ("/srv//incoming/a", .outside), ("/srv/./incoming/a", .outside),
            ("/srv/x/../incoming/a", .outside), ("/SRV/incoming/a", .outside), ("/etc/passwd", .outside),
            ("/srv/incoming/../a", .path(.dotComponent)), ("/srv/incoming/a/../../../etc/passwd", .path(.dotComponent)),
            ("/srv/incoming/./a", .path(.dotComponent)), ("/srv/incoming//a", .path(.emptyComponent)),
            ("/srv/incoming/a/", .path(.emptyComponent)), ("/srv/incoming/a\u{0}b", .path(.controlCharacter)),
            ("/srv/incoming/a\\b", .path(.backslash)), ("/srv/incoming/.ferry-x", .path(.reservedName)),
        ] as [(String, TargetRoot.Refusal)]
    )
    func otherPathsAreRefused(_ path: String, _ refusal: TargetRoot.Refusal) {
        #expect(throws: refusal) { _ = try TargetRoot("/srv/incoming").path(of: path) }
    }

    @Test func hashesAreComparedWithoutCaseWhereTheyAreHexadecimal() throws {
        let digest = SHA256.digest([1])
        #expect(try ContentHash("SHA-256:" + digest.hex.uppercased()) == .sha256(digest))
        #expect(try ContentHash("D41D8CD98F00B204E9800998ECF8427E") == .opaque("d41d8cd98f00b204e9800998ecf8427e"))
        #expect(try ContentHash("Zm9vYmFy") == .opaque("Zm9vYmFy"))
        #expect(try ContentHash(digest.hex) == .opaque(digest.hex))
        for text in ["", "sha-256:", "sha-256:00", "a b", "é", "a\n", String(repeating: "a", count: 257)] {
            #expect(throws: Problem.self) { _ = try ContentHash(text) }
        }
    }

    private func record(
        digest: SHA256Digest? = nil,
        fingerprint: String? = nil,
        metadata: [String: String] = [:],
        partSize: Int64 = 10_485_760
    ) throws -> UploadRecord {
        UploadRecord(
            id: UploadID(high: 1, low: 2),
            owner: try #require(Owner("alice")),
            target: try #require(TargetID("web-1")),
            path: try TargetPath("a"),
            size: nil,
            partSize: partSize,
            digest: digest,
            fingerprint: fingerprint,
            metadata: metadata,
            createdAt: Timestamp(microseconds: 0),
            expiresAt: Timestamp(microseconds: 1)
        )
    }

    @Test func aHashMeetsOnlyItsOwnContent() throws {
        let digest = SHA256.digest([1])
        let proven = try record(digest: digest)
        let opaque = try record(fingerprint: try ContentHash("abc").fingerprint)
        #expect(try ContentHash("sha-256:" + digest.hex).matches(proven))
        #expect(try !ContentHash("sha-256:" + SHA256.digest([2]).hex).matches(proven))
        // What was never declared as the digest will not be proven.
        #expect(try !ContentHash("sha-256:" + digest.hex).matches(opaque))
        #expect(try ContentHash("ABC").matches(opaque) && !ContentHash("abd").matches(opaque))
        #expect(try !ContentHash("abc").matches(proven))
        #expect(ContentHash.identity(of: proven) != ContentHash.identity(of: opaque))
        #expect(ContentHash.identity(of: try record()) == nil)
        #expect(ContentHash.identity(of: try record(fingerprint: "a native client's")) == nil)
    }

    @Test func aTemporaryPathNamesUploadAndContent() throws {
        let file = try FileAddress(
            target: try #require(TargetID("web-1")),
            root: TargetRoot("/srv/incoming"),
            fullPath: "/srv/incoming/a:b",
            owner: try #require(Owner("alice"))
        )
        let id = UploadID(high: 1, low: 2)
        let tag = "0123456789abcdef"
        let path = file.temporaryPath(of: id, tag: tag)
        #expect(path == "/srv/incoming/a:b:alice:\(id)-\(tag)/")
        #expect(file.temporaryPath(path) == .upload(id, tag: tag))
        #expect(file.temporaryPath(String(path.dropLast())) == .upload(id, tag: tag))
        #expect(file.temporaryPath("/srv/incoming/a:b:alice") == .folder)
        #expect(file.temporaryPath("/srv/incoming/a:b:alice/") == .folder)
        for text in [
            "", "/", "/srv/incoming/a:b", "/srv/incoming/a:b:bob/", "/srv/incoming/a:alice/", "\(path)/", "\(path)x",
            "/srv/incoming/a:b:alice:\(id)/", "/srv/incoming/a:b:alice:\(id)-/",
            "/srv/incoming/a:b:alice-\(id)-\(tag)/",
            "/srv/incoming/a:b:alice:x-\(tag)/",
        ] {
            #expect(file.temporaryPath(text) == nil, "\(text)")
        }
    }

    @Test func aChunksLengthTellsTheSizeOfAll() throws {
        let standard = ChunkAssumptions().size
        func place(_ number: Int64, _ length: Int64, notes: [String: String], parts: Int64 = 0) throws -> ChunkPlacement
        {
            var upload = Upload(record: try record(metadata: notes))
            upload.received = Upload.Tally(bytes: parts * standard, parts: parts)
            return ChunkPlacement(number: number, length: length, in: upload)
        }
        let assumed = ChunkPlacement.notes(size: nil)
        let known = ChunkPlacement.notes(size: standard)
        #expect(try place(1, standard, notes: assumed) == .store)
        #expect(try place(7, standard, notes: assumed) == .store)
        #expect(try place(1, 5_000, notes: assumed) == .resize)
        #expect(try place(2, 5_000, notes: assumed) == .wait)
        #expect(try place(2, 10, notes: assumed) == .wait)
        #expect(try place(2, standard + 1, notes: assumed) == .resize)
        #expect(try place(1, 5_000, notes: known) == .store)
        #expect(try place(2, 5_000, notes: known) == .store)
        #expect(try place(1, standard + 1, notes: known) == .resize)
        // Too small or too large for a part: whoever stores it says so.
        #expect(try place(1, 100, notes: assumed) == .store)
        #expect(try place(1, 1_073_741_825, notes: assumed) == .store)
        // What was received stays where it is, and so do uploads of the native interface.
        #expect(try place(1, 5_000, notes: assumed, parts: 1) == .store)
        #expect(try place(1, 5_000, notes: [:]) == .store)
    }
}
