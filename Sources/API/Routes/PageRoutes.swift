// PageRoutes: the pages for browsers, and what they may load.

import HTTPTypes
import Hummingbird
import HummingbirdCore

/// `/`, `/ops` and their files.
struct PageRoutes: Sendable {
    /// What a page may do (W3C CSP 3): load from this server only, and have no code but in files.
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "worker-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types ferry",
    ].joined(separator: "; ")

    private let files: PageFiles

    init(_ files: PageFiles) { self.files = files }

    /// A file, or nothing where the browser has it already.
    func file(_ name: String, _ request: Request) throws -> Response {
        guard let file = files[name] else { throw Problem(.routeUnknown, "see /openapi.yaml for what there is") }
        var headers: HTTPFields = [
            .eTag: file.entityTag,
            // Asked for anew each time, so that files of two versions are never mixed; mostly answered by 304.
            .cacheControl: "no-cache",
            .vary: "Accept-Encoding",
        ]
        if Self.lists(file.entityTag, in: request.headers[values: .ifNoneMatch]) {
            return Response(status: .notModified, headers: headers)
        }
        headers[.contentType] = file.contentType
        headers[.contentSecurityPolicy] = Self.policy
        headers[.xContentTypeOptions] = "nosniff"
        headers[.referrerPolicy] = "no-referrer"
        headers[.openerPolicy] = "same-origin"
        headers[.crossOriginResourcePolicy] = "same-origin"
        guard let gzip = file.gzip, Self.acceptsGzip(request.headers) else {
            return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: file.bytes))
        }
        headers[.contentEncoding] = "gzip"
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: gzip))
    }

    /// Weak comparison (RFC 9110 §13.1.2): of what is between the quotes.
    private static func lists(_ tag: String, in values: [String]) -> Bool {
        let tags = values.joined(separator: ",").split(separator: ",").map { $0.drop { $0 == " " } }
        return tags.contains { $0 == "*" || $0 == tag || "W/" + $0 == tag }
    }

    /// Whether `gzip` is named and not refused by a weight of 0 (RFC 9110 §12.5.3).
    private static func acceptsGzip(_ fields: HTTPFields) -> Bool {
        fields[values: .acceptEncoding].joined(separator: ",").lowercased().split(separator: ",").contains { coding in
            let words = coding.split(separator: ";").map { $0.filter { $0 != " " } }
            guard words.first == "gzip" || words.first == "*" else { return false }
            return !words.dropFirst().contains { $0.hasPrefix("q=") && Double($0.dropFirst(2)) == 0 }
        }
    }
}
