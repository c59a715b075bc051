// SessionRoutes: signing in and out in a browser, and who somebody is.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore

/// Routes of `/v1/session`.
struct SessionRoutes {
    let services: APIServices

    func signIn(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let document = try JSON.decode(SignInDocument.self, from: try await request.smallBody(scope))
        let (principal, cookie) = try await services.authenticator.signIn(document.token, request.head)
        scope.record.asked(by: principal.owner)
        return try JSON.response(self.document(principal, .session), headers: [.setCookie: cookie])
    }

    func show(_ principal: Principal, _ request: Request) throws -> Response {
        let credential: SessionDocument.Credential =
            switch services.authenticator.mode {
            case .none: .none
            case .tokens: request.headers[.authorization] == nil ? .session : .token
            }
        return try JSON.response(document(principal, credential))
    }

    func signOut(_ request: Request) async throws -> Response {
        let cookie = try await services.authenticator.signOut(request.head)
        return Response(status: .noContent, headers: [.setCookie: cookie, .cacheControl: "no-store"])
    }

    private func document(_ principal: Principal, _ credential: SessionDocument.Credential) -> SessionDocument {
        SessionDocument(
            owner: principal.owner.description,
            roles: principal.roles.map(\.rawValue).sorted(),
            credential: credential,
            targets: services.targets.map(\.description)
        )
    }
}
