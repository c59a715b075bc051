// Pages of other origins: which are let in, by what, and that the others are not.

import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct CrossOriginTests {
    private static let own = "https://intranet.example"

    private func fixture() async throws -> APIFixture {
        var fixture = try await APIFixture()
        fixture.services.allowedOrigins = [Self.own]
        return fixture
    }

    private func preflight(_ origin: String) -> [String: String] {
        [
            "Origin": origin, "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,content-digest", "Sec-Fetch-Site": "cross-site",
        ]
    }

    @Test func aConfiguredOriginIsToldWhatItMaySend() async throws {
        try await fixture().serve { api in
            let path = "/v1/uploads/\(String(repeating: "a", count: 32))/parts/1"
            let answer = try await api.request("OPTIONS", path, token: nil, fields: preflight(Self.own))
            #expect(answer.status == 204)
            #expect(answer["Access-Control-Allow-Origin"] == Self.own)
            #expect(answer["Access-Control-Allow-Methods"]?.contains("PUT") == true)
            for name in ["Authorization", "Content-Digest", "Content-Type"] {
                #expect(answer["Access-Control-Allow-Headers"]?.contains(name) == true, "\(name)")
            }
            #expect(answer["Access-Control-Allow-Credentials"] == nil)
        }
    }

    @Test func itsPagesMayReadAnswersAndProblems() async throws {
        try await fixture().serve { api in
            let fields = ["Origin": Self.own, "Sec-Fetch-Site": "cross-site"]
            for (path, status) in [("/v1/uploads", 200), ("/v1/none", 404), ("/page/ferry.js", 200)] {
                let answer = try await api.request("GET", path, fields: fields)
                #expect(answer.status == status)
                #expect(answer["Access-Control-Allow-Origin"] == Self.own, "\(path)")
                #expect(answer["Access-Control-Expose-Headers"]?.contains("Retry-After") == true)
                #expect(answer["Vary"]?.contains("Origin") == true)
            }
            // What a browser sends by itself is no token.
            let signIn = try await api.json(
                "POST",
                "/v1/session",
                #"{"token":"alice-token"}"#,
                token: nil,
                fields: fields
            )
            #expect(signIn.status == 403 && signIn["Set-Cookie"] == nil)
        }
    }

    @Test(arguments: ["https://evil.example", "http://intranet.example", "null", "https://intranet.example.evil"])
    func othersAreNotLetIn(_ origin: String) async throws {
        try await fixture().serve { api in
            let answer = try await api.request("OPTIONS", "/v1/uploads", token: nil, fields: preflight(origin))
            #expect(answer.status == 405 && answer["Access-Control-Allow-Origin"] == nil)
            let read = try await api.request("GET", "/v1/uploads", fields: ["Origin": origin])
            #expect(read["Access-Control-Allow-Origin"] == nil && read["Vary"]?.contains("Origin") == true)
        }
    }

    @Test func withoutConfigurationNobodyIs() async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("OPTIONS", "/v1/uploads", token: nil, fields: preflight(Self.own))
            #expect(answer.status == 405 && answer["Access-Control-Allow-Origin"] == nil)
        }
    }
}
