// Signing in with a cookie: what it may do, what ends it, and which pages may use it.

import Core
import CoreTesting
import Foundation
import HTTPTypes
import Harness
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct SessionTests {
    private static let ownPage = ["Sec-Fetch-Site": "same-origin"]

    /// Signs in; answers the cookie as the browser sends it back.
    private func cookie(_ api: Client, _ token: String = APIFixture.alice) async throws -> String {
        let answer = try await api.json("POST", "/v1/session", #"{"token":"\#(token)"}"#, token: nil)
        #expect(answer.status == 200, "\(answer.text)")
        let field = try #require(answer["Set-Cookie"])
        return String(field.prefix { $0 != ";" })
    }

    @Test func theCookieIsForTheServerAloneAndNoTokenIsInIt() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let answer = try await api.json("POST", "/v1/session", #"{"token":"alice-token"}"#, token: nil)
            let field = try #require(answer["Set-Cookie"])
            // The tests' client asks for `localhost`, without a port.
            #expect(field.contains("; Path=/; HttpOnly; SameSite=Strict"))
            #expect(field.hasPrefix("ferry-80=") && !field.contains("Secure"))
            #expect(field.firstRange(of: /^ferry-80=[0-9a-f]{64};/) != nil)
            let who = try answer.json()
            #expect(who["owner"]?.text == "alice" && who["credential"]?.text == "session")
            #expect(who["roles"] == .list([.text("uploader")]))
            #expect(who["targets"] == .list([.text("web-1"), .text("web-2")]))
            #expect(!answer.text.contains("alice-token") && !field.contains("alice-token"))
            #expect(answer["Cache-Control"] == "no-store")
        }
    }

    @Test func itDoesWhatItsTokenMay() async throws {
        try await APIFixture().serve { api in
            let cookie = try await cookie(api)
            let fields = ["Cookie": "other=1; \(cookie)", "Content-Type": "application/json"]
            #expect(try await api.request("GET", "/v1/uploads", token: nil, fields: fields).status == 200)
            #expect(try await api.request("GET", "/v1/workers", token: nil, fields: fields).status == 403)
            let document = #"{"target":"web-1","path":"a.bin","size":0}"#
            let own = fields.merging(Self.ownPage) { $1 }
            let created = try await api.json("POST", "/v1/uploads", document, token: nil, fields: own)
            #expect(created.status == 201)
            #expect(try created.json()["owner"]?.text == "alice")
            let shown = try await api.request("GET", "/v1/session", token: nil, fields: fields)
            #expect(try shown.json()["credential"]?.text == "session")
            let byToken = try await api.request("GET", "/v1/session")
            #expect(try byToken.json()["credential"]?.text == "token")
            let operations = try await self.cookie(api, APIFixture.operations)
            let workers = try await api.request("GET", "/v1/workers", token: nil, fields: ["Cookie": operations])
            #expect(workers.status == 200)
        }
    }

    @Test(arguments: [
        (["Sec-Fetch-Site": "cross-site"], 403, 403), (["Sec-Fetch-Site": "same-site"], 403, 403),
        (["Sec-Fetch-Site": "none"], 403, 200), (["Sec-Fetch-Site": "same-origin"], 404, 200),
        (["Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"], 403, 403), ([:], 403, 200),
        (["Origin": "http://localhost"], 404, 200), (["Origin": "https://localhost"], 404, 200),
        (["Origin": "http://localhost:81"], 403, 403), (["Origin": "http://localhost.evil"], 403, 403),
        (["Origin": "null"], 403, 403), (["Origin": "ftp://localhost"], 403, 403),
    ])
    func onlyOwnPagesChangeSomething(_ fields: [String: String], _ change: Int, _ question: Int) async throws {
        try await APIFixture().serve { api in
            let cookie = try await cookie(api)
            let all = fields.merging(["Cookie": cookie]) { $1 }
            let id = String(repeating: "a", count: 32)
            let changed = try await api.request("DELETE", "/v1/uploads/\(id)", token: nil, fields: all)
            #expect(changed.status == change)
            #expect(try await api.request("GET", "/v1/uploads", token: nil, fields: all).status == question)
            // A token in the header was put there by whoever has it.
            let byToken = try await api.request("DELETE", "/v1/uploads/\(id)", fields: all)
            #expect(byToken.status == 404)
        }
    }

    @Test func otherSitesSignNobodyIn() async throws {
        try await APIFixture().serve { api in
            for fields in [["Sec-Fetch-Site": "cross-site"], ["Origin": "http://evil.example"]] {
                let document = #"{"token":"alice-token"}"#
                let answer = try await api.json("POST", "/v1/session", document, token: nil, fields: fields)
                #expect(answer.status == 403 && answer["Set-Cookie"] == nil)
            }
            for token in ["unknown", "old-token", "", "a b", String(repeating: "a", count: 513)] {
                let answer = try await api.json("POST", "/v1/session", #"{"token":"\#(token)"}"#, token: nil)
                #expect(answer.status == 401 && answer["Set-Cookie"] == nil, "\(token)")
            }
            let unknown = try await api.json("POST", "/v1/session", #"{"token":"a","more":1}"#, token: nil)
            #expect(unknown.status == 422 && unknown.problem == "invalid-request")
        }
    }

    @Test func signingOutAndTakingTheTokenAwayEndIt() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let first = try await cookie(api)
            let second = try await cookie(api)
            #expect(first != second && fixture.sessions.count == 2)
            let out = Self.ownPage.merging(["Cookie": first]) { $1 }
            let gone = try await api.request("DELETE", "/v1/session", token: nil, fields: out)
            #expect(gone.status == 204 && gone["Set-Cookie"]?.contains("Max-Age=0") == true)
            #expect(try await api.request("GET", "/v1/session", token: nil, fields: ["Cookie": first]).status == 401)
            #expect(try await api.request("GET", "/v1/session", token: nil, fields: ["Cookie": second]).status == 200)
            try APIFixture.write("# nobody\n", to: fixture.tokensFile)
            #expect(try await api.request("GET", "/v1/session", token: nil, fields: ["Cookie": second]).status == 401)
        }
    }

    @Test func whoSignsOutIsSignedOutInTheBrowserAtLeast() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let cookie = try await cookie(api)
            fixture.sessions.setAway(true)
            let out = Self.ownPage.merging(["Cookie": cookie]) { $1 }
            let answer = try await api.request("DELETE", "/v1/session", token: nil, fields: out)
            #expect(answer.status == 503 && answer["Set-Cookie"]?.contains("Max-Age=0") == true)
            fixture.sessions.setAway(false)
            _ = try await api.request("DELETE", "/v1/session", token: nil, fields: out)
            let late = try await api.request("DELETE", "/v1/session", token: nil, fields: out)
            #expect(late.status == 401 && late["Set-Cookie"]?.contains("Max-Age=0") == true)
        }
    }

    @Test func aProxyThatHidesTheHostIsToldOf() async throws {
        try await APIFixture().serve { api in
            // The tests' client asks for `localhost`; the browser asked for another name.
            let fields = ["Sec-Fetch-Site": "same-origin", "Origin": "https://ferry.example"]
            let document = #"{"token":"alice-token"}"#
            let answer = try await api.json("POST", "/v1/session", document, token: nil, fields: fields)
            #expect(answer.status == 403 && answer["Set-Cookie"] == nil && answer.text.contains("Host"))
            let own = ["Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"]
            #expect(try await api.json("POST", "/v1/session", document, token: nil, fields: own).status == 200)
        }
    }

    @Test func withoutTokensNoOtherNameIsAnsweredFor() async throws {
        try await APIFixture(isOpen: true).serve { api in
            for (host, status) in [("localhost", 200), ("127.0.0.1:8080", 200), ("evil.example", 403), ("", 403)] {
                try await RawConnection.with(port: api.port) { connection in
                    try await connection.send("GET /v1/uploads HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                    #expect(try await connection.answer().status == status, "\(host)")
                }
            }
        }
    }

    @Test func whereTheIndexIsAwayNobodyIsSignedOut() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let cookie = try await cookie(api)
            fixture.sessions.setAway(true)
            let answer = try await api.request("GET", "/v1/session", token: nil, fields: ["Cookie": cookie])
            #expect(answer.status == 503 && answer.problem == "unavailable" && answer["Retry-After"] != nil)
            #expect(try await api.json("POST", "/v1/session", #"{"token":"alice-token"}"#, token: nil).status == 503)
            fixture.sessions.setAway(false)
            #expect(try await api.request("GET", "/v1/session", token: nil, fields: ["Cookie": cookie]).status == 200)
        }
    }

    @Test func aStreamEndsWithItsSession() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            let cookie = try await cookie(api)
            try await RawConnection.with(port: api.port) { connection in
                try await connection.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nCookie: \(cookie)\r\n\r\n")
                #expect(try await connection.head().status == 200)
                #expect(try await connection.block() == ": keep-alive")
                // An index that does not answer has signed nobody out.
                fixture.sessions.setAway(true)
                fixture.hub.beat()
                #expect(try await connection.block() == ": keep-alive")
                fixture.sessions.setAway(false)
                let out = Self.ownPage.merging(["Cookie": cookie]) { $1 }
                _ = try await api.request("DELETE", "/v1/session", token: nil, fields: out)
                fixture.hub.beat()
                let end = try #require(try await connection.event())
                #expect(end.type == "end" && end.data["reason"]?.text == "unauthorized")
            }
        }
    }

    @Test func withoutTokensThereIsNothingToSignInTo() async throws {
        try await APIFixture(isOpen: true).serve { api in
            let shown = try await api.request("GET", "/v1/session", token: nil)
            #expect(try shown.json()["credential"]?.text == "none")
            #expect(try await api.json("POST", "/v1/session", #"{"token":"a"}"#, token: nil).status == 422)
        }
    }
}

struct SessionCookieTests {
    private func head(_ authority: String?, _ cookie: String) -> HTTPRequest {
        var head = HTTPRequest(method: .get, scheme: "http", authority: authority, path: "/")
        head.headerFields[.cookie] = cookie
        return head
    }

    @Test(arguments: [
        ("localhost", "ferry-80", true), ("LocalHost:8080", "ferry-8080", true), ("127.0.0.1:9", "ferry-9", true),
        ("127.8.9.1", "ferry-80", true), ("[::1]:8080", "ferry-8080", true), ("[::1]", "ferry-80", true),
        ("ferry.example", "__Host-ferry", false), ("ferry.example:8443", "__Host-ferry", false),
        ("127.0.0.1.evil.example", "__Host-ferry", false), ("127.evil.example.org", "__Host-ferry", false),
        ("localhost.evil", "__Host-ferry", false), ("[::2]:80", "__Host-ferry", false), ("", "__Host-ferry", false),
    ])
    func onlyTheOwnMachineNeedsNoTLS(_ authority: String, _ name: String, _ isLoopback: Bool) {
        #expect(SessionCookie.name(for: authority) == name)
        #expect(SessionCookie.keep("s", for: authority).contains("; Secure") == !isLoopback)
    }

    @Test func onlyASecretIsTakenForOne() {
        let secret = String(repeating: "0a", count: 32)
        #expect(
            SessionCookie.secret(in: head("localhost:7", "a=b;  ferry-7=\(secret); c=d")).map(String.init) == secret
        )
        for cookie in [
            "ferry-8=\(secret)", "ferry-7=\(secret)0", "ferry-7=\(secret.dropLast())", "ferry-7=\(secret.uppercased())",
            "xferry-7=\(secret)", "ferry-7", "", "ferry-7==\(secret)",
        ] {
            #expect(SessionCookie.secret(in: head("localhost:7", cookie)) == nil, "\(cookie)")
        }
        #expect(SessionCookie.secret(in: head(nil, "ferry-7=\(secret)")) == nil)
    }
}
