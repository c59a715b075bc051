// A whole Ferry for one test: scripts/stack with the programs of this build, in a directory of its own.

import Foundation
import Harness

/// A private stack. `stop` ends it; `with` does so however the test ends.
final class Stack: Sendable {
    let directory: String
    let environment: [String: String]

    /// The owners whose tokens the stack has.
    enum User: String {
        case alice = "FERRY_TOKEN"
        case bob = "FERRY_TOKEN_2"
        case operations = "FERRY_TOKEN_OPS"
    }

    /// Runs a test with a stack of its own.
    static func with(workers: Int = 1, _ body: (Stack) async throws -> Void) async throws {
        _ = sweep
        let pid = ProcessInfo.processInfo.processIdentifier
        let name = "\(pid)-stack-" + String(UInt32.random(in: 0...UInt32.max), radix: 36)
        let directory = ProjectRoot.path(".stack-tests/\(name)")
        do {
            let stack = try await Stack(directory, workers: workers)
            try await body(stack)
        } catch {
            let logs = Self.logs(directory)
            try? await Self.script(["wipe"], directory, within: .seconds(90))
            FileHandle.standardError.write(Data("\(logs)\n".utf8))
            throw error
        }
        try await Self.script(["wipe"], directory, within: .seconds(90))
    }

    private init(_ directory: String, workers: Int) async throws {
        self.directory = directory
        try await Self.script(["up"], directory, within: .seconds(180), ["WORKERS": "\(workers)"])
        var environment: [String: String] = [:]
        let text = try String(contentsOfFile: directory + "/env", encoding: .utf8)
        for line in text.split(separator: "\n") {
            let pair = line.dropFirst("export ".count).split(separator: "=", maxSplits: 1).map(String.init)
            if pair.count == 2 { environment[pair[0]] = pair[1] }
        }
        self.environment = environment
    }

    /// Acts on one process of the stack: `start`, `stop`, `kill`, `restart`.
    func script(_ arguments: String...) async throws {
        try await Self.script(arguments, directory, within: .seconds(120))
    }

    private static func script(
        _ arguments: [String],
        _ directory: String,
        within: Duration,
        _ extra: [String: String?] = [:]
    ) async throws {
        var environment: [String: String?] = ["STACK_DIR": directory, "STACK_PROGRAMS": BuiltPrograms.directory]
        environment.merge(extra) { _, new in new }
        let report = try await ChildProcess.run(
            ProjectRoot.path("scripts/stack"),
            arguments,
            environment: environment,
            within: within
        )
        guard report.isSuccess else {
            throw HarnessError("scripts/stack \(arguments.joined(separator: " ")): \(report.errors)")
        }
    }

    /// Stacks of test processes that no longer run, stopped and removed once.
    private static let sweep: Void = {
        let base = ProjectRoot.path(".stack-tests")
        for name in (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? [] {
            let parts = name.split(separator: "-")
            guard parts.count == 3, parts[1] == "stack", !FileManager.default.fileExists(atPath: "/proc/\(parts[0])")
            else { continue }
            let wipe = Process()
            wipe.executableURL = URL(fileURLWithPath: ProjectRoot.path("scripts/stack"))
            wipe.arguments = ["wipe"]
            wipe.environment = ProcessInfo.processInfo.environment.merging(["STACK_DIR": "\(base)/\(name)"]) { $1 }
            try? wipe.run()
            wipe.waitUntilExit()
        }
    }()

    private static func logs(_ directory: String) -> String {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory + "/log")) ?? []
        return names.filter { $0.hasPrefix("api") || $0.hasPrefix("worker") }.sorted().map { name in
            let text = (try? String(contentsOfFile: "\(directory)/log/\(name)", encoding: .utf8)) ?? ""
            return "--- \(name)\n" + text.split(separator: "\n").suffix(15).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    // MARK: What a test asks

    subscript(name: String) -> String { environment[name] ?? "" }

    var target: String { self["STACK_TARGET"] }
    var root: String { self["STACK_TARGET_ROOT"] }

    func pid(of name: String) throws -> Int32 {
        let text = try String(contentsOfFile: "\(directory)/run/\(name).pid", encoding: .utf8)
        guard let pid = text.split(whereSeparator: \.isWhitespace).first.flatMap({ Int32($0) }) else {
            throw HarnessError("\(name) has no pid")
        }
        return pid
    }

    /// Runs the command line as a user.
    func ferry(
        _ arguments: [String],
        as user: User = .alice,
        within: Duration = .seconds(120)
    ) async throws -> ChildProcess.Report {
        try await ChildProcess.run(
            BuiltPrograms.path("ferry"),
            arguments,
            environment: [
                "FERRY_URL": self["FERRY_URL"], "FERRY_TOKEN": self[user.rawValue],
                "FERRY_CONFIG": self["FERRY_CONFIG"],
            ],
            within: within
        )
    }

    /// Every key in the index.
    func redis(_ command: String...) async throws -> String {
        let port = self["FERRY_REDIS_URL"].split(separator: ":").last?.split(separator: "/").first ?? ""
        return try await ChildProcess.run("/usr/bin/redis-cli", ["-p", String(port)] + command).output
    }

    /// The names on the target, hidden ones included, below a directory.
    func onTarget(_ directory: String = "") -> [String] {
        let path = directory.isEmpty ? root : root + "/" + directory
        return (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? []
    }
}
