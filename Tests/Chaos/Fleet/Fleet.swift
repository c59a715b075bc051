// All processes of a run: servers, two API processes behind a balancer, three workers.

import AsyncHTTPClient
import Foundation
import Harness
import NIOHTTP1

/// A whole Ferry on loopback.
final class Fleet: Sendable {
    let directory: String
    let redis: RedisServer
    let broker: RabbitMQServer
    let targets: [TargetServer]
    let staging: Mount
    let apis: [Member]
    let workers: [Member]
    let balancer: FaultProxy
    let scripts: IndexScripts
    private let http: HTTPClient
    private let tokens: [String: String]

    /// Starts everything and waits until it can be used.
    init(programs: String, directory: String) async throws {
        self.directory = directory
        scripts = try IndexScripts()
        http = FerryClient.makeHTTP()
        try await Mount.sweep(below: directory)
        try? FileManager.default.removeItem(atPath: directory)
        try FileManager.default.createDirectory(atPath: directory + "/log", withIntermediateDirectories: true)
        async let redis = RedisServer.start()
        async let broker = RabbitMQServer.start()
        async let near = TargetServer("near", below: directory)
        async let far = TargetServer("far", below: directory)
        staging = try await Mount("\(directory)/staging")
        (self.redis, self.broker, targets) = try await (redis, broker, [near, far])
        tokens = try Self.writeTokens("\(directory)/tokens")
        let place = Member.Surroundings(
            programs: programs,
            directory: directory,
            redisPort: self.redis.port,
            brokerPort: self.broker.port,
            targets: targets,
            staging: staging.path,
            tokens: "\(directory)/tokens"
        )
        let ports = try [FreePort.next(), FreePort.next()]
        apis = try ports.enumerated().map { try Member("api-\($0 + 1)", .api(port: $1), in: place) }
        workers = try (1...3).map { try Member("worker-\($0)", .worker, in: place) }
        balancer = try FaultProxy(toAnyOf: ports)
        for member in members { try member.start() }
        try await waitUntilReady()
    }

    var members: [Member] { apis + workers }

    var target: TargetServer { targets[0] }

    func member(_ name: String) throws -> Member {
        guard let member = members.first(where: { $0.name == name }) else { throw HarnessError("no member \(name)") }
        return member
    }

    /// - Parameter workers: whether they are waited for too.
    func waitUntilReady(workers isWithWorkers: Bool = true) async throws {
        for member in apis {
            guard case .api(let port) = member.kind else { continue }
            let client = FerryClient(http: http, url: "http://127.0.0.1:\(port)", token: tokens["ops"] ?? "")
            try await eventually("\(member.name) is ready", within: .seconds(60), every: .milliseconds(50)) {
                try await client.send(.GET, "/readyz", timeout: 5).status == 200
            }
        }
        guard isWithWorkers else { return }
        try await eventually("all workers are known", within: .seconds(60), every: .milliseconds(50)) {
            let answer = try await operations.send(.GET, "/v1/workers", timeout: 5)
            let text = String(decoding: answer.body, as: UTF8.self)
            return workers.allSatisfy { text.contains("\"\($0.name)\"") }
        }
    }

    /// Everything runs and is connected again.
    func restore() async throws {
        for server in [redis, broker] as [any PrivateServer] {
            if server.isRunning { try server.resume() } else { try await server.restart() }
        }
        for target in targets {
            if !target.server.isRunning { try await target.server.restart() }
            for process in [target.server.pid].compactMap({ $0 }) + target.server.sessions { kill(process, SIGCONT) }
        }
        for member in members { try member.restore() }
    }

    /// Forgets everything: what a fault broke is not to be counted against the next one.
    func forget() async throws {
        try await restore()
        for member in members { await member.stop() }
        _ = try await redis.cli("FLUSHALL")
        for name in try FileManager.default.contentsOfDirectory(atPath: staging.path) {
            try FileManager.default.removeItem(atPath: staging.path(name))
        }
        for target in targets {
            for name in try FileManager.default.contentsOfDirectory(atPath: target.root.path) {
                try FileManager.default.removeItem(atPath: target.root.path(name))
            }
            for kind in ["ship", "merge"] { _ = try? await control("delete_queue", "ferry.\(kind).\(target.name)") }
        }
        for member in members { try member.start() }
        try await waitUntilReady()
    }

    func stop() async {
        for member in members { await member.stop() }
        await redis.stop()
        await broker.stop()
        for target in targets {
            await target.server.stop()
            await target.root.unmount()
        }
        await staging.unmount()
        try? await http.shutdown()
    }

    // MARK: Clients

    /// Whoever may see and replay everything.
    var operations: FerryClient { client("ops") }

    func client(_ owner: String) -> FerryClient {
        FerryClient(http: http, url: "http://127.0.0.1:\(balancer.port)", token: tokens[owner] ?? "")
    }

    var owners: [PlannedUpload.Owner: FerryClient] {
        Dictionary(uniqueKeysWithValues: PlannedUpload.Owner.allCases.map { ($0, client($0.rawValue)) })
    }

    private static func writeTokens(_ path: String) throws -> [String: String] {
        var tokens: [String: String] = [:]
        var lines = ""
        for (owner, role) in [("alice", "uploader"), ("bob", "uploader"), ("ops", "operator")] {
            let token = Digest.hex((0..<32).map { _ in UInt8.random(in: 0...255) })
            tokens[owner] = token
            lines += "\(Digest.sha256Hex(token.utf8)) \(owner) \(role)\n"
        }
        try lines.write(toFile: path, atomically: true, encoding: .utf8)
        return tokens
    }
}
