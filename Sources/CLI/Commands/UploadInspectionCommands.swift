// ferry status, watch, list and cancel: looking at uploads, and giving one up.

internal import ArgumentParser
internal import Foundation

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "Shows one upload.")

    @OptionGroup var options: ClientOptions
    @Argument(help: "The upload's identifier.")
    var id: String
    @Flag(help: "Show what happened to it, and by whose doing.")
    var history = false

    func run() async throws {
        try await options.withClient { client in
            let id = try checkedID(id)
            if history {
                let body = try await client.raw("GET", "/v1/uploads/\(id)/history").body
                if options.json { return options.show(body) }
                for entry in try JSONDecoder().decode(HistoryView.self, from: body).history { print(entry.line) }
                return
            }
            if options.json { return options.show(try await client.raw("GET", "/v1/uploads/\(id)").body) }
            print(try await client.upload(id).summary)
        }
    }
}

struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Follows an upload until it ends, or all of one's uploads until interrupted."
    )

    @OptionGroup var options: ClientOptions
    @Argument(help: "The upload's identifier; all uploads where it is not given.")
    var id: String?

    func run() async throws {
        // The API may be restarted under its eyes.
        try await options.withClient(insists: true) { client in
            let id = try id.map(checkedID)
            while true {
                try await client.events(of: id) { event, data in
                    print(options.json ? data : event.line)
                    fflush(nil)
                    return true
                }
                // The stream of one upload ends with it; any other end is the connection's.
                if let id {
                    let upload = try await client.upload(id)
                    if upload.isEnded { return }
                }
                try await Task.sleep(for: .seconds(1))
            }
        }
    }
}

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists uploads, newest first.")

    @OptionGroup var options: ClientOptions
    @Option(help: "Only in this state.")
    var state: String?
    @Option(help: "Only to this target.")
    var target: String?
    @Option(help: "At most so many.")
    var limit = 50

    func validate() throws {
        guard (1...100_000).contains(limit) else { throw ValidationError("--limit must be 1 to 100,000") }
    }

    func run() async throws {
        let query = [("state", state), ("target", target)]
        try await options.showPages(of: UploadPageView.self, at: "/v1/uploads", query, limit: limit)
    }
}

struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel",
        abstract: "Gives an upload up; what it left is cleaned away."
    )

    @OptionGroup var options: ClientOptions
    @Argument(help: "The upload's identifier.")
    var id: String

    func run() async throws {
        try await options.withClient { client in
            let body = try await client.raw("DELETE", "/v1/uploads/\(try checkedID(id))").body
            if options.json { options.show(body) } else { print("cancelled: upload \(id)") }
        }
    }
}

extension UploadPageView: PageView {
    var lines: [String] { uploads.map(\.line) }
}

extension UploadView {
    /// One line of a list.
    var line: String {
        let share = size.map { $0 > 0 ? "\(receivedBytes * 100 / $0)%/\(shippedBytes * 100 / $0)%" : "-" } ?? "-"
        let name = Terminal.plain("\(target):\(path)")
        return "\(id)  \(state)  \(share)  \(size.map(Units.bytes) ?? "?")  \(name)"
    }

    /// All that a person wants to know.
    var summary: String {
        var lines = [
            "upload     \(id)",
            "goes to    \(Terminal.plain("\(target):\(path)"))",
            "state      \(state)",
            "size       \(size.map(Units.bytes) ?? "not known yet")",
            "received   \(Units.bytes(receivedBytes))\(receivedParts.map { "  parts \($0)" } ?? "")",
            "shipped    \(Units.bytes(shippedBytes))\(shippedParts.map { "  parts \($0)" } ?? "")",
            "created    \(createdAt)",
            "changed    \(updatedAt)",
        ]
        if let mode { lines.append("mode       \(mode)") }
        if let modifiedAt { lines.append("modified   \(modifiedAt)") }
        if let merge { lines.append("built      \(merge)") }
        if let verification { lines.append("verified   by \(verification)") }
        if attempts > 0 { lines.append("retries    \(attempts)") }
        if let error { lines.append("error      \(Terminal.plain("\(error.reason): \(error.detail)"))") }
        return lines.joined(separator: "\n")
    }
}

extension EventView {
    /// One line of a log.
    var line: String {
        let error = error.map { "  \($0.reason): \($0.detail)" } ?? ""
        return Terminal.plain(
            "\(at)  \(type)  \(state)  received \(receivedBytes)  shipped \(shippedBytes)  \(target):\(path)\(error)"
        )
    }
}
