// Who may do what: every route with every kind of caller, and the tokens file.

import Core
import CoreTesting
import Foundation
import HTTPTypes
import Harness
import Hummingbird
import Testing

@testable import API

@Suite(.timeLimit(.minutes(1)))
struct AuthorizationTests {
    @Test func theRouterHasTheTablesRoutesAndNoOthers() async throws {
        let router = APIRouter.make(try await APIFixture().services)
        let routed = Set(router.routes.map { "\($0.method.rawValue) \($0.path.description)" })
        #expect(routed == Set(Route.allCases.map { "\($0.method.rawValue) \($0.path)" }))
    }

    @Test func theDocumentationHasTheTable() throws {
        let path = ProjectRoot.path + "/docs/authorization.md"
        let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst(2).map(String.init)
        let expected = Route.allCases.map { route in
            let cells: [String] =
                switch route.access {
                case .anyone: ["yes", "yes", "yes"]
                case .roles([.operator]): ["no", "yes", "no"]
                case .roles([.uploader]): [route.path.contains("{id}") ? "own" : "yes", "no", "no"]
                default: ["own", "all", "no"]
                }
            return "| \(route.method.rawValue) | `\(route.path)` | \(cells.joined(separator: " | ")) |"
        }
        #expect(Set(rows) == Set(expected))
        #expect(rows.count == expected.count)
    }

    @Test func everyRouteIsGuardedForEveryCaller() async throws {
        try await APIFixture().serve { api in
            let id = try await api.create(size: 5_000)
            let callers: [(String?, Set<Role>)] = [
                (APIFixture.alice, [.uploader]), (APIFixture.operations, [.operator]),
                (APIFixture.both, [.uploader, .operator]), (nil, []), ("unknown", []), ("old-token", []),
            ]
            // A cancel comes last, so that the upload lives until then.
            for route in Route.allCases.sorted(by: { left, _ in left != .cancelUpload }) {
                for (token, roles) in callers {
                    let target = route.path.replacing("{id}", with: id).replacing("{number}", with: "1")
                        .replacing("{target}", with: "web-1").replacing("**", with: "f")
                        .replacing("{name}", with: "page.css")
                    let isStream = route == .watchUpload || route == .watchUploads
                    let status = try await status(api.port, route.method.rawValue, target, token, isStream: isStream)
                    let what = "\(route) as \(token ?? "nobody")"
                    switch route.access {
                    // A sign-in without a body is let in that far.
                    case .anyone: #expect(status == (route == .signIn ? 400 : 200), "\(what)")
                    case .roles where roles.isEmpty: #expect(status == 401, "\(what)")
                    case .roles(let allowed):
                        let isAllowed = !allowed.isDisjoint(with: roles)
                        #expect(isAllowed ? status != 401 && status != 403 : status == 403, "\(what): \(status)")
                        // Whoever only uploads sees its own; the upload is alice's.
                        let isOthers = route.path.contains("{id}") && token == APIFixture.both
                        if isOthers, allowed == [.uploader] { #expect(status == 404, "\(what)") }
                        // A dead letter it is not.
                        let isShown = route != .showDeadLetter
                        if isOthers, allowed.contains(.operator), isShown { #expect(status != 404, "\(what)") }
                    }
                }
            }
        }
    }

    /// The status alone: streams have no end to wait for.
    private func status(
        _ port: Int,
        _ method: String,
        _ target: String,
        _ token: String?,
        isStream: Bool
    ) async throws -> Int {
        try await RawConnection.with(port: port) { connection in
            let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
            let length = method == "PUT" || method == "POST" ? "Content-Length: 0\r\n" : ""
            try await connection.send("\(method) \(target) HTTP/1.1\r\nHost: h\r\n\(authorization)\(length)\r\n")
            return isStream ? try await connection.head().status : try await connection.answer().status
        }
    }

    @Test(arguments: [
        "Basic YWxpY2U6eA==", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "alice-token", "Bearer =", "Bearer ä",
    ])
    func otherCredentialsAreRefused(_ value: String) async throws {
        try await APIFixture().serve { api in
            let answer = try await api.request("GET", "/v1/uploads", token: nil, fields: ["Authorization": value])
            #expect(answer.status == 401 && answer.problem == "unauthorized")
            #expect(answer["WWW-Authenticate"]?.hasPrefix(#"Bearer realm="ferry", error="#) == true)
            let inURL = try await api.request("GET", "/v1/uploads?access_token=alice-token", token: nil)
            #expect(inURL.status == 401 && inURL["WWW-Authenticate"] == #"Bearer realm="ferry""#)
        }
    }

    @Test func theFileIsReadAnewWhenItChanges() async throws {
        let fixture = try await APIFixture()
        try await fixture.serve { api in
            #expect(try await api.request("GET", "/v1/uploads").status == 200)
            try APIFixture.write("# nobody\n", to: fixture.tokensFile)
            #expect(try await api.request("GET", "/v1/uploads").status == 401)
            try APIFixture.write(APIFixture.tokens, to: fixture.tokensFile)
            #expect(try await api.request("GET", "/v1/uploads").status == 200)
            try FileManager.default.removeItem(atPath: fixture.tokensFile)
            let answer = try await api.request("GET", "/v1/uploads")
            #expect(answer.status == 503 && answer.problem == "unavailable")
            #expect(!answer.text.contains(fixture.tokensFile))
        }
    }

    @Test func withoutTokensEverybodyIsOnePrincipalButOtherSitesAreNot() async throws {
        try await APIFixture(isOpen: true).serve { api in
            #expect(try await api.request("GET", "/v1/workers", token: nil).status == 200)
            let crossSite = ["Sec-Fetch-Site": "cross-site"]
            let answer = try await api.request("DELETE", "/v1/uploads/x", token: nil, fields: crossSite)
            #expect(answer.status == 403 && answer.problem == "forbidden")
        }
    }

    @Test func tableLinesAreReadStrictly() throws {
        let hash = SHA256.digest(Array("t".utf8)).hex
        let table = TokenTable(
            text: """
                # a comment

                \(hash) anna uploader # her token
                \(hash.dropLast()) anna uploader
                \(hash) anna admin
                \(hash) anna uploader, operator
                \(hash) anna
                \(hash) anna uploader tomorrow
                \(hash) anna uploader 2030-01-01T00:00:00Z more
                \t\(SHA256.digest(Array("u".utf8)).hex)\tben\toperator,uploader\t2030-01-01T00:00:00.5+01:00
                """
        )
        #expect(table.refusedLines == [4, 5, 6, 7, 8, 9])
        let before = Timestamp(microseconds: 1_893_452_399_000_000)
        let after = Timestamp(microseconds: 1_893_452_401_000_000)
        let anna = table.principal(hash: SHA256.digest(Array("t".utf8)), now: after)
        #expect(anna?.owner.description == "anna" && anna?.roles == [.uploader])
        let ben = SHA256.digest(Array("u".utf8))
        #expect(table.principal(hash: ben, now: before)?.roles == [.uploader, .operator])
        #expect(table.principal(hash: ben, now: after) == nil)
        #expect(table.principal(hash: SHA256.digest([]), now: before) == nil)
    }
}
