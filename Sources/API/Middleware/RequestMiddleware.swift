// RequestMiddleware: gives every request its identifier, and tells log and metrics what became of it.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging

/// The outermost middleware.
struct RequestMiddleware: RouterMiddleware {
    let metrics: RequestMetrics

    @concurrent func handle(
        _ request: Request,
        context: RequestScope,
        next: @concurrent (Request, RequestScope) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var scope = context
        scope.requestID = RequestIdentifier.accept(request.headers)
        // One identifier is enough: Hummingbird's own is known to nobody outside.
        scope.logger[metadataKey: "hb.request.id"] = nil
        scope.logger[metadataKey: "request"] = "\(scope.requestID)"
        var response = try await next(request, scope)
        response.headers[.requestID] = scope.requestID
        let duration = ContinuousClock.now - start
        // Templates only: a path from outside would make as many time series as somebody likes.
        let route = scope.endpointPath ?? "NotFound"
        metrics.served(
            route: route,
            method: request.method,
            status: response.status.code,
            duration: duration,
            bytes: scope.record.bytes
        )
        scope.logger.log(
            level: response.status.code >= 500 ? .warning : .info,
            "request served",
            metadata: [
                "method": "\(request.method)",
                "route": "\(route)",
                "status": "\(response.status.code)",
                "owner": "\(scope.record.owner?.description ?? "-")",
                "bytes": "\(scope.record.bytes)",
                "milliseconds": "\(duration.milliseconds)",
            ]
        )
        return response
    }
}
