// The helper that takes digests on the target: many questions, lost sessions, refusals, cancellation.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import SFTP
import Testing

extension OnTargets {
    @Suite struct DigestHelperTests {
        private let bytes = Bytes.seeded(1, count: 300_000)

        /// What digests are taken with.
        enum Means: CaseIterable {
            case python, openssl, sha256sum

            /// What the account may run; nil for everything.
            var commands: [String]? {
                switch self {
                case .python: nil
                case .openssl: SFTPServerKind.posixCommands + ["openssl"]
                case .sha256sum: SFTPServerKind.posixCommands
                }
            }

            /// The processes that are at it.
            var processes: Set<String> {
                switch self {
                case .python: ["python3"]
                case .openssl: ["tail", "head", "openssl"]
                case .sha256sum: ["tail", "head", "sha256sum"]
                }
            }
        }

        /// A helper for a server of its own, and a file on it.
        private func withHelper(
            _ configuration: [String] = [],
            _ means: Means = .python,
            _ body: (SSHServer, DigestHelper, String) async throws -> Void
        ) async throws {
            let server = try await SSHServer.start(commands: means.commands ?? [], configuration: configuration)
            let path = server.root + "/it's a $(file)"
            try Data(bytes.array).write(to: URL(fileURLWithPath: path))
            var account = server.account
            account.connectTimeout = .seconds(4)
            let helper = DigestHelper(configuration: account, logger: silent)
            do {
                try await body(server, helper, path)
                await helper.shutdown()
            } catch {
                await helper.shutdown()
                throw error
            }
        }

        private func slice(_ offset: Int, _ size: Int) -> SHA256Digest {
            digest(Bytes(bytes.array.dropFirst(offset).prefix(size)))
        }

        @Test(arguments: Means.allCases) func questionsAskedAtOnceAreAnsweredEachForItself(means: Means) async throws {
            try await withHelper([], means) { server, helper, path async throws in
                #expect(await helper.isAvailable)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for index in 0..<40 {
                        let (offset, size) = (index * 7_001, index * 613)
                        let expected = slice(offset, size)
                        group.addTask {
                            let found = try await helper.digest(of: path, offset: Int64(offset), size: Int64(size))
                            #expect(found == expected)
                        }
                    }
                    try await group.waitForAll()
                }
                // One command served them all.
                #expect(server.log.components(separatedBy: "Starting session: command").count == 2)
            }
        }

        @Test(arguments: Means.allCases) func rangesBeyondTheEndAreShort(means: Means) async throws {
            try await withHelper([], means) { _, helper, path async throws in
                #expect(try await helper.digest(of: path, offset: 0, size: 1 << 40) == digest(bytes))
                #expect(try await helper.digest(of: path, offset: 299_999, size: 10) == slice(299_999, 1))
                #expect(try await helper.digest(of: path, offset: 1 << 40, size: 10) == digest(Bytes([])))
            }
        }

        @Test(arguments: Means.allCases) func whatIsNoFileHasNoDigest(means: Means) async throws {
            try await withHelper([], means) { server, helper, path async throws in
                #expect(try await helper.digest(of: server.root + "/none", offset: 0, size: 1) == nil)
                try FileManager.default.createSymbolicLink(atPath: path + "-link", withDestinationPath: path)
                for odd in [server.root, path + "-link", path + "\nother"] {
                    let error = await failure { _ = try await helper.digest(of: odd, offset: 0, size: 1) }
                    #expect(error?.kind == .pathRefused)
                }
                #expect(try await helper.digest(of: path, offset: 0, size: 10) == slice(0, 10))
            }
        }

        @Test func aHelperKilledBetweenQuestionsIsStartedAgain() async throws {
            try await withHelper { server, helper, path async throws in
                for size: Int64 in 1...3 {
                    #expect(try await helper.digest(of: path, offset: 0, size: size) == slice(0, Int(size)))
                    #expect(!server.sessions.isEmpty)
                    server.killSessions()
                }
                #expect(await helper.isAvailable)
            }
        }

        @Test func aServerThatIsAwayIsNoRefusal() async throws {
            try await withHelper { server, helper, path async throws in
                #expect(await helper.isAvailable)
                await server.stop()
                let error = await failure { _ = try await helper.digest(of: path, offset: 0, size: 10) }
                #expect(error?.kind == .unreachable || error?.kind == .interrupted)
                #expect(await !helper.isAvailable)
                try await server.restart()
                #expect(try await helper.digest(of: path, offset: 0, size: 10) == slice(0, 10))
            }
        }

        @Test(arguments: ["internal-sftp", "/bin/false", "echo something else", "cat"])
        func aServerThatRunsNoCommandsIsAskedOnce(command: String) async throws {
            try await withHelper(["ForceCommand \(command)"]) { server, helper, path async throws in
                for _ in 0..<3 { #expect(await !helper.isAvailable) }
                let error = await failure { _ = try await helper.digest(of: path, offset: 0, size: 10) }
                #expect(error?.kind == .unsupported, "\(String(describing: error))")
                #expect(server.log.components(separatedBy: "Starting session").count == 2)
            }
        }

        @Test(arguments: Means.allCases) func aCancelledQuestionPoisonsNoOther(means: Means) async throws {
            try await withHelper([], means) { server, helper, path async throws in
                let large = server.root + "/large"
                // Sparse: takes the target a while to hash, and no room.
                #expect(FileManager.default.createFile(atPath: large, contents: nil))
                let handle = try #require(FileHandle(forWritingAtPath: large))
                try handle.truncate(atOffset: 200 << 30)
                try handle.close()
                #expect(await helper.isAvailable)
                // What hashes outlives its connection; here it ends with the test.
                var hashing: [Int32] = []
                var names: Set<String> = []
                defer { for pid in hashing { kill(pid, SIGKILL) } }
                let slow = Task { try await helper.digest(of: large, offset: 0, size: 200 << 30) }
                try await eventually("the target hashes") {
                    names = []
                    hashing = server.sessions.filter { pid in
                        let name = try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8)
                        guard let name = means.processes.first(where: { name?.hasPrefix($0) == true }) else {
                            return false
                        }
                        names.insert(name)
                        return true
                    }
                    // Python is there before it is asked.
                    let isOpen = hashing.contains { pid in
                        let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")
                        return files?.contains { descriptor in
                            let link = "/proc/\(pid)/fd/\(descriptor)"
                            return (try? FileManager.default.destinationOfSymbolicLink(atPath: link)) == large
                        } == true
                    }
                    return names == means.processes && isOpen
                }
                // Two wait: one gives up while it waits, one is served as soon as the slow one is given up.
                let queued = Task { try await helper.digest(of: path, offset: 0, size: 10) }
                let waiting = Task { try await helper.digest(of: path, offset: 1, size: 10) }
                queued.cancel()
                #expect(await failure { _ = try await queued.value }?.kind == .cancelled)
                slow.cancel()
                #expect(await failure { _ = try await slow.value }?.kind == .cancelled)
                #expect(try await waiting.value == slice(1, 10))
                #expect(try await helper.digest(of: path, offset: 2, size: 10) == slice(2, 10))
            }
        }

        /// Dropbear took commands of up to 1,024 bytes for long, and some shells words of no more.
        @Test func theCommandIsShort() async throws {
            let place = try TemporaryDirectory("command")
            let log = place.path("length")
            let command = #"printf %s "$SSH_ORIGINAL_COMMAND" | wc -c >\#(log); eval "$SSH_ORIGINAL_COMMAND""#
            try await withHelper(["ForceCommand \(command)"]) { _, helper, path async throws in
                #expect(try await helper.digest(of: path, offset: 0, size: 10) == slice(0, 10))
            }
            let text = try String(contentsOfFile: log, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try #require(Int(text)) < 1_000)
        }

        @Test func afterShutdownNothingIsStarted() async throws {
            try await withHelper { server, helper, path async throws in
                #expect(await helper.isAvailable)
                await helper.shutdown()
                #expect(await !helper.isAvailable)
                #expect(
                    await failure { _ = try await helper.digest(of: path, offset: 0, size: 1) }?.kind == .interrupted
                )
                try await eventually("the helper has ended") { server.sessions.isEmpty }
            }
        }
    }
}
