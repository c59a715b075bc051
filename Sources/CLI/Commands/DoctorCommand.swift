// ferry doctor: is everything there that Ferry needs, and if not, what is wrong, in words.

internal import ArgumentParser
internal import Foundation
internal import Service

/// One thing that was looked at.
struct Finding: Codable, Equatable {
    /// What was looked at.
    var subject: String
    /// Whether it is as it must be.
    var ok: Bool
    /// What was found.
    var detail: String
}

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Checks configuration, staging, Redis, RabbitMQ and every target."
    )

    @Option(help: "The configuration file; FERRY_CONFIG where it is not given.")
    var config: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Read all of staging into the index first, whatever condition the index is in.")
    var rebuild = false

    func run() async throws {
        var findings: [Finding] = []
        do {
            let configuration = try loadConfiguration(config)
            if rebuild { findings.append(await rebuildIndex(configuration)) }
            findings += try await examine(configuration)
        } catch let failure as CommandFailure {
            findings = [Finding(subject: "configuration", ok: false, detail: failure.message)]
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(findings), as: UTF8.self))
        } else {
            for finding in findings {
                print("\(finding.ok ? "ok    " : "WRONG ") \(finding.subject): \(Terminal.plain(finding.detail))")
            }
        }
        guard findings.allSatisfy(\.ok) else {
            throw CommandFailure(.failed, "\(findings.count { !$0.ok }) of \(findings.count) checks failed")
        }
    }
}

/// Reads the configuration that an option or FERRY_CONFIG names.
func loadConfiguration(_ option: String?) throws -> FerryConfiguration {
    let environment = ProcessInfo.processInfo.environment
    guard let path = option ?? environment["FERRY_CONFIG"], !path.isEmpty else {
        throw CommandFailure(.usage, "no configuration: give --config FILE or set FERRY_CONFIG")
    }
    do {
        return try FerryConfiguration.load(path: path, environment: environment)
    } catch {
        throw CommandFailure(.usage, words(for: error))
    }
}
