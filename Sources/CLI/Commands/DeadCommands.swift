// ferry dead: looking at uploads that wait for somebody, sending them on their way, giving them up.

internal import ArgumentParser
internal import Foundation

struct DeadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead",
        abstract: "Dead letters: uploads that do not go on by themselves (role operator).",
        subcommands: [List.self, Show.self, Replay.self, Discard.self]
    )

    /// Which dead letters.
    struct Filter: ParsableArguments {
        @Option(help: "Only to this target.")
        var target: String?
        @Option(help: "Only with this reason, such as disk-full.")
        var reason: String?
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "Lists dead letters, the latest first."
        )

        @OptionGroup var options: ClientOptions
        @OptionGroup var filter: Filter
        @Option(help: "At most so many.")
        var limit = 50

        func validate() throws {
            guard (1...100_000).contains(limit) else { throw ValidationError("--limit must be 1 to 100,000") }
        }

        func run() async throws {
            let query = [("target", filter.target), ("reason", filter.reason)]
            try await options.showPages(of: DeadLetterPageView.self, at: "/v1/dead-letters", query, limit: limit)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Shows one dead letter and what led to it."
        )

        @OptionGroup var options: ClientOptions
        @Argument(help: "The upload's identifier.")
        var id: String

        func run() async throws {
            try await options.withClient { client in
                let body = try await client.raw("GET", "/v1/dead-letters/\(try checkedID(id))").body
                if options.json { return options.show(body) }
                print(try JSONDecoder().decode(DeadLetterView.self, from: body).summary)
            }
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay",
            abstract: "Sends dead letters on their way again; nothing is sent again by a client.",
            discussion: "Either identifiers, or --all with what narrows it down. Asked twice, it happens once."
        )

        @OptionGroup var options: ClientOptions
        @OptionGroup var filter: Filter
        @Argument(help: "Identifiers of uploads.")
        var ids: [String] = []
        @Flag(help: "All that --target and --reason leave.")
        var all = false
        @Option(help: "At most so many of all.")
        var limit: Int?
        @Option(help: "How many of all begin a second.")
        var rate: Double?
        @Flag(help: "Only count.")
        var dryRun = false

        func validate() throws {
            guard all != !ids.isEmpty else { throw ValidationError("give identifiers, or --all") }
            let narrows = filter.target != nil || filter.reason != nil || limit != nil || rate != nil || dryRun
            guard all || !narrows else {
                throw ValidationError("--target, --reason, --limit, --rate and --dry-run go with --all")
            }
        }

        func run() async throws {
            try await options.withClient { client in
                guard all else { return try await replayEach(client) }
                let body = ReplayBody(
                    target: filter.target,
                    reason: filter.reason,
                    limit: limit,
                    ratePerSecond: rate,
                    dryRun: dryRun ? true : nil
                )
                let answer = try await client.post("/v1/dead-letters/replay", body)
                let summary = try JSONDecoder().decode(ReplaySummaryView.self, from: answer)
                if options.json { options.show(answer) } else { print(summary.summary) }
                // A script at 3 am has to see that some were left behind.
                let stay = summary.skipped.values.reduce(0, +)
                if stay > 0 { throw CommandFailure(.failed, "\(stay) of \(summary.matched) dead letters stay") }
            }
        }

        private func replayEach(_ client: FerryClient) async throws {
            for id in try ids.map(checkedID) {
                let answer = try await client.raw("POST", "/v1/dead-letters/\(id)/replay").body
                if options.json {
                    options.show(answer)
                } else {
                    print(try JSONDecoder().decode(UploadView.self, from: answer).line)
                }
            }
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "discard",
            abstract: "Gives dead letters up: cancels their uploads, and clears what they left."
        )

        @OptionGroup var options: ClientOptions
        @Argument(help: "Identifiers of uploads.")
        var ids: [String]

        func run() async throws {
            try await options.withClient { client in
                for id in try ids.map(checkedID) {
                    let body = try await client.raw("DELETE", "/v1/dead-letters/\(id)").body
                    if options.json { options.show(body) } else { print("cancelled: upload \(id)") }
                }
            }
        }
    }
}

/// What is asked for when many are replayed.
private struct ReplayBody: Encodable {
    var target: String?
    var reason: String?
    var limit: Int?
    var ratePerSecond: Double?
    var dryRun: Bool?
}
