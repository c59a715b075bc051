// ferry token add: makes a token, prints it once, and appends its hash to the tokens file.

internal import ArgumentParser
internal import Core
internal import Foundation
internal import Glibc
internal import Service

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Manages access tokens.",
        subcommands: [TokenAddCommand.self]
    )
}

struct TokenAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Makes a token, prints it once, and appends its SHA-256 to the tokens file."
    )

    @Option(help: "Whose token it is.")
    var owner: String

    @Option(help: "What it may do: uploader, operator, or both with a comma.")
    var role = "uploader"

    @Option(help: "When it ends (RFC 3339); never where it is not given.")
    var expires: String?

    @Option(help: "The tokens file; the configuration's where it is not given.")
    var file: String?

    @Option(help: "The configuration file; FERRY_CONFIG where it is not given.")
    var config: String?

    func run() async throws {
        guard Owner(owner) != nil else {
            throw CommandFailure(.usage, "an owner is 1 to 128 visible ASCII characters")
        }
        let roles = role.split(separator: ",", omittingEmptySubsequences: false)
        guard roles.allSatisfy({ Role(rawValue: String($0)) != nil }) else {
            throw CommandFailure(.usage, "a role is uploader or operator, not '\(role)'")
        }
        if let expires, (try? Date(expires, strategy: .iso8601)) == nil {
            throw CommandFailure(.usage, "--expires must be like 2027-01-31T00:00:00Z")
        }
        var generator = SystemRandomNumberGenerator()
        let token = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            .map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let digest = try FileDigest.of(token)
        let path: String
        if let file { path = file } else { path = try loadConfiguration(config).auth.tokensFile }
        try append("\(digest.hex) \(owner) \(role)\(expires.map { " \($0)" } ?? "")\n", to: path)
        print(token)
    }

    /// One write, so that two tokens added at once do not mix their lines; readable by its owner alone.
    private func append(_ line: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CommandFailure(.failed, "\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        let bytes = Array(line.utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            throw CommandFailure(.failed, "\(path): \(String(cString: strerror(errno)))")
        }
    }
}
