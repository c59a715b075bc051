// Time on a connection's thread.

internal import Glibc

/// A point of the monotonic clock, cheap enough to take for every batch.
struct Moment: Comparable, Sendable {
    var nanoseconds: UInt64

    static var now: Moment {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Moment(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    static func < (left: Moment, right: Moment) -> Bool { left.nanoseconds < right.nanoseconds }

    static func + (moment: Moment, duration: Duration) -> Moment {
        Moment(nanoseconds: moment.nanoseconds &+ duration.nanoseconds)
    }

    /// Milliseconds from now, rounded up so that a wait does not end just before its time; 0 if it has passed.
    var millisecondsFromNow: Int32 {
        let now = Moment.now
        guard self > now else { return 0 }
        return Int32(clamping: (nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }
}

extension Duration {
    /// Whole nanoseconds, 0 for what is negative, about a century at most.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, 3_000_000_000)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    /// For the C library.
    var timeValue: timeval {
        timeval(tv_sec: Int(nanoseconds / 1_000_000_000), tv_usec: Int(nanoseconds / 1_000 % 1_000_000))
    }
}

/// Jittered waits between attempts to connect: 100 ms, doubled each time, 5 s at most.
struct Backoff {
    private var attempt = 0

    /// - Parameter random: a number from 0 to 1.
    mutating func next(random: Double = .random(in: 0...1)) -> Duration {
        let base = min(5_000, 100 << min(attempt, 6))
        attempt += 1
        // Half fixed, half random: many clients of a restarted broker come back spread over time.
        return .milliseconds(base / 2 + Int(Double(base / 2) * random))
    }

    mutating func reset() { attempt = 0 }
}
