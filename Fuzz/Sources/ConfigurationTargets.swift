// Values of the configuration that people write.

internal import Service

extension FuzzTarget {
    /// Sizes and durations.
    static let units = FuzzTarget(name: "units") { input in
        var input = input
        let text = String(decoding: input.rest(), as: UTF8.self)
        if let bytes = ByteSize.parse(text) {
            expect(bytes >= 0, "a size is not negative")
            expect(ByteSize.parse(ByteSize.format(bytes)) == bytes, "\(bytes) is read from its own form")
        }
        if let duration = TimeSpan.parse(text) {
            expect(duration >= .zero, "a duration is not negative")
            expect(TimeSpan.parse(TimeSpan.format(duration)) == duration, "\(duration) is read from its own form")
        }
    }

    /// A pattern and a text, against the definition.
    static let glob = FuzzTarget(name: "glob") { input in
        var input = input
        let pattern = input.text()
        let text = input.text()
        let found = Glob(pattern).matches(text)
        expect(found == defined(Array(pattern.utf8), Array(text.utf8)), "\(pattern) and \(text): \(found)")
    }

    /// Whether the pattern stands for the text: row by row, which prefixes of the text its prefixes stand for.
    private static func defined(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
        var matched = [true] + text.map { _ in false }
        for symbol in pattern {
            var next = matched.map { _ in false }
            for count in 0...text.count {
                if symbol == UInt8(ascii: "*") {
                    next[count] = matched[count] || (count > 0 && next[count - 1])
                } else if count > 0, symbol == UInt8(ascii: "?") || symbol == text[count - 1] {
                    next[count] = matched[count - 1]
                }
            }
            matched = next
        }
        return matched[text.count]
    }
}
