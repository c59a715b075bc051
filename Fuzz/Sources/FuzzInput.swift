// The bytes of one input, taken apart into what a target needs.

/// Bytes from libFuzzer. Where there are none left, zeros and empty things come.
struct FuzzInput: Sendable {
    private var bytes: ArraySlice<UInt8>

    init(_ raw: UnsafeRawBufferPointer) { bytes = Array(raw)[...] }

    var isEmpty: Bool { bytes.isEmpty }

    mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

    /// Of any width, most significant byte first.
    mutating func integer<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number {
        var number: Number = 0
        for _ in 0..<(Number.bitWidth / 8) { number = number << 8 | Number(truncatingIfNeeded: byte()) }
        return number
    }

    /// Up to 255 bytes: as many as the next byte says.
    mutating func field() -> [UInt8] {
        let count = Int(byte())
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    /// A field as text; what is not UTF-8 in it is repaired.
    mutating func text() -> String { String(decoding: field(), as: UTF8.self) }

    /// Everything that is left.
    mutating func rest() -> [UInt8] {
        defer { bytes = [] }
        return Array(bytes)
    }
}

extension Array<UInt8> {
    /// The bytes in pieces of `length`, or in one piece for 0.
    func pieces(of length: UInt8) -> [ArraySlice<UInt8>] {
        guard length > 0, !isEmpty else { return [self[...]] }
        return stride(from: 0, to: count, by: Int(length)).map { self[$0..<Swift.min($0 + Int(length), count)] }
    }
}
