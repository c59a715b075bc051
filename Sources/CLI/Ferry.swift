// ferry: the command line. One file a command; what they share is in Client and Output.

internal import ArgumentParser
internal import Glibc
internal import Service

@main
struct Ferry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ferry",
        abstract: "Takes large files to target machines, whole and verified.",
        discussion: """
            Clients set FERRY_URL and FERRY_TOKEN; what works on the servers themselves reads FERRY_CONFIG.
            Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unavailable, 130 interrupted.
            """,
        version: BuildInformation.version,
        subcommands: [
            UploadCommand.self, StatusCommand.self, WatchCommand.self, ListCommand.self, CancelCommand.self,
            DeadCommand.self, TargetsCommand.self, DoctorCommand.self, TokenCommand.self,
        ]
    )

    /// Parses, runs, and ends with the contract's exit codes; the parser's own are others.
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            Terminal.complain(failure.message)
            Glibc.exit(failure.code.rawValue)
        } catch {
            let code = exitCode(for: error)
            if code.isSuccess {
                print(message(for: error))
                Glibc.exit(0)
            }
            Terminal.complain(fullMessage(for: error), prefix: "")
            Glibc.exit(CommandFailure.Code.usage.rawValue)
        }
    }
}
