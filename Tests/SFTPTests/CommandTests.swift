// Commands that talk in lines, against a real sshd.

import Harness
import Testing

@testable import SFTP

extension WithServer {
    @Suite struct CommandTests {
        private let echo = "while read -r line; do echo \"<$line>\"; done"

        @Test func linesGoInAndComeOut() async throws {
            let server = try await SharedServers.ssh()
            let command = try await SSHCommand.start(echo, server.configuration, logger: quiet)
            try command.write("one")
            #expect(try await command.readLine(within: .seconds(10)) == "<one>")
            for index in 0..<500 { try command.write("line \(index)") }
            for index in 0..<500 { #expect(try await command.readLine(within: .seconds(10)) == "<line \(index)>") }
            #expect(await failure { try command.write("a\nb") } != nil)
            await command.close()
            #expect(!command.isAlive)
            #expect(await failure { _ = try await command.readLine(within: .seconds(1)) } == .closed)
        }

        @Test func aForcedCommandIsARefusal() async throws {
            let server = try await SSHServer.start(configuration: ["ForceCommand internal-sftp"])
            let error = await failure {
                _ = try await SSHCommand.start(
                    "echo ready; cat",
                    greeting: "ready",
                    server.configuration,
                    logger: quiet
                )
            }
            guard case .execRefused = error else { Issue.record("\(String(describing: error))"); return }
        }

        @Test func aServerWithoutAShellIsARefusal() async throws {
            let server = try await SSHServer.start(configuration: ["ForceCommand /bin/false"])
            let error = await failure {
                let command = try await SSHCommand.start(echo, server.configuration, logger: quiet)
                _ = try await command.readLine(within: .seconds(10))
            }
            guard case .execRefused = error else { Issue.record("\(String(describing: error))"); return }
        }

        @Test func aGreetingIsAwaited() async throws {
            let server = try await SharedServers.ssh()
            let command = try await SSHCommand.start(
                "echo ready; \(echo)",
                greeting: "ready",
                server.configuration,
                logger: quiet
            )
            try command.write("x")
            #expect(try await command.readLine(within: .seconds(10)) == "<x>")
            await command.close()
        }

        @Test func theErrorStreamIsPartOfTheReason() async throws {
            let server = try await SharedServers.ssh()
            let command = try await SSHCommand.start("echo broken >&2; exit 3", server.configuration, logger: quiet)
            let error = await failure { _ = try await command.readLine(within: .seconds(10)) }
            #expect("\(try #require(error))".contains("status 3: broken"))
        }

        @Test func silenceAndEndlessLinesHaveAnEnd() async throws {
            let server = try await SharedServers.ssh()
            let silent = try await SSHCommand.start("cat >/dev/null", server.configuration, logger: quiet)
            let late = await failure { _ = try await silent.readLine(within: .milliseconds(200)) }
            #expect(late == .timedOut(operation: "wait for a line of a command"))
            #expect(!silent.isAlive)
            let endless = try await SSHCommand.start("tr '\\0' x </dev/zero", server.configuration, logger: quiet)
            let tooLong = await failure { _ = try await endless.readLine(within: .seconds(10)) }
            guard case .limitExceeded = tooLong else { Issue.record("\(String(describing: tooLong))"); return }
        }

        @Test func aReaderIsCancelled() async throws {
            let server = try await SharedServers.ssh()
            let command = try await SSHCommand.start("cat >/dev/null", server.configuration, logger: quiet)
            let task = Task { try await command.readLine(within: .seconds(60)) }
            task.cancel()
            #expect(await failure { _ = try await task.value } == .cancelled)
        }
    }
}
