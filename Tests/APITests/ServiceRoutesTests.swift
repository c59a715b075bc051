// Probes, metrics and the API document.

import Core
import CoreTesting
import Foundation
import HTTPTypes
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct ServiceRoutesTests {
    @Test func readinessTellsWhatIsOut() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let ready = try await api.request("GET", "/readyz", token: nil)
            #expect(ready.status == 200)
            #expect(try ready.json()["status"]?.text == "ready")
            fixture.queue.behaviour = .isAway
            let degraded = try await api.request("GET", "/readyz", token: nil)
            #expect(degraded.status == 200)
            #expect(try degraded.json()["status"]?.text == "degraded")
            fixture.store.faults.plant(.unavailable("10.0.0.5"), in: .condition)
            let index = try await api.request("GET", "/readyz", token: nil)
            #expect(index.status == 503 && !index.text.contains("10.0.0.5"))
            #expect(try index.json()["checks"]?["index"]?["ok"] == .bool(false))
            fixture.staging.faults.plant(.failed("/srv: EROFS"), in: .space)
            let staging = try await api.request("GET", "/readyz", token: nil)
            #expect(staging.status == 503 && !staging.text.contains("/srv"))
            fixture.index.wipe()
            #expect(try await api.request("GET", "/readyz", token: nil).status == 503)
            #expect(try await api.request("GET", "/healthz", token: nil).status == 200)
        }
    }

    @Test func metricsAndDocumentAreServed() async throws {
        try await APIFixture().serve { api in
            let metrics = try await api.request("GET", "/metrics", token: nil)
            #expect(metrics["Content-Type"]?.hasPrefix("text/plain; version=0.0.4") == true)
            #expect(metrics.text.contains("ferry_up 1"))
            let document = try await api.request("GET", "/openapi.yaml", token: nil)
            #expect(document.status == 200 && document.body == PackageResources.openapi_yaml)
        }
    }

    @Test func theDocumentHasEveryRouteAndNoOther() throws {
        let document = try OpenAPIDocument.shared.get()
        let documented = Set(
            document.operations.map { "\($0.method) \($0.path) \($0.identifier) \($0.roles.sorted())" }
        )
        let routed = Set(
            Route.allCases.map { route in
                let path = route.path.replacing("**", with: "{path}")
                let roles: [String] =
                    switch route.access {
                    case .anyone: ["anyone"]
                    case .roles(let roles): roles.map(\.rawValue).sorted()
                    }
                return "\(route.method.rawValue) \(path) \(route) \(roles)"
            }
        )
        #expect(documented == routed)
    }

    @Test func theDocumentHasEveryProblemWithItsStatus() throws {
        let document = try OpenAPIDocument.shared.get()
        #expect(document.problemNames == Set(ProblemType.allCases.map(\.rawValue)))
        for operation in document.operations {
            for (status, names) in operation.problems {
                for name in names {
                    // The article answers 400 where the file exists, and so do its interfaces here.
                    if operation.tags == ["compatibility"], name == "target-exists" {
                        #expect(status == 400)
                        continue
                    }
                    #expect(ProblemType(rawValue: name)?.status.code == status, "\(operation.identifier): \(name)")
                }
            }
        }
        #expect(Set(ProblemType.allCases.map(\.title)).count == ProblemType.allCases.count)
    }
}
