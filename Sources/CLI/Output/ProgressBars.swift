// The two bars of an upload: what Ferry has received, and what is on the target. Drawing is a pure function.

internal import Glibc
internal import Synchronization

/// What the bars show.
struct Progress: Equatable {
    var size: Int64
    var received: Int64 = 0
    var shipped: Int64 = 0
    var state = "receiving"
    /// What was received when this run began, so that the rate is this run's.
    var receivedBefore: Int64 = 0
    var shippedBefore: Int64 = 0
    /// Seconds since this run began.
    var elapsed: Double = 0

    /// The lines, each of at most `width` columns.
    func lines(name: String, width: Int) -> [String] {
        [
            line("received", received, since: receivedBefore, width: width),
            line("shipped ", shipped, since: shippedBefore, width: width),
            clipped("\(name): \(state)", width),
        ]
    }

    private func line(_ label: String, _ bytes: Int64, since before: Int64, width: Int) -> String {
        let share = size > 0 ? min(1, Double(bytes) / Double(size)) : 1
        let rate = elapsed > 0.2 ? Double(bytes - before) / elapsed : 0
        let left = rate > 0 && bytes < size ? Units.time(Double(size - bytes) / rate) : bytes >= size ? "0:00" : "-:--"
        let percent = "\(Int(share * 100))%"
        let tail =
            " \(padded(percent, 4)) \(padded(Units.bytes(bytes), 10)) \(padded(Units.rate(rate), 12)) \(padded(left, 8))"
        let room = width - label.count - tail.count - 3
        guard room >= 5 else { return clipped(label + tail, width) }
        let filled = Int(share * Double(room))
        return
            "\(label) [\(String(repeating: "#", count: filled))\(String(repeating: ".", count: room - filled))]\(tail)"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private func clipped(_ text: String, _ width: Int) -> String { String(text.prefix(max(width - 1, 1))) }
}

/// Draws progress on a terminal, at most ten times a second; on anything else it draws nothing.
final class ProgressBars: Sendable {
    private struct State {
        var progress: Progress
        var drawn = 0
        var last: ContinuousClock.Instant?
    }

    private let name: String
    private let isShown: Bool
    private let start = ContinuousClock.now
    private let state: Mutex<State>

    init(name: String, size: Int64, isShown: Bool) {
        self.name = Terminal.plain(name)
        self.isShown = isShown
        state = Mutex(State(progress: Progress(size: size)))
    }

    /// The progress as it is now.
    var progress: Progress { state.withLock { $0.progress } }

    /// Writes a line; the bars are drawn anew below it.
    func say(_ text: String) {
        state.withLock { $0.drawn = 0 }
        Terminal.complain(text)
    }

    /// Changes what is shown.
    func update(force: Bool = false, _ change: (inout Progress) -> Void) {
        let text = state.withLock { state -> String? in
            change(&state.progress)
            let now = ContinuousClock.now
            state.progress.elapsed = start.duration(to: now) / .seconds(1)
            if !force, let last = state.last, last.duration(to: now) < .milliseconds(100) { return nil }
            guard isShown else { return nil }
            state.last = now
            let lines = state.progress.lines(name: name, width: Terminal.width)
            let back = state.drawn > 0 ? "\u{1B}[\(state.drawn)A" : ""
            state.drawn = lines.count
            return back + lines.map { "\u{1B}[2K\($0)\n" }.joined()
        }
        if let text { Terminal.write(text, to: STDERR_FILENO) }
    }
}
