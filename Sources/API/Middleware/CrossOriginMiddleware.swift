// CrossOriginMiddleware: lets the pages of configured origins use the interface.

import HTTPTypes
import Hummingbird
import HummingbirdCore

/// Answers what browsers ask before they let a page of another origin use this one (Fetch §3.2, the CORS protocol).
///
/// Such pages bring a token of their own: credentials that a browser sends by itself, cookies, are never allowed them.
struct CrossOriginMiddleware: RouterMiddleware {
    /// As browsers write them, such as `https://intranet.example`.
    let origins: Set<String>

    /// For how long a browser need not ask again, in seconds.
    private static let memory = "7200"
    private static let methods = "GET, HEAD, PUT, POST, DELETE"
    private static let asked = [
        "Authorization", "Content-Type", "Content-Digest", "Idempotency-Key", "Overwrite", "Mode", "Modified-At",
        "Last-Event-ID",
    ]
    private static let told = ["Location", "Retry-After", "X-Request-Id", "Allow"]

    @concurrent func handle(
        _ request: Request,
        context: RequestScope,
        next: @concurrent (Request, RequestScope) async throws -> Response
    ) async throws -> Response {
        guard !origins.isEmpty else { return try await next(request, context) }
        let origin = request.headers[values: .origin].first.flatMap { origins.contains($0) ? $0 : nil }
        var response: Response
        if origin != nil, request.method == .options, request.headers[.accessControlRequestMethod] != nil {
            response = Response(status: .noContent)
            response.headers[.accessControlAllowMethods] = Self.methods
            response.headers[.accessControlAllowHeaders] = Self.asked.joined(separator: ", ")
            response.headers[.accessControlMaxAge] = Self.memory
        } else {
            response = try await next(request, context)
        }
        if let origin {
            response.headers[.accessControlAllowOrigin] = origin
            response.headers[.accessControlExposeHeaders] = Self.told.joined(separator: ", ")
        }
        // Whoever keeps answers keeps one for each origin.
        response.headers[.vary] = (response.headers[values: .vary] + ["Origin"]).joined(separator: ", ")
        return response
    }
}
