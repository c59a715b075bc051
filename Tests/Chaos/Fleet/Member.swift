// One API or worker process, with proxies of its own between it and everything else.

import Foundation
import Harness
import Synchronization

/// A program of the fleet. Its configuration names only the ports of its proxies.
final class Member: Sendable {
    enum Kind: Sendable, Hashable {
        case api(port: Int)
        case worker
    }

    let name: String
    let kind: Kind
    /// Between it and Redis.
    let index: FaultProxy
    let indexBoard: TrapBoard
    /// Between it and RabbitMQ.
    let broker: FaultProxy
    let brokerBoard: TrapBoard
    /// Between it and each target.
    let targets: [FaultProxy]

    private let program: String
    private let configuration: String
    private let log: String
    private let child = Mutex<ChildProcess?>(nil)

    struct Surroundings: Sendable {
        var programs: String
        var directory: String
        var redisPort: Int
        var brokerPort: Int
        var targets: [TargetServer]
        var staging: String
        var tokens: String
    }

    init(_ name: String, _ kind: Kind, in place: Surroundings) throws {
        self.name = name
        self.kind = kind
        let indexBoard = TrapBoard(owner: name)
        let brokerBoard = TrapBoard(owner: name)
        self.indexBoard = indexBoard
        self.brokerBoard = brokerBoard
        index = try FaultProxy(to: place.redisPort, inspector: { RedisInspector(indexBoard) })
        broker = try FaultProxy(to: place.brokerPort, inspector: { AMQPInspector(brokerBoard) })
        targets = try place.targets.map { try FaultProxy(to: $0.server.port) }
        program = place.programs + (kind == .worker ? "/ferry-worker" : "/ferry-api")
        configuration = "\(place.directory)/\(name).yaml"
        log = "\(place.directory)/log/\(name).log"
        try text(place).write(toFile: configuration, atomically: true, encoding: .utf8)
    }

    private func text(_ place: Surroundings) -> String {
        var lines = [
            "staging: { path: \"\(place.staging)\", fsync: true }",
            "redis: { url: \"redis://127.0.0.1:\(index.port)/0\" }",
            "amqp: { url: \"amqp://ferry:ferry@127.0.0.1:\(broker.port)/ferry\" }",
            "retry: { base: 1s, max: 5s, attempts: 12, disk_full_attempts: 3 }",
            "auth: { mode: tokens, tokens_file: \"\(place.tokens)\" }",
            "worker: { drain: 10s }",
            "targets:",
        ]
        if case .api(let port) = kind { lines.insert("listen: 127.0.0.1:\(port)", at: 0) }
        for (target, proxy) in zip(place.targets, targets) {
            lines += [
                "  \(target.name):",
                "    host: 127.0.0.1",
                "    port: \(proxy.port)",
                "    user: \(target.server.user)",
                "    key_file: \"\(target.server.keyFile)\"",
                "    host_keys: [\"\(target.server.hostKeyFingerprint)\"]",
                "    root: \"\(target.root.path)\"",
                "    sessions: 4",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    var isWorker: Bool { kind == .worker }

    var proxies: [FaultProxy] { [index, broker] + targets }

    var pid: Int32? { child.withLock { $0?.isRunning == true ? $0?.pid : nil } }

    var isRunning: Bool { pid != nil }

    /// Starts it, if it does not run.
    ///
    /// - Parameter variables: win over its configuration.
    func start(with variables: [String: String] = [:]) throws {
        guard !isRunning else { return }
        var environment: [String: String?] = [:]
        for name in ProcessInfo.processInfo.environment.keys where name.hasPrefix("FERRY_") {
            environment.updateValue(nil, forKey: name)
        }
        environment.merge(variables) { $1 }
        let arguments = ["--config", configuration] + (isWorker ? ["--name", name] : [])
        let started = try ChildProcess(program, arguments, environment: environment, output: log)
        child.withLock { $0 = started }
    }

    func signal(_ signal: Int32) throws {
        guard child.withLock({ $0?.signal(signal) }) == true else { throw HarnessError("\(name) does not run") }
    }

    /// kill -9; returns when it is gone. What its proxies held is thrown away.
    func kill() async throws {
        try signal(SIGKILL)
        _ = try await child.withLock { $0 }?.wait()
        for proxy in proxies { try proxy.cut() }
    }

    func suspend() throws { try signal(SIGSTOP) }

    func proceed() throws { try signal(SIGCONT) }

    /// Ends it in an orderly way.
    func stop() async { await child.withLock { $0 }?.stop(within: .seconds(15)) }

    /// Everything between it and the others is as it should be, and it runs.
    func restore() throws {
        indexBoard.clear()
        brokerBoard.clear()
        for proxy in proxies {
            try proxy.resume()
            try proxy.delay(.zero)
            try proxy.limit(bytesPerSecond: nil)
            try proxy.accept()
        }
        if isRunning { try proceed() } else { try start() }
    }
}
