// Tells whoever waits that nothing goes forward, why, and how long it will be tried.

internal import Foundation
internal import Glibc
internal import Synchronization

/// Says now and then what is waited for; several requests that wait for the same are told of once.
final class WaitNotices: Sendable {
    private struct Told {
        var reason: String
        var at: ContinuousClock.Instant
    }

    /// How long a request may fail without a word: a server that is just restarted is nobody's concern.
    static let silence = Duration.seconds(2)
    /// How long the same reason is not told again.
    static let interval = Duration.seconds(30)

    private let told = Mutex<Told?>(nil)

    /// - Parameters:
    ///   - wait: until the next attempt.
    ///   - end: how long from now it will be tried.
    ///   - bars: what is drawn on the terminal now.
    func waiting(_ reason: String, wait: Duration, end: Duration, _ bars: ProgressBars?) {
        let isNew = told.withLock { told in
            let now = ContinuousClock.now
            if let last = told, last.reason == reason, last.at.duration(to: now) < Self.interval { return false }
            told = Told(reason: reason, at: now)
            return true
        }
        guard isNew else { return }
        let text = Self.text(reason, wait: wait, now: Self.time(after: .zero), end: Self.time(after: end))
        if let bars { bars.say(text) } else { Terminal.complain(text) }
    }

    /// Such as `14:02:10 waiting: Staging is full; trying again in 0:30, until 14:12:10`.
    static func text(_ reason: String, wait: Duration, now: String, end: String) -> String {
        "\(now) waiting: \(reason); trying again in \(Units.time(wait / .seconds(1))), until \(end)"
    }

    /// The time of day, as clocks here show it.
    private static func time(after delay: Duration) -> String {
        var seconds = Glibc.time(nil) + Int(delay / .seconds(1))
        var parts = tm()
        localtime_r(&seconds, &parts)
        func padded(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
    }
}
