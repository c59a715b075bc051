// ferry targets: what the workers know of the targets, or, with --probe, what a look from here finds.

internal import ArgumentParser
internal import Foundation

struct TargetsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "targets",
        abstract: "Lists targets: reachable or not, what they can do and how they are used.",
        discussion: "With --probe each target of the configuration (FERRY_CONFIG) is connected to from here."
    )

    @OptionGroup var options: ClientOptions

    @Flag(help: "Connect to each configured target from this machine.")
    var probe = false

    @Option(help: "The configuration file for --probe; FERRY_CONFIG where it is not given.")
    var config: String?

    func run() async throws {
        if probe {
            let report = try await probeTargets(try loadConfiguration(config))
            try show(report)
            guard report.targets.allSatisfy({ $0.reachable == true }) else {
                throw CommandFailure(.unavailable, "not every target can be used")
            }
            return
        }
        try await options.withClient { client in
            try show(JSONDecoder().decode(TargetsView.self, from: try await client.raw("GET", "/v1/targets").body))
        }
    }

    private func show(_ report: TargetsView) throws {
        if options.json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return options.show(try encoder.encode(report))
        }
        for target in report.targets {
            let state = target.reachable.map { $0 ? "reachable" : "NOT USABLE" } ?? "not looked at yet"
            print("\(target.id): \(state)")
            if let breaker = target.breaker, breaker != "closed" {
                print("  breaker: \(Terminal.plain(breaker)); its jobs wait and spend no attempts")
            }
            if let sessions = target.sessions { print("  sessions: \(sessions)") }
            if let error = target.error { print("  error: \(Terminal.plain(error))") }
            for (name, value) in target.facts.sorted(by: { $0.key < $1.key }) {
                print("  \(name): \(Terminal.plain(value))")
            }
        }
    }
}
