// LogTime: a moment as logs write it.

internal import Glibc

/// A moment, with milliseconds.
struct LogTime: Sendable, Equatable {
    /// Seconds since 1970 in UTC.
    var seconds: Int
    /// 0 to 999.
    var milliseconds: Int

    static func now() -> Self {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Self(seconds: time.tv_sec, milliseconds: time.tv_nsec / 1_000_000)
    }

    /// "2026-11-23T08:15:30.042Z" (RFC 3339 §5.6).
    var rfc3339: String {
        var seconds = time_t(seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = "\(padded(parts.tm_year + 1_900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(milliseconds, 3))Z"
    }
}
