// PageFiles: the files of the browser's pages, which the program carries in itself.

import Core
import HTTPTypes
import NIOCore

/// The pages' files, made ready once: as they are and compressed, with the mark of their content.
struct PageFiles: Sendable {
    /// One file.
    struct File: Sendable {
        var contentType: String
        var bytes: ByteBuffer
        var gzip: ByteBuffer?
        /// A weak one (RFC 9110 §8.8.1), because it is the same for both forms.
        var entityTag: String
    }

    private let files: [String: File]

    init(sha256: ([UInt8]) -> SHA256Digest?, compress: ([UInt8]) -> [UInt8]?) {
        var files: [String: File] = [:]
        for (name, bytes) in Self.resources {
            let mark = sha256(bytes).map { String($0.hex.prefix(20)) } ?? String(bytes.count)
            files[name] = File(
                contentType: Self.contentType(of: name),
                bytes: ByteBuffer(bytes: bytes),
                gzip: compress(bytes).map { ByteBuffer(bytes: $0) },
                entityTag: "W/\"\(mark)\""
            )
        }
        self.files = files
    }

    /// All names.
    var names: [String] { files.keys.sorted() }

    /// A file by its name; there are no folders.
    subscript(name: String) -> File? { files[name] }

    private static func contentType(of name: String) -> String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "application/octet-stream"
        }
    }

    private static var resources: [(String, [UInt8])] {
        [
            ("ferry-events.js", PackageResources.ferry_events_js),
            ("ferry-lanes.js", PackageResources.ferry_lanes_js),
            ("ferry-request.js", PackageResources.ferry_request_js),
            ("ferry-sha256.js", PackageResources.ferry_sha256_js),
            ("ferry-upload.js", PackageResources.ferry_upload_js),
            ("ferry-worker.js", PackageResources.ferry_worker_js),
            ("ferry.js", PackageResources.ferry_js),
            ("ferry.svg", PackageResources.ferry_svg),
            ("format.js", PackageResources.format_js),
            ("index.html", PackageResources.index_html),
            ("ops-dead.js", PackageResources.ops_dead_js),
            ("ops-fleet.js", PackageResources.ops_fleet_js),
            ("ops-live.js", PackageResources.ops_live_js),
            ("ops-page.js", PackageResources.ops_page_js),
            ("ops.html", PackageResources.ops_html),
            ("page.css", PackageResources.page_css),
            ("page.js", PackageResources.page_js),
            ("rows.js", PackageResources.rows_js),
            ("texts.js", PackageResources.texts_js),
            ("upload-list.js", PackageResources.upload_list_js),
            ("upload-page.js", PackageResources.upload_page_js),
        ]
    }
}
