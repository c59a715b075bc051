// Reading points in time from text. No calendar library is needed.

extension Timestamp {
    /// Reads a point in time as RFC 3339 §5.6 writes it, with any offset; digits beyond microseconds are cut off.
    /// A leap second counts as the second after it.
    public init?(rfc3339 text: String) {
        var rest = Array(text.utf8)[...]
        func digits(_ count: Int, _ range: ClosedRange<Int64>) -> Int64? {
            let digits = rest.prefix(count)
            guard digits.count == count, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
            rest = rest.dropFirst(count)
            let value = digits.reduce(0) { $0 * 10 + Int64($1 - 48) }
            return range.contains(value) ? value : nil
        }
        func skip(_ characters: String) -> Bool {
            guard let first = rest.first, characters.utf8.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = digits(4, 0...9_999), skip("-"), let month = digits(2, 1...12), skip("-"),
            let day = digits(2, 1...31), skip("Tt"), let hour = digits(2, 0...23), skip(":"),
            let minute = digits(2, 0...59), skip(":"), let second = digits(2, 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if skip(".") {
            let all = rest.prefix { (48...57).contains($0) }
            guard !all.isEmpty else { return nil }
            rest = rest.dropFirst(all.count)
            for place in 0..<6 {
                fraction = fraction * 10 + (place < all.count ? Int64(all[all.startIndex + place] - 48) : 0)
            }
        }
        var offset: Int64 = 0
        if !skip("Zz") {
            guard let sign = rest.first, skip("+-"), let hours = digits(2, 0...23), skip(":"),
                let minutes = digits(2, 0...59)
            else { return nil }
            offset = (hours * 60 + minutes) * 60 * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard rest.isEmpty, day <= lengths[Int(month) - 1] else { return nil }
        // Days since 1970-01-01 with years beginning on 1 March, so that the leap day comes last.
        let marchYear = month > 2 ? year : year - 1
        let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset
        // An offset, or a leap second, can lead out of the years that four digits write.
        guard (-62_167_219_200...253_402_300_799).contains(seconds) else { return nil }
        self.init(microseconds: seconds * 1_000_000 + fraction)
    }
}
