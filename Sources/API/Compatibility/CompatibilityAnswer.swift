// CompatibilityAnswer: the one form of answer of the old interfaces: a code, data and a message.

import Core
import Hummingbird
import HummingbirdCore
import NIOCore

/// The codes of the article.
enum CompatibilityCode: Int, Encodable, Sendable {
    /// It was not done.
    case refused = -1
    /// The state of the temporary folder, as asked for.
    case state = 0
    /// It was done, or may be done.
    case done = 1
    /// Somebody else's upload holds the path.
    case somebody = 2
}

/// An answer with its data.
struct CompatibilityDocument<Payload: Encodable>: Encodable {
    var code: CompatibilityCode
    var data: Payload
    var msg: String
    /// The upload's state, where there is one.
    var state: String?
    /// The chunk that was stored.
    var chunkNumber: Int64?
    /// The size of every chunk but the last, in bytes.
    var chunkSize: Int64?

    private enum CodingKeys: String, CodingKey {
        case code, data, msg, state
        case chunkNumber = "chunk_num"
        case chunkSize = "chunk_size"
    }
}

/// The data of `get_file_dir_info`: the article's record file, the hash of the temporary folder, and the chunks there.
struct DirectoryDocument: Encodable {
    /// The file's name without its directory.
    var name: String
    /// Bytes received.
    var size: Int64
    /// How many chunks are on the target.
    var chunk: Int64
    /// The temporary path: to be sent with chunks and the merge.
    var path: String
    /// How many chunks were received.
    var num: Int64
    /// A hash of the temporary path.
    var dirHashcode: String
    /// The numbers of the chunks that were received, ascending.
    var chunkList: [Int64]
    /// The size of every chunk but the last, in bytes.
    var chunkSize: Int64
    /// The upload's state.
    var state: String

    private enum CodingKeys: String, CodingKey {
        case name, size, chunk, path, num, state
        case dirHashcode = "dir_hashcode"
        case chunkList = "chunk_list"
        case chunkSize = "chunk_size"
    }
}

/// Why a request of the old interfaces was not done, with what it was about.
struct CompatibilityRefusal: Error {
    /// What went wrong.
    var cause: any Error
    /// The path that the client named, or the target where that is at fault.
    var data: String
}

extension Problem {
    /// The answer of the old interfaces. The status is the one that every other route has for the problem, but for a
    /// file that exists, which the article answers with 400.
    func compatibilityResponse(data: String) -> Response {
        var response = self.response()
        response.headers[.contentType] = "application/json"
        if type == .targetExists { response.status = .badRequest }
        let document = CompatibilityProblemDocument(problem: self, data: data)
        let fallback = ByteBuffer(string: #"{"code":-1,"data":"","msg":"","type":"\#(type.reference)"}"#)
        response.body = ResponseBody(byteBuffer: (try? JSON.encode(document)) ?? fallback)
        return response
    }
}

/// A problem in the article's form: `type` and its fields beside code, data and message.
private struct CompatibilityProblemDocument: Encodable {
    let problem: Problem
    let data: String

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: AnyKey.self)
        let code: CompatibilityCode = problem.type == .uploadInProgress ? .somebody : .refused
        for (name, value) in problem.fields { try container.encode(value, forKey: AnyKey(stringValue: name)) }
        try container.encode(code, forKey: AnyKey(stringValue: "code"))
        try container.encode(data, forKey: AnyKey(stringValue: "data"))
        try container.encode(problem.detail, forKey: AnyKey(stringValue: "msg"))
        try container.encode(problem.type.reference, forKey: AnyKey(stringValue: "type"))
    }
}
