// HealthRoutes: what probes and scrapers ask for.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// Liveness, readiness, metrics and the API document.
struct HealthRoutes {
    let services: APIServices

    /// The process answers; nothing else is looked at, because a restart would mend nothing else.
    func health() throws -> Response { try JSON.response(["status": "ok"]) }

    /// Whether uploads can be accepted. Without the broker they can: jobs wait in the outbox.
    func readiness() async throws -> Response {
        let staging = await stagingCheck()
        let index = await indexCheck()
        let broker = ReadinessDocument.Check(
            ok: services.queue.isAvailable,
            detail: services.queue.isAvailable ? "connected" : "not connected; jobs wait in the outbox"
        )
        let isReady = staging.ok && index.ok
        let status = !isReady ? "unavailable" : broker.ok ? "ready" : "degraded"
        let document = ReadinessDocument(
            status: status,
            checks: ["staging": staging, "index": index, "broker": broker]
        )
        var headers: HTTPFields = [:]
        if !isReady { headers[.retryAfter] = "2" }
        return try JSON.response(document, status: isReady ? .ok : .serviceUnavailable, headers: headers)
    }

    /// All metrics; those of targets and dead letters as the index has them now, left as they were where it does not
    /// answer.
    func metrics() async -> Response {
        services.metrics.streaming(services.hub.count)
        if let targets = try? await services.store.targets() { services.metrics.targets(targets) }
        if let backlog = try? await services.store.backlog(of: services.targets) { services.metrics.backlog(backlog) }
        return Response(
            status: .ok,
            headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: services.renderMetrics()))
        )
    }

    func document() -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/yaml", .cacheControl: "no-cache"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: PackageResources.openapi_yaml))
        )
    }

    private func stagingCheck() async -> ReadinessDocument.Check {
        do {
            let space = try await services.staging.space()
            guard space.free > 0, space.used < space.limit else { return .init(ok: false, detail: "full") }
            return .init(ok: true, detail: "writable")
        } catch {
            return .init(ok: false, detail: "cannot be used")
        }
    }

    private func indexCheck() async -> ReadinessDocument.Check {
        do {
            let epoch = try await services.staging.epoch()
            switch try await services.store.condition(epoch: epoch) {
            case .current: return .init(ok: true, detail: "current")
            case .restarted, .foreign: return .init(ok: false, detail: "being rebuilt from staging")
            }
        } catch {
            return .init(ok: false, detail: "cannot be reached")
        }
    }
}
