// Numbers for people.

/// Sizes, rates and times as people read them.
enum Units {
    /// Such as `1.5 GiB`.
    static func bytes(_ count: Int64) -> String {
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if value < 1_024 || unit == "TiB" { return unit == "B" ? "\(count) B" : "\(tenths(value)) \(unit)" }
            value /= 1_024
        }
        return "\(count) B"
    }

    /// Such as `310.2 MB/s`: decimal, as networks count.
    static func rate(_ bytesPerSecond: Double) -> String {
        bytesPerSecond < 1_000_000
            ? "\(tenths(bytesPerSecond / 1_000)) kB/s" : "\(tenths(bytesPerSecond / 1_000_000)) MB/s"
    }

    /// Such as `1:02:03` or `0:07`.
    static func time(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 359_999).rounded(.up))
        func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let (hours, minutes, rest) = (whole / 3_600, whole / 60 % 60, whole % 60)
        return hours > 0 ? "\(hours):\(padded(minutes)):\(padded(rest))" : "\(minutes):\(padded(rest))"
    }

    private static func tenths(_ value: Double) -> String {
        let scaled = Int64((value * 10).rounded())
        return "\(scaled / 10).\(scaled % 10)"
    }
}
