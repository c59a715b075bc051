// RunServicesTests: services end in reverse order by signal, with the error of the one that failed, and in time.

import Glibc
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import Service

/// What happened, in order, from any task.
private final class Journal: Sendable {
    private let entries = Mutex<[String]>([])
    func note(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }
}

/// Runs until the graceful shutdown, noting its start and end.
private struct Recording: ServiceLifecycle.Service {
    var name: String
    var journal: Journal
    var onStart: @Sendable () async throws -> Void = {}

    func run() async throws {
        journal.note("\(name) runs")
        try await onStart()
        try await gracefulShutdown()
        journal.note("\(name) ended")
    }
}

/// Does not hear the graceful shutdown; ends when it is cancelled.
private struct Deaf: Service {
    var journal: Journal

    func run() async throws {
        do {
            try await Task.sleep(for: .seconds(600))
        } catch {
            journal.note("cancelled")
        }
    }
}

private struct Failure: Error {}

/// One at a time, since signals reach the whole process.
@Suite(.serialized)
struct RunServicesTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test(.timeLimit(.minutes(1)), arguments: [SIGTERM, SIGINT])
    func signalEndsServicesInReverse(number: Int32) async throws {
        let journal = Journal()
        let (started, start) = AsyncStream<Void>.makeStream()
        let first = Recording(name: "first", journal: journal) { start.finish() }
        let second = Recording(name: "second", journal: journal) {
            for await _ in started {}
            kill(getpid(), number)
        }
        try await runServices(name: "test", services: [first, second], logger: logger)
        #expect(Set(journal.all.prefix(2)) == ["first runs", "second runs"])
        #expect(journal.all.dropFirst(2) == ["second ended", "first ended"])
    }

    @Test(.timeLimit(.minutes(1)))
    func failureEndsTheOthersGracefully() async throws {
        let journal = Journal()
        let first = Recording(name: "first", journal: journal)
        let second = Recording(name: "second", journal: journal) { throw Failure() }
        await #expect(throws: Failure.self) {
            try await runServices(name: "test", services: [first, second], logger: logger)
        }
        #expect(journal.all.contains("first ended"))
        #expect(!journal.all.contains("second ended"))
    }

    @Test(.timeLimit(.minutes(1)))
    func shutdownIsBounded() async throws {
        let journal = Journal()
        let trigger = Recording(name: "trigger", journal: journal) { kill(getpid(), SIGTERM) }
        try? await runServices(
            name: "test",
            services: [Deaf(journal: journal), trigger],
            logger: logger,
            gracefulDuration: .seconds(1)
        )
        #expect(journal.all == ["trigger runs", "trigger ended", "cancelled"])
    }

    @Test(.timeLimit(.minutes(1)))
    func brokenPipeIsNoDeath() async throws {
        signal(SIGPIPE, SIG_DFL)
        let failing = Recording(name: "x", journal: Journal()) { throw Failure() }
        await #expect(throws: Failure.self) {
            try await runServices(name: "test", services: [failing], logger: logger)
        }
        var descriptors: [Int32] = [0, 0]
        try #require(pipe(&descriptors) == 0)
        close(descriptors[0])
        defer { close(descriptors[1]) }
        // Would end the test run, were the signal not ignored.
        LogOutput(descriptor: descriptors[1]).write(Array("x\n".utf8))
        #expect(write(descriptors[1], "x", 1) == -1)
        #expect(errno == EPIPE)
    }

    @Test func version() {
        #expect(BuildInformation.version.split(separator: ".").compactMap { Int($0) }.count == 3)
    }
}
