// FileAddress: which file a request of the old interfaces is about, and the temporary path that binds it to its content.

import Core
import Foundation

/// Target and path, from `host_id` and `full_path`, for one owner.
struct FileAddress: Hashable, Sendable {
    let target: TargetID
    let path: TargetPath
    let owner: Owner
    /// The absolute path, normalised.
    let fullPath: String

    init(target: TargetID, root: TargetRoot, fullPath: String, owner: Owner) throws(TargetRoot.Refusal) {
        self.target = target
        self.owner = owner
        path = try root.path(of: fullPath)
        self.fullPath = root.fullPath(of: path)
    }

    /// The temporary folder's name as it always was: path and owner. It says nothing about the content.
    private var folder: String { "\(fullPath):\(owner)" }

    /// The temporary path of an upload: the folder's name with the upload and a tag of its content.
    func temporaryPath(of id: UploadID, tag: String) -> String { "\(folder):\(id)-\(tag)/" }

    /// What a `tmp_path` says.
    enum TemporaryPath: Hashable, Sendable {
        /// Only path and owner.
        case folder
        /// The upload that it was made for, and the tag of its content.
        case upload(UploadID, tag: String)
    }

    /// Reads a `tmp_path`; nil where it is none of this path and owner.
    func temporaryPath(_ text: String) -> TemporaryPath? {
        var bytes = Array(text.precomposedStringWithCanonicalMapping.utf8)[...]
        if bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        guard bytes.starts(with: folder.utf8) else { return nil }
        bytes = bytes.dropFirst(folder.utf8.count)
        if bytes.isEmpty { return .folder }
        let words = bytes.dropFirst().split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard bytes.first == UInt8(ascii: ":"), words.count == 2,
            let id = UploadID(String(decoding: words[0], as: UTF8.self)), words[1].count == Self.tagLength
        else { return nil }
        return .upload(id, tag: String(decoding: words[1], as: UTF8.self))
    }

    /// How many hexadecimal digits a tag has.
    static let tagLength = 16
}
