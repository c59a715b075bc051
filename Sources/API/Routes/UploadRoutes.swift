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
    let principal: Principal

    func create(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let document = try JSON.decode(CreateDocument.self, from: try await request.json(scope))
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
        if let text = parameters["state"] {
            guard let state = UploadState(rawValue: String(text)) else { throw Problem.invalid("state", "is no state") }
            query.state = state
        }
        if let text = parameters["target"] {
            guard let target = TargetID(text) else { throw Problem.invalid("target", "is no target's name") }
            query.target = target
        }
        if let text = parameters["limit"] {
            guard let limit = Int(text), (1...1_000).contains(limit) else {
                throw Problem.invalid("limit", "must be 1 to 1000")
            }
            query.limit = limit
        }
        if let text = parameters["cursor"] {
            guard let cursor = UploadCursor(text) else { throw Problem.invalid("cursor", "is not one of a page's") }
            query.cursor = cursor
        }
        return try JSON.response(UploadPageDocument(try await intake.uploads(query, for: principal)))
    }

    func show(_ scope: RequestScope) async throws -> Response {
        let (upload, parts) = try await intake.parts(try scope.uploadID(), for: principal)
        return try JSON.response(UploadDocument(upload, ranges: .init(parts, of: upload)))
    }

    func complete(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let id = try scope.uploadID()
        let body = try await request.json(scope)
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
