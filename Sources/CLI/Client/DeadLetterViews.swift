// Dead letters and histories as the API answers them, and as a person reads them.

internal import Foundation

/// One thing that happened to an upload.
struct HistoryEntryView: Codable, Equatable {
    struct Job: Codable, Equatable {
        var kind: String
        var offset: Int64?

        /// For a person.
        var text: String { offset.map { "\(kind) at \($0)" } ?? kind }
    }

    var at: String
    var event: String
    var by: String?
    var job: Job?
    var attempt: Int?
    var error: UploadView.Failure?

    /// One line.
    var line: String {
        var text = "\(at)  \(event)"
        if let by { text += "  by \(by)" }
        if let job { text += "  \(job.text)" }
        if let attempt, attempt > 0 { text += ", failed \(attempt) times before" }
        if let error { text += "  \(error.reason): \(error.detail)" }
        return Terminal.plain(text)
    }
}

/// The history of an upload.
struct HistoryView: Codable { var history: [HistoryEntryView] }

/// An upload that waits for somebody.
struct DeadLetterView: Codable {
    struct DatedError: Codable, Equatable {
        var reason: String
        var detail: String
        var at: String
    }

    var id: String
    var job: HistoryEntryView.Job?
    var reason: String?
    var attempts: Int?
    var firstError: DatedError?
    var lastError: DatedError?
    var failedAt: String?
    var upload: UploadView
    var history: [HistoryEntryView]?

    /// One line of a list.
    var line: String {
        let what = Terminal.plain("\(upload.target):\(upload.path)  \(lastError?.detail ?? "")")
        return "\(id)  \(failedAt ?? "-")  \(reason ?? "-")  \(what)"
    }

    /// All that a person wants to know.
    var summary: String {
        var lines = [upload.summary]
        if let job { lines.append("job        \(job.text)") }
        if let failedAt { lines.append("failed     \(failedAt)") }
        if let firstError, firstError != lastError {
            let text = "\(firstError.at)  \(firstError.reason): \(firstError.detail)"
            lines.append("first      \(Terminal.plain(text))")
        }
        lines += (history ?? []).map(\.line)
        return lines.joined(separator: "\n")
    }
}

/// A page of dead letters.
struct DeadLetterPageView: Codable, PageView {
    var deadLetters: [DeadLetterView]
    var next: String?

    var lines: [String] { deadLetters.map(\.line) }
}

/// What a replay of many did.
struct ReplaySummaryView: Codable {
    var matched: Int
    var replayed: Int
    var skipped: [String: Int]
    var dryRun: Bool

    /// A sentence, and why some stay.
    var summary: String {
        let stay = skipped.sorted { $0.key < $1.key }
            .map { "\n\($0.value) \(dryRun ? "would stay" : "stay"): \($0.key)" }.joined()
        if dryRun {
            return "\(matched - skipped.values.reduce(0, +)) of \(matched) dead letters would be replayed\(stay)"
        }
        return "\(replayed) of \(matched) dead letters replayed\(stay)"
    }
}
