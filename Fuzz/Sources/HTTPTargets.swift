// What comes in requests, in the tokens file, and in an event stream.

internal import Core
internal import Foundation
internal import HTTPTypes

@testable internal import API
@testable internal import CLI

extension FuzzTarget {
    /// The first byte says whether the rest is a field's value, or a digest with text around it.
    static let contentDigest = FuzzTarget(name: "content-digest") { input in
        var input = input
        func found(_ values: [String]) -> Result<SHA256Digest?, Problem> {
            var fields = HTTPFields()
            for value in values { fields.append(HTTPField(name: .contentDigest, value: value)) }
            return Result { () throws(Problem) in try ContentDigest.sha256(in: fields) }
        }
        func canonical(_ digest: SHA256Digest) -> String {
            "sha-256=:\(Data(digest.bytes).base64EncodedString()):"
        }
        if input.byte() % 2 == 0 {
            let values = String(decoding: input.rest(), as: UTF8.self).split(separator: "\n").map(String.init)
            guard case .success(let digest?) = found(values) else { return }
            expect((try? found([canonical(digest)]).get()) == digest, "a digest is read from its own encoding")
            return
        }
        guard let digest = SHA256Digest(bytes: (0..<32).map { _ in input.byte() }) else { return }
        let noise = String(decoding: input.rest(), as: UTF8.self)
        guard case .success(let alone) = found([noise]) else { return }
        // The last member of a name counts.
        expect((try? found([noise, canonical(digest)]).get()) == digest, "the last digest counts")
        expect((try? found([canonical(digest), noise]).get()) == alone ?? digest, "other algorithms are ignored")
    }

    /// Text of a request's path.
    static let percentEncoding = FuzzTarget(name: "percent-encoding") { input in
        var input = input
        let text = String(decoding: input.rest(), as: UTF8.self)
        guard let decoded = try? PercentDecoding.decode(text[...], field: "path") else { return }
        expect(decoded.utf8.count <= text.utf8.count, "decoding lengthens nothing")
        if !text.contains("%") { expect(Array(decoded.utf8) == Array(text.utf8), "without escapes nothing changes") }
        let escaped = decoded.utf8.map { byte in
            let digits = String(byte, radix: 16)
            return "%" + (digits.count == 1 ? "0" : "") + digits
        }.joined()
        let again = try? PercentDecoding.decode(escaped[...], field: "path")
        expect(again.map { Array($0.utf8) } == Array(decoded.utf8), "what is escaped comes back")
    }

    /// The tokens file: only a line with a token's own hash lets anybody in.
    static let tokens = FuzzTarget(name: "tokens") { input in
        var input = input
        let text = String(decoding: input.rest(), as: UTF8.self)
        let table = TokenTable(text: text)
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        expect(table.entries.count + table.refusedLines.count <= lines.count, "no line counts twice")
        expect(table.refusedLines.allSatisfy { (1...lines.count).contains($0) }, "refused lines are there")
        let now = Timestamp(microseconds: 0)
        for line in lines {
            for word in line.split(separator: " ") {
                guard let hash = SHA256Digest(hex: word) else { continue }
                guard let principal = table.principal(hash: hash, now: now) else { continue }
                expect(line.contains(principal.owner.description) || lines.count > 1, "an owner is in its line")
                expect(!principal.roles.isEmpty, "nobody comes in without a role")
            }
        }
    }

    /// A length of pieces, then a stream: the pieces must make no difference; and an event with these lines is read back.
    static let eventStream = FuzzTarget(name: "event-stream") { input in
        var input = input
        let length = input.byte()
        let bytes = input.rest()
        func events(_ pieces: [ArraySlice<UInt8>]) -> [String]? {
            var parser = EventStreamParser()
            var events: [String] = []
            for piece in pieces {
                guard let more = try? parser.take(piece) else { return nil }
                events += more
            }
            return events
        }
        expect(events(bytes.pieces(of: length)) == events([bytes[...]]), "events do not depend on how bytes come in")
        let text = String(decoding: bytes, as: UTF8.self)
        let lines = text.utf8.split(omittingEmptySubsequences: false) { $0 == 10 || $0 == 13 }.map { String($0) ?? "" }
        let frame = "event: a\r\n" + lines.map { "data: \($0)\n" }.joined() + "\n"
        expect(events([Array(frame.utf8)[...]]) == [lines.joined(separator: "\n")], "an event is read back")
    }
}
