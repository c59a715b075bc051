// APIRouter: puts every route of the table under authorisation and in front of its handler.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore

/// The router of the HTTP interface.
enum APIRouter {
    /// All routes over these services. No route exists but those of the table, and none is reached unauthorised.
    static func make(_ services: APIServices) -> Router<RequestScope> {
        let router = Router(context: RequestScope.self)
        let page = PageRoutes(PageFiles(sha256: services.authenticator.sha256, compress: services.compress))
        router.add(middleware: RequestMiddleware(metrics: services.metrics))
        router.add(middleware: CrossOriginMiddleware(origins: services.allowedOrigins))
        router.add(middleware: ProblemMiddleware())
        for route in Route.allCases {
            router.on(RouterPath(route.path), method: route.method) { request, scope in
                let principal = try await services.authenticator.authorize(request.head, for: route)
                if let principal { scope.record.asked(by: principal.owner) }
                return try await answer(route, request, scope, principal, services, page)
            }
        }
        return router
    }

    private static func answer(
        _ route: Route,
        _ request: Request,
        _ scope: RequestScope,
        _ principal: Principal?,
        _ services: APIServices,
        _ page: PageRoutes
    ) async throws -> Response {
        let sessions = SessionRoutes(services: services)
        let health = HealthRoutes(services: services)
        switch route {
        case .health: return try health.health()
        case .readiness: return try await health.readiness()
        case .metrics: return await health.metrics()
        case .document: return health.document()
        case .signIn: return try await sessions.signIn(request, scope)
        case .uploadPage: return try page.file("index.html", request)
        case .operationsPage: return try page.file("ops.html", request)
        case .pageFile: return try page.file(scope.parameters.get("name") ?? "", request)
        default: break
        }
        // The table says who may use a route; one that asks nobody has been answered above.
        guard let principal else { throw Problem(.unauthorized, "a token is needed") }
        let uploads = UploadRoutes(intake: services.intake, targets: services.targets, principal: principal)
        let bodies = BodyRoutes(services: services, principal: principal)
        let events = EventRoutes(services: services, principal: principal)
        let operations = OperationRoutes(services: services)
        let deadLetters = DeadLetterRoutes(services: services, principal: principal)
        let compatibility = CompatibilityRoutes(services: services, principal: principal)
        switch route {
        case .createUpload: return try await uploads.create(request, scope)
        case .listUploads: return try await uploads.list(request)
        case .showUpload: return try await uploads.show(scope)
        case .cancelUpload: return try await uploads.cancel(scope)
        case .completeUpload: return try await uploads.complete(request, scope)
        case .putPart: return try await bodies.putPart(request, scope)
        case .putFile: return try await bodies.putFile(request, scope)
        case .watchUpload: return try await events.watchUpload(request, scope)
        case .watchUploads: return try await events.watchUploads(request, scope)
        case .showHistory: return try await uploads.history(scope)
        case .listDeadLetters: return try await deadLetters.list(request)
        case .showDeadLetter: return try await deadLetters.show(scope)
        case .replayDeadLetter: return try await deadLetters.replay(scope)
        case .replayDeadLetters: return try await deadLetters.replayAll(request, scope)
        case .discardDeadLetter: return try await deadLetters.discard(scope)
        case .listTargets: return try await operations.targets()
        case .listWorkers: return try await operations.workers()
        case .listQueues: return try await operations.queues()
        case .fileUploadStatus: return try await compatibility.fileUploadStatus(request, scope)
        case .fileDirInfo: return try await compatibility.fileDirInfo(request, scope)
        case .fileChunkUpload: return try await compatibility.fileChunkUpload(request, scope)
        case .bigFileMerge: return try await compatibility.bigFileMerge(request, scope)
        case .showThroughput: return try await operations.throughput()
        case .showSession: return try sessions.show(principal, request)
        case .signOut: return try await sessions.signOut(request)
        case .health, .readiness, .metrics, .document, .signIn, .uploadPage, .operationsPage, .pageFile:
            throw Problem(.routeUnknown, "see /openapi.yaml")
        }
    }
}
