// UploadRoutes: creating, showing, completing and cancelling uploads.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore

extension RequestScope {
    /// The upload that the path names; whatever is no identifier names none.
    func uploadID() throws(Problem) -> UploadID {
        guard let text = parameters.get("id"), let id = UploadID(text) else { throw Problem(IntakeError.notFound) }
        return id
    }
}

extension Upload {
    /// Where it is shown.
    var location: String { "/v1/uploads/\(id)" }
}

/// Routes of `/v1/uploads`.
struct UploadRoutes {
    let intake: UploadIntake
    let targets: [TargetID]
    let principal: Principal

    func create(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let document = try JSON.decode(CreateDocument.self, from: try await request.smallBody(scope))
        let key = request.headers[values: .idempotencyKey].first
        let creation = try await intake.create(document.request(idempotencyKey: key), for: principal)
        let status: HTTPResponse.Status =
            switch creation {
            case .created: .created
            case .resumed: .ok
            }
        let upload = creation.upload
        return try JSON.response(UploadDocument(upload), status: status, headers: [.location: upload.location])
    }

    func list(_ request: Request) async throws -> Response {
        let parameters = request.uri.queryParameters
        var query = UploadQuery(owner: nil)
        query.state = try parameters.read("state", "is no state") { UploadState(rawValue: String($0)) }
        query.target = try parameters.target(among: targets)
        query.limit = try parameters.limit() ?? query.limit
        query.cursor = try parameters.cursor()
        return try JSON.response(UploadPageDocument(try await intake.uploads(query, for: principal)))
    }

    func show(_ scope: RequestScope) async throws -> Response {
        let (upload, parts) = try await intake.parts(try scope.uploadID(), for: principal)
        return try JSON.response(UploadDocument(upload, ranges: .init(parts, of: upload)))
    }

    func history(_ scope: RequestScope) async throws -> Response {
        let entries = try await intake.history(try scope.uploadID(), for: principal)
        return try JSON.response(HistoryDocument(history: entries.map(HistoryDocument.Entry.init)))
    }

    func complete(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let id = try scope.uploadID()
        let body = try await request.smallBody(scope)
        let document =
            body.readableBytes == 0 ? CompleteDocument() : try JSON.decode(CompleteDocument.self, from: body)
        let upload = try await intake.complete(id, digest: document.digest?.digest, for: principal)
        return try JSON.response(UploadDocument(upload), status: .accepted, headers: [.location: upload.location])
    }

    func cancel(_ scope: RequestScope) async throws -> Response {
        let upload = try await intake.cancel(try scope.uploadID(), for: principal)
        return try JSON.response(UploadDocument(upload), status: .accepted)
    }
}
