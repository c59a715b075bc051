// Units: sizes ("10MiB") and durations ("7d") as people write them in the configuration.

/// A size in bytes as text: a whole number, alone or with a unit.
public enum ByteSize {
    /// What a size looks like, for messages.
    static let expectation = "a size such as 512, 64KiB, 10MiB, 500GiB (KB, MB, GB, TB are powers of 1000)"

    private static let units: [(name: String, factor: Int64)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("B", 1),
    ]

    /// The bytes that `text` stands for, or `nil` where it is no size or does not fit in 63 bits.
    ///
    /// Units are case-sensitive and may be set off by one space; without a unit the number is bytes.
    public static func parse(_ text: String) -> Int64? {
        guard let (number, unit) = splitQuantity(text) else { return nil }
        guard !unit.isEmpty else { return number }
        guard let factor = units.first(where: { $0.name == unit })?.factor else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : bytes
    }

    /// `bytes` in the largest binary unit that divides it, as `parse` reads it back.
    public static func format(_ bytes: Int64) -> String {
        guard bytes > 0 else { return "\(bytes)" }
        for (name, factor) in units.prefix(5).reversed() where bytes % factor == 0 {
            return "\(bytes / factor)\(name)"
        }
        return "\(bytes)"
    }
}

/// A length of time as text: a whole number with a unit.
public enum TimeSpan {
    /// What a duration looks like, for messages.
    static let expectation = "a duration such as 500ms, 30s, 10m, 2h, 7d"

    private static let milliseconds: [String: Int64] = [
        "ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
    ]

    /// The duration that `text` stands for, or `nil` where it is none or exceeds about 292 million years.
    ///
    /// A number without a unit is refused: whether it means seconds or milliseconds is anybody's guess.
    public static func parse(_ text: String) -> Duration? {
        guard let (number, unit) = splitQuantity(text), let factor = milliseconds[unit] else { return nil }
        let (total, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : .milliseconds(total)
    }

    /// `duration` in the largest unit that divides it, as `parse` reads it back; below a millisecond is cut off.
    public static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        guard !overflow else { return "\(seconds)s" }
        let total = scaled + attoseconds / 1_000_000_000_000_000
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] as [(String, Int64)]
        where total != 0 && total % factor == 0 {
            return "\(total / factor)\(unit)"
        }
        return total == 0 ? "0s" : "\(total)ms"
    }
}

/// Digits and what follows them; `nil` where there are no digits, more than 19, or the number needs over 63 bits.
private func splitQuantity(_ text: String) -> (number: Int64, unit: String)? {
    let digits = text.utf8.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard !digits.isEmpty, let number = Int64(String(Substring(digits))) else { return nil }
    var unit = text[digits.endIndex...]
    if unit.first == " " {
        unit.removeFirst()
        guard !unit.isEmpty else { return nil }
    }
    return (number, String(unit))
}
