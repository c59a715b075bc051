// EventRoutes: the two event streams.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore

/// Streams of one upload and of all that the principal may see.
struct EventRoutes {
    let services: APIServices
    let principal: Principal

    func watchUpload(_ request: Request, _ scope: RequestScope) async throws -> Response {
        try await stream(.upload(try scope.uploadID()), route: .watchUpload, request, scope)
    }

    func watchUploads(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let filter = principal.roles.contains(.operator) ? EventFilter.everything : .owner(principal.owner)
        return try await stream(filter, route: .watchUploads, request, scope)
    }

    private func stream(
        _ filter: EventFilter,
        route: Route,
        _ request: Request,
        _ scope: RequestScope
    ) async throws -> Response {
        let (authenticator, principal, head) = (services.authenticator, principal, request.head)
        let streamer = EventStreamer(
            filter: filter,
            subscription: services.hub.subscribe(filter),
            intake: services.intake,
            principal: principal,
            isStillAllowed: {
                do throws(Problem) {
                    return try await authenticator.authorize(head, for: route) == principal
                } catch {
                    // An index that does not answer has taken no session away.
                    return error.type == .unavailable && head.headerFields[.authorization] == nil
                }
            }
        )
        services.hub.endWithServer()
        services.metrics.streaming(services.hub.count)
        // Answers 404 or 503 before the stream begins; the subscription ends with the streamer.
        let snapshot = try await Task { () async throws(IntakeError) in try await streamer.current() }.value
        return streamer.response(snapshot, channel: scope.channel)
    }
}
