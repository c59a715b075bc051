// DeadLetterRoutes: what waits for somebody: looking at it, sending it on its way, giving it up.

import Core
import Hummingbird
import HummingbirdCore

/// Routes of `/v1/dead-letters`.
struct DeadLetterRoutes {
    let services: APIServices
    let principal: Principal

    private var deadLetters: DeadLetters {
        let authenticator = services.authenticator
        return DeadLetters(services.intake) { authenticator.maySend($0) }
    }

    func list(_ request: Request) async throws -> Response {
        let parameters = request.uri.queryParameters
        let filter = ReplayFilter(
            target: try parameters.target(among: services.targets),
            reason: try parameters.read("reason", "is no reason") { FailureReason(rawValue: String($0)) },
            limit: try parameters.limit() ?? 50
        )
        return try JSON.response(
            DeadLetterPageDocument(try await deadLetters.list(filter, cursor: parameters.cursor()))
        )
    }

    func show(_ scope: RequestScope) async throws -> Response {
        let upload = try await deadLetters.show(try scope.uploadID(), for: principal)
        let history = try await services.intake.history(upload.id, for: principal)
        return try JSON.response(DeadLetterDocument(upload, history: history))
    }

    func replay(_ scope: RequestScope) async throws -> Response {
        let upload = try await deadLetters.replay(try scope.uploadID(), for: principal)
        return try JSON.response(UploadDocument(upload), status: .accepted, headers: [.location: upload.location])
    }

    func replayAll(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let body = try await request.smallBody(scope)
        let document = body.readableBytes == 0 ? ReplayDocument() : try JSON.decode(ReplayDocument.self, from: body)
        if let target = document.filter.target, !services.targets.contains(target) {
            throw Problem(IntakeError.targetUnknown(target.description))
        }
        let summary = try await deadLetters.replay(document.filter, for: principal)
        return try JSON.response(ReplaySummaryDocument(summary, document.filter), status: .accepted)
    }

    func discard(_ scope: RequestScope) async throws -> Response {
        let upload = try await deadLetters.discard(try scope.uploadID(), for: principal)
        return try JSON.response(UploadDocument(upload), status: .accepted)
    }
}
