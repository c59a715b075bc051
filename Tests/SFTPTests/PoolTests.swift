// The pool against a real sshd.

import Harness
import NIOCore
import Synchronization
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct PoolTests {
        private func pool(
            _ server: SSHServer,
            sessions: Int = 2,
            port: Int? = nil,
            _ change: (inout PoolLimits) -> Void = { _ in }
        ) -> SFTPPool {
            var configuration = server.configuration
            if let port { configuration.port = port }
            var limits = PoolLimits(sessions: sessions)
            limits.backoff = .milliseconds(1)
            change(&limits)
            return SFTPPool(
                configuration: configuration,
                limits: limits,
                breaker: CircuitBreaker(threshold: 5, pause: .milliseconds(500)),
                logger: quiet
            )
        }

        @Test func callersShareAFewSessions() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let pool = pool(server, sessions: 3, port: proxy.port)
            #expect(proxy.acceptedConnections == 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await pool.withSession { session in
                            for _ in 0..<5 { _ = try await session.stat("/") }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect((1...3).contains(proxy.acceptedConnections))
            await pool.shutdown()
            #expect(pool.liveSessions == 0)
            #expect(await failure { try await pool.withSession { _ in } } == .closed)
            try await eventually("connections are closed") { proxy.openConnections == 0 }
        }

        @Test func aLostSessionIsReplaced() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let pool = pool(server, sessions: 1, port: proxy.port)
            _ = try await pool.withSession { try await $0.stat("/") }
            try proxy.cut()
            // The loss is noticed by the session's own thread, or by the next request.
            try await eventually("a new session serves") {
                do {
                    return try await pool.withSession { try await $0.stat("/").isDirectory }
                } catch let error as SFTPError where error.isConnectionLoss {
                    return false
                }
            }
            #expect(proxy.acceptedConnections == 2)
            await pool.shutdown()
        }

        @Test func fiveFailuresOpenTheBreakerAndATrialClosesIt() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            try proxy.refuse()
            let pool = pool(server, port: proxy.port)
            for _ in 0..<5 {
                let error = await failure { try await pool.withSession { _ in } }
                guard case .connectFailed = error else { Issue.record("\(String(describing: error))"); return }
            }
            guard case .open = pool.breakerState else { Issue.record("\(pool.breakerState)"); return }
            let error = await failure { try await pool.withSession { _ in } }
            guard case .breakerOpen(let retryAfter, let cause) = error else {
                Issue.record("\(String(describing: error))"); return
            }
            #expect(retryAfter <= .milliseconds(500))
            #expect(cause.contains("\(proxy.port)"))
            try proxy.accept()
            try await eventually("the trial succeeds") {
                await failure { try await pool.withSession { _ = try await $0.stat("/") } } == nil
            }
            #expect(pool.breakerState == .closed)
            await pool.shutdown()
        }

        /// Nobody is refused from memory: who comes later waits for the next try, and shares its answer.
        @Test func aRefusedLoginIsTriedAgainAfterAWhileForAllWhoWait() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            var configuration = server.configuration
            configuration.port = proxy.port
            configuration.hostKeys = ["SHA256:other"]
            var limits = PoolLimits(sessions: 4)
            limits.refusalMemory = .seconds(1)
            let pool = SFTPPool(configuration: configuration, limits: limits, logger: quiet)
            let mismatch = SFTPError.hostKeyMismatch(expected: ["SHA256:other"], found: server.hostKeyFingerprint)
            #expect(await failure { try await pool.withSession { _ in } } == mismatch)
            #expect(proxy.acceptedConnections == 1)
            let begun = ContinuousClock.now
            await withTaskGroup(of: SFTPError?.self) { group in
                for _ in 0..<10 { group.addTask { await failure { try await pool.withSession { _ in } } } }
                for await error in group { #expect(error == mismatch) }
            }
            #expect(ContinuousClock.now - begun > .milliseconds(800))
            #expect(proxy.acceptedConnections == 2)
            #expect(pool.breakerState == .closed)
            await pool.shutdown()
        }

        @Test func wornSessionsAreReplaced() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            let pool = pool(server, sessions: 1, port: proxy.port) { $0.recycleAfterBytes = 100_000 }
            let path = server.fresh()
            for _ in 0..<3 {
                try await pool.withSession { session in
                    let file = try await session.open(path, [.write, .create])
                    try await file.write(ByteBuffer(repeating: 1, count: 150_000), at: 0)
                    try await file.close()
                }
            }
            #expect(proxy.acceptedConnections == 3)
            try await eventually("worn sessions are closed") { proxy.openConnections == 0 }
            await pool.shutdown()
        }

        @Test func idleSessionsAreClosed() async throws {
            let server = try await SharedServers.ssh()
            let pool = pool(server) { $0.idleTime = .milliseconds(200) }
            _ = try await pool.withSession { try await $0.stat("/") }
            #expect(pool.liveSessions == 1)
            try await eventually("it is closed") { pool.liveSessions == 0 }
            // And opened again when needed.
            _ = try await pool.withSession { try await $0.stat("/") }
            await pool.shutdown()
        }

        @Test func waitingForASessionEndsOnCancellationAndShutdown() async throws {
            let server = try await SharedServers.ssh()
            let proxy = try FaultProxy(to: server.port)
            defer { proxy.stop() }
            try proxy.pause()
            let pool = pool(server, port: proxy.port)
            let first = Task { await failure { try await pool.withSession { _ in } } }
            let second = Task { await failure { try await pool.withSession { _ in } } }
            try await eventually("connections are tried") { proxy.openConnections > 0 }
            first.cancel()
            #expect(await first.value == .cancelled)
            await pool.shutdown()
            #expect(await second.value == .closed)
        }
    }
}

/// A number shared by tasks.
final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
}
