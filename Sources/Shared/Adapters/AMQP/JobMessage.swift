// Jobs and questions about paths on the wire: identifiers only.

public import Core

/// The body of a job: `{"v":1,"kind":"ship","upload":"…","offset":0}`.
public enum JobMessage {
    private struct Form: Codable {
        var v: Int
        var kind: String
        var upload: String
        var offset: Int64?
    }

    /// The body. Identifiers and numbers need no escape.
    public static func encode(_ job: Job) -> [UInt8] {
        let (kind, offset) =
            switch job {
            case .ship(_, let offset): ("ship", "\"offset\":\(offset),")
            case .merge: ("merge", "")
            case .clean: ("clean", "")
            }
        return Array("{\"kind\":\"\(kind)\",\(offset)\(upload)\(job.upload)\"\(version)".utf8)
    }

    private static let upload = #""upload":""#
    private static let version = #","v":\#(Job.currentVersion)}"#

    /// The job in a body.
    public static func decode(_ body: [UInt8]) throws(MessageError) -> Job {
        if let job = own(body) { return job }
        let form = try MessageJSON.decode(Form.self, body, upTo: Job.currentVersion)
        let upload = try field(UploadID(form.upload), "upload")
        switch form.kind {
        case "ship":
            let offset = try field(form.offset, "offset")
            guard offset >= 0 else { throw .malformed("offset") }
            return .ship(upload, offset: offset)
        case "merge": return .merge(upload)
        case "clean": return .clean(upload)
        default: throw .malformed("kind")
        }
    }
}

extension JobMessage {
    /// A body as `encode` writes it, which nearly all are: read without a general parser.
    private static func own(_ body: [UInt8]) -> Job? {
        var rest = body[...]
        func take(_ text: String) -> Bool {
            guard rest.starts(with: text.utf8) else { return false }
            rest.removeFirst(text.utf8.count)
            return true
        }
        func word(until end: Character) -> String {
            let word = rest.prefix { $0 != end.asciiValue }
            rest.removeFirst(word.count)
            return String(decoding: word, as: UTF8.self)
        }
        guard take(#"{"kind":""#) else { return nil }
        let kind = word(until: "\"")
        guard take(#"","#) else { return nil }
        let digits = take(#""offset":"#) ? word(until: ",") : nil
        guard digits == nil || take(","), take(upload), let id = UploadID(word(until: "\"")),
            rest.elementsEqual(version.utf8)
        else { return nil }
        switch (kind, digits.map { Int64($0) }) {
        case ("ship", .some(let offset?)) where offset >= 0: return .ship(id, offset: offset)
        case ("merge", nil): return .merge(id)
        case ("clean", nil): return .clean(id)
        default: return nil
        }
    }
}

/// A question about a path on a target, `{"v":1,"path":"…"}`, and its answer, `{"v":1,"exists":true}`.
enum ProbeMessage {
    static let version = 1

    private struct Question: Codable {
        var v: Int
        var path: String
    }

    private struct Answer: Codable {
        var v: Int
        var exists: Bool?
    }

    static func encode(_ path: TargetPath) -> [UInt8] {
        MessageJSON.encode(Question(v: version, path: path.description))
    }

    static func path(_ body: [UInt8]) throws(MessageError) -> TargetPath {
        let question = try MessageJSON.decode(Question.self, body, upTo: version)
        return try field(try? TargetPath(question.path), "path")
    }

    static func encode(exists: Bool?) -> [UInt8] { MessageJSON.encode(Answer(v: version, exists: exists)) }

    static func exists(_ body: [UInt8]) throws(MessageError) -> Bool? {
        try MessageJSON.decode(Answer.self, body, upTo: version).exists
    }
}
