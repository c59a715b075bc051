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

    /// The body.
    public static func encode(_ job: Job) -> [UInt8] {
        var form = Form(v: Job.currentVersion, kind: "", upload: job.upload.description)
        switch job {
        case .ship(_, let offset):
            form.kind = "ship"
            form.offset = offset
        case .merge: form.kind = "merge"
        case .clean: form.kind = "clean"
        }
        return MessageJSON.encode(form)
    }

    /// The job in a body.
    public static func decode(_ body: [UInt8]) throws(MessageError) -> Job {
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
