// The API document as tests see it: which answers each operation may give.

import Foundation
import HTTPTypes
import Testing
import Yams

@testable import API

/// The parsed document.
struct OpenAPIDocument {
    struct Operation {
        var path: String
        var method: String
        var identifier: String
        var tags: [String]
        var roles: Set<String>
        var statuses: Set<Int>
        var problems: [Int: Set<String>]
    }

    let operations: [Operation]
    let problemNames: Set<String>

    static let shared: Result<OpenAPIDocument, any Error> = Result { try OpenAPIDocument() }

    private init() throws {
        let text = String(decoding: PackageResources.openapi_yaml, as: UTF8.self)
        let root = try #require(try Yams.load(yaml: text) as? [String: Any])
        let components = try #require(root["components"] as? [String: Any])
        let shared = try #require(components["responses"] as? [String: [String: Any]])
        let schemas = try #require(components["schemas"] as? [String: [String: Any]])
        problemNames = Set(try #require(schemas["ProblemName"]?["enum"] as? [String]))
        var operations: [Operation] = []
        for (path, verbs) in try #require(root["paths"] as? [String: [String: [String: Any]]]) {
            for (verb, operation) in verbs {
                var problems: [Int: Set<String>] = [:]
                var statuses: Set<Int> = []
                for (code, response) in try #require(operation["responses"] as? [String: [String: Any]]) {
                    let status = try #require(Int(code))
                    statuses.insert(status)
                    let reference = (response["$ref"] as? String)?.split(separator: "/").last.map(String.init)
                    let content = try reference.map { try #require(shared[$0]) } ?? response
                    if let names = content["x-problem-types"] as? [String] { problems[status] = Set(names) }
                }
                operations.append(
                    Operation(
                        path: path,
                        method: verb.uppercased(),
                        identifier: try #require(operation["operationId"] as? String),
                        tags: try #require(operation["tags"] as? [String]),
                        roles: Set(try #require(operation["x-roles"] as? [String])),
                        statuses: statuses,
                        problems: problems
                    )
                )
            }
        }
        self.operations = operations
    }

    /// The operation that a request reaches, if any.
    func operation(_ method: String, _ target: String) -> Operation? {
        let path = String(target.prefix { $0 != "?" })
        guard let route = Route.allCases.first(where: { $0.method.rawValue == method && $0.matches(path: path) }) else {
            return nil
        }
        return operations.first { $0.identifier == String(describing: route) }
    }

    /// Records an issue where an answer is not one that the document has for the request.
    static func check(_ answer: Answer, _ method: String, _ target: String) throws {
        let document = try shared.get()
        #expect(answer["X-Request-Id"] != nil, "\(method) \(target) has no X-Request-Id")
        guard let operation = document.operation(method, target) else { return }
        #expect(operation.statuses.contains(answer.status), "\(method) \(target): \(answer.status) is not documented")
        guard answer.status >= 400, operation.identifier != "readiness" else { return }
        let name = answer.problem ?? "no problem"
        #expect(
            operation.problems[answer.status]?.contains(name) ?? false,
            "\(method) \(target): \(answer.status) \(name) is not documented"
        )
    }
}
