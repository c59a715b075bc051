// ProblemMiddleware: makes one form of answer out of everything that goes wrong.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging

/// Turns thrown errors into `application/problem+json`, or into the article's form where the route is one of its four.
struct ProblemMiddleware: RouterMiddleware {
    @concurrent func handle(
        _ request: Request,
        context: RequestScope,
        next: @concurrent (Request, RequestScope) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let refusal = error as? CompatibilityRefusal
            let problem = Self.problem(of: refusal?.cause ?? error, request: request)
            if problem.type.status.code >= 500 {
                context.logger.warning(
                    "request could not be served",
                    metadata: [
                        "problem": "\(problem.type.rawValue)", "reason": "\(problem.logged ?? problem.detail)",
                    ]
                )
            }
            let path = request.uri.path
            if refusal != nil || Route.allCases.contains(where: { $0.isCompatibility && $0.matches(path: path) }) {
                return problem.compatibilityResponse(data: refusal?.data ?? "")
            }
            return problem.response()
        }
    }

    private static func problem(of error: any Error, request: Request) -> Problem {
        switch error {
        case let problem as Problem: return problem
        case let error as IntakeError: return Problem(error)
        case let error as FormError: return Problem(error)
        case let error as any HTTPResponseError where error.status == .notFound: return unknownRoute(request)
        default:
            var problem = Problem(.internalError, "the log has more under this request's id")
            problem.logged = String(describing: error)
            return problem
        }
    }

    /// Either nothing is at the path, or something that the method cannot be used on (RFC 9110 §15.5.6).
    private static func unknownRoute(_ request: Request) -> Problem {
        let path = request.uri.path
        let methods = Route.allCases.filter { $0.matches(path: path) }.map(\.method.rawValue)
        guard !methods.isEmpty else { return Problem(.routeUnknown, "see /openapi.yaml for what there is") }
        let allowed = methods.sorted().joined(separator: ", ")
        var problem = Problem(.methodNotAllowed, "this path supports \(allowed)")
        problem.headers[.allow] = allowed
        return problem
    }
}
