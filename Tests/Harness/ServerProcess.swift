// What the private servers have in common: start, readiness, signals, restart.

import Foundation
import Glibc
import Synchronization

/// A real server run for tests, on loopback, with its own port and directory.
public protocol PrivateServer: AnyObject, Sendable {
    /// The process and how it is started again.
    var process: ServerProcess { get }
}

extension PrivateServer {
    /// Always 127.0.0.1.
    public var host: String { "127.0.0.1" }
    /// The TCP port it listens on.
    public var port: Int { process.port }
    /// The directory of its configuration and data.
    public var directory: String { process.directory.path }
    /// The pid of the server itself; nil when it is stopped.
    public var pid: Int32? { process.pid }
    /// Whether the process exists.
    public var isRunning: Bool { process.isRunning }
    /// Everything the server logged.
    public var log: String { process.log }

    /// Stops it in an orderly way, by force after a time; its data stays.
    public func stop() async { await process.stop() }
    /// Kills it (SIGKILL) and waits for its end.
    public func kill() async throws { try await process.kill(SIGKILL) }
    /// Sends a signal; waits for the end only after SIGKILL.
    public func kill(_ signal: Int32) async throws { try await process.kill(signal) }
    /// Stops its clock: it answers nothing, its connections stay open.
    public func suspend() throws { try process.suspend() }
    /// Lets it go on after `suspend`.
    public func resume() throws { try process.resume() }
    /// Starts it (stopping it first if it runs) on the same port, with the same data, and waits until it answers.
    public func restart() async throws { try await process.restart() }
}

/// One script of `scripts/servers` kept running.
public final class ServerProcess: Sendable {
    /// The TCP port it listens on.
    public let port: Int
    let directory: TemporaryDirectory
    private let script: String
    private let arguments: [String]
    private let environment: [String: String?]
    private let ready: @Sendable (Int) throws -> Void
    private let child = Mutex<ChildProcess?>(nil)
    private let belongings = Mutex<[TemporaryDirectory]>([])

    private init(
        script: String,
        port: Int,
        arguments: [String],
        environment: [String: String?],
        ready: @escaping @Sendable (Int) throws -> Void
    ) throws {
        self.script = script
        self.port = port
        self.arguments = arguments
        self.environment = environment
        self.ready = ready
        directory = try TemporaryDirectory(script)
    }

    deinit { end() }

    /// Starts the server and waits until it answers; a port somebody else took meanwhile is given up for another one.
    static func start(
        _ script: String,
        port: Int?,
        arguments: [String] = [],
        environment: [String: String?] = [:],
        ready: @escaping @Sendable (Int) throws -> Void
    ) async throws -> ServerProcess {
        var failure: any Error = HarnessError("\(script) was not started")
        for _ in 0..<(port == nil ? 3 : 1) {
            let server = try ServerProcess(
                script: script,
                port: port ?? FreePort.next(),
                arguments: arguments,
                environment: environment,
                ready: ready
            )
            do {
                try await server.launch()
                return server
            } catch {
                failure = error
            }
        }
        throw failure
    }

    var pid: Int32? { child.withLock { $0 }.flatMap { $0.isRunning ? $0.pid : nil } }
    var isRunning: Bool { pid != nil }
    var log: String { (try? String(contentsOfFile: directory.path("server.log"), encoding: .utf8)) ?? "" }

    func stop() async {
        await child.withLock { $0 }?.stop(within: .seconds(20))
    }

    /// Ends it at once, with everything it has on the disk.
    func end() {
        child.withLock { $0 }?.killNow()
        for place in belongings.withLock({ $0 }) + [directory] { place.remove() }
    }

    /// From now on a directory beside its own goes with it.
    func own(_ place: TemporaryDirectory) {
        belongings.withLock { $0.append(place) }
    }

    func kill(_ signal: Int32) async throws {
        guard let child = child.withLock({ $0 }), child.signal(signal) else {
            throw HarnessError("\(script) does not run")
        }
        if signal == SIGKILL { _ = try await child.wait() }
    }

    func suspend() throws { try signal(SIGSTOP) }

    func resume() throws { try signal(SIGCONT) }

    func restart() async throws {
        await stop()
        try await launch()
    }

    private func signal(_ signal: Int32) throws {
        guard let child = child.withLock({ $0 }), child.signal(signal) else {
            throw HarnessError("\(script) does not run")
        }
    }

    private func launch() async throws {
        let started = try ChildProcess(
            ProjectRoot.path("scripts/servers/" + script),
            [directory.path, String(port)] + arguments,
            environment: environment,
            output: directory.path("server.log")
        )
        child.withLock { $0 = started }
        let deadline = ContinuousClock.now + .seconds(60)
        var last: any Error = HarnessError("not asked yet")
        while ContinuousClock.now < deadline {
            guard started.isRunning else {
                throw HarnessError("\(script) ended while starting on port \(port):\n\(log.suffix(2_000))")
            }
            do {
                try await blocking { [ready, port] in try ready(port) }
                return
            } catch {
                last = error
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw HarnessError("\(script) does not answer on port \(port): \(last)\n\(log.suffix(2_000))")
    }
}
