// ferry-api: the program.

import ArgumentParser
import Foundation
import Glibc
import NIOCore
import Service

@main
struct FerryAPI: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ferry-api",
        abstract: "Takes files in parts over HTTP, keeps them in staging, and hands them to the workers.",
        version: BuildInformation.version
    )

    @Option(help: "The configuration file; FERRY_CONFIG where it is not given.")
    var config: String?

    @Option(help: "The process's name among all; host and process where it is not given.")
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
            try await runAPI(configuration, name: name ?? "\(process.hostName)-\(process.processIdentifier)")
        } catch let error as ConfigurationError {
            try refuse("\(error)")
        } catch let error as StartRefused {
            try refuse("\(error)")
        } catch let error as TokensFile.Unreadable {
            try refuse("\(error)")
        } catch let error as IOError {
            // Everything else that needs a socket tries again by itself.
            try refuse("cannot listen: \(String(cString: strerror(error.errnoCode)))")
        }
    }

    private func refuse(_ reason: String) throws {
        FileHandle.standardError.write(Data("ferry-api: \(reason)\n".utf8))
        throw ExitCode(2)
    }
}
