// ferry-worker: the program.

internal import ArgumentParser
internal import Foundation
internal import Service

@main
struct FerryWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ferry-worker",
        abstract: "Ships staged parts to their targets over SFTP and commits the finished files.",
        version: BuildInformation.version
    )

    @Option(help: "The configuration file; FERRY_CONFIG where it is not given.")
    var config: String?

    @Option(help: "The worker's name, unique in the fleet; host and process where it is not given.")
    var name: String?

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        do {
            guard let path = config ?? environment["FERRY_CONFIG"] else {
                throw ValidationError("no configuration: give --config FILE or set FERRY_CONFIG")
            }
            let configuration = try FerryConfiguration.load(path: path, environment: environment)
            try Logs.bootstrap(environment: environment)
            let process = ProcessInfo.processInfo
            let name = name ?? "\(process.hostName)-\(process.processIdentifier)"
            try await runWorker(configuration, name: name)
        } catch let error as ConfigurationError {
            FileHandle.standardError.write(Data("ferry-worker: \(error)\n".utf8))
            throw ExitCode(2)
        }
    }
}
