// Paths, identifiers and messages: what becomes a path, a key or a job.

internal import Core
internal import Foundation

@testable internal import Adapters

extension FuzzTarget {
    /// A client's path: what is accepted keeps every rule, and is accepted unchanged again.
    static let targetPath = FuzzTarget(name: "target-path") { input in
        var input = input
        let bytes = input.rest()
        guard let path = try? TargetPath(utf8: bytes) else { return }
        let text = path.description
        expect(text.utf8.count <= 4_096 && !text.utf8.isEmpty, "the length has bounds")
        expect(!text.utf8.contains { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "\\") }, "no control character")
        expect(Array(text.precomposedStringWithCanonicalMapping.utf8) == Array(text.utf8), "it is in form C")
        for component in path.components {
            expect(!component.isEmpty && component.utf8.count <= 255, "the length of a component has bounds")
            expect(!component.utf8.contains(UInt8(ascii: "/")), "a component has no slash")
            expect(component != "." && component != "..", "a component is no dot")
            expect(!component.utf8.starts(with: ".ferry-".utf8), "a component is no part file's")
        }
        // What the file system will make of it stays below the root.
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        expect(parts.count == path.components.count, "the text has as many components")
        expect((try? TargetPath(text)) == path, "it is accepted unchanged")
        expect(path.isBelow(path.directory) && path.isBelow([]), "it is below its directory")
        expect(!path.isBelow(path.components), "it is not below itself")
    }

    /// Identifiers, digests, jobs and names in staging: what is accepted is written back as it came.
    static let identifiers = FuzzTarget(name: "identifiers") { input in
        var input = input
        let offset: Int64 = abs(Int64(input.integer(Int16.self)))
        let bytes = input.rest()
        guard let text = String(validating: bytes, as: UTF8.self) else { return }
        func expectSame(_ found: String?, _ what: String) {
            if let found { expect(Array(found.utf8) == bytes, "\(what) is written as it came") }
        }
        expectSame(UploadID(text)?.description, "an upload's identifier")
        expectSame(TargetID(text)?.description, "a target's name")
        expectSame(Owner(text)?.description, "an owner")
        expectSame(Job(text)?.description, "a job")
        if let digest = SHA256Digest(hex: text) {
            expect(digest.hex == text.lowercased(), "a digest is written as it came")
            expect(SHA256Digest(bytes: digest.bytes) == digest, "a digest is its bytes")
        }
        if let mode = FileMode(octal: text) {
            expect(mode.bits <= 0o777 && mode.bits & 0o400 != 0, "\(mode) is nine bits, and lets its owner read")
            expect(FileMode(octal: mode.description) == mode, "\(mode) is read as it is written")
        }
        if let time = Timestamp(rfc3339: text), let again = Timestamp(rfc3339: time.description) {
            expect(time.microseconds - again.microseconds < 1_000 && again <= time, "\(time) is read as it is written")
        }
        if let id = UploadID(text) {
            expect(bytes.count == 32 && bytes.allSatisfy { "0123456789abcdef".utf8.contains($0) }, "\(id) is one")
        }
        guard let name = EntryName(listed: text) else { return }
        if let offset = name.offset { expectSame(EntryName.offset(offset).description, "an offset in staging") }
        if let part = name.part(at: offset) {
            expect(part.end >= part.offset, "a part does not end before it begins")
            expectSame(EntryName.part(part).description, "a part in staging")
        }
    }

    /// Bodies of messages: what is read is read again from its own encoding.
    static let messages = FuzzTarget(name: "messages") { input in
        var input = input
        let bytes = input.rest()
        if let job = try? JobMessage.decode(bytes) {
            expect((try? JobMessage.decode(JobMessage.encode(job))) == job, "\(job) is read from its own encoding")
            expect(Job(job.description) == job, "\(job) is read from its outbox form")
        }
        if let path = try? ProbeMessage.path(bytes) {
            expect((try? ProbeMessage.path(ProbeMessage.encode(path))) == path, "a question is read again")
        }
        if let exists = try? ProbeMessage.exists(bytes) {
            expect((try? ProbeMessage.exists(ProbeMessage.encode(exists: exists))) == exists, "an answer is read again")
        }
        if let event = try? EventMessage.decode(bytes) {
            let encoded = EventMessage.encode(event)
            expect(!encoded.contains { $0 == 10 || $0 == 13 }, "an event is one line")
            guard let again = try? EventMessage.decode(encoded) else {
                expect(false, "\(event) is read from its own encoding")
                return
            }
            // Digits beyond milliseconds are not written.
            var cut = event
            cut.at = again.at
            expect(cut == again && event.at - again.at < .milliseconds(1), "\(event) stays the same")
        }
    }
}
