// Parts, and the arithmetic of which ranges of a file are there.

/// A durable range of an upload in staging.
public struct Part: Hashable, Sendable {
    /// Where the range begins, in bytes from the file's start.
    public let offset: Int64
    /// Its length in bytes; at least 1, but for the one part of an empty file.
    public let size: Int64
    /// The SHA-256 of its bytes.
    public let digest: SHA256Digest

    /// A range with the digest of its bytes.
    public init(offset: Int64, size: Int64, digest: SHA256Digest) {
        self.offset = offset
        self.size = size
        self.digest = digest
    }

    /// The offset just past the range.
    public var end: Int64 { offset + size }
}

/// The rule by which the native protocol numbers parts: part n begins at (n − 1) · part size.
public struct PartLayout: Hashable, Sendable {
    /// The smallest and the largest part size in bytes (4 KiB to 1 GiB).
    public static let partSizes: ClosedRange<Int64> = 4_096...1_073_741_824
    /// The most parts that an upload may have.
    public static let maximumParts: Int64 = 50_000

    /// The size of every part but the last, in bytes.
    public let partSize: Int64
    /// The file's size in bytes, nil until it is known.
    public let size: Int64?

    /// A layout; sizes are taken as they are, checked by who makes the upload.
    public init(partSize: Int64, size: Int64?) {
        self.partSize = partSize
        self.size = size
    }

    /// The part size for a file where the client names none: the configured one, doubled until 50,000 parts suffice
    /// with room to spare, in steps of powers of two.
    public static func defaultPartSize(for size: Int64?, configured: Int64) -> Int64 {
        var partSize = min(max(configured, partSizes.lowerBound), partSizes.upperBound)
        guard let size else { return partSize }
        while partSize < partSizes.upperBound, size / partSize >= 10_000 {
            partSize = min(partSize * 2, partSizes.upperBound)
        }
        return partSize
    }

    /// The number of parts; an empty file has none. Nil until the size is known.
    public var count: Int64? {
        guard let size else { return nil }
        return size / partSize + (size % partSize == 0 ? 0 : 1)
    }

    /// Where part `number` begins; nil when the number is out of range.
    public func offset(of number: Int64) -> Int64? {
        guard number >= 1, number <= count ?? Self.maximumParts else { return nil }
        return (number - 1) * partSize
    }

    /// The sizes that part `number` may have: exactly one where the file's size is known; else up to the part size.
    public func sizes(of number: Int64) -> ClosedRange<Int64>? {
        guard let offset = offset(of: number) else { return nil }
        guard let size else { return 1...partSize }
        let expected = min(partSize, size - offset)
        return expected...expected
    }

    /// The number of the part that begins at `offset`.
    public func number(at offset: Int64) -> Int64 { offset / partSize + 1 }
}

/// The set of parts that are there: a sorted list of disjoint ranges.
public struct Manifest: Hashable, Sendable {
    /// The ranges, ascending, touching ones joined.
    public private(set) var ranges: [Range<Int64>] = []

    /// A manifest of these parts; overlapping ones count once.
    public init(_ parts: some Sequence<Part>) {
        for range in parts.map({ $0.offset..<$0.end }).sorted(by: { $0.lowerBound < $1.lowerBound })
        where !range.isEmpty {
            if let last = ranges.last, range.lowerBound <= last.upperBound {
                ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
        }
    }

    /// How many bytes are covered.
    public var bytes: Int64 { ranges.reduce(0) { $0 + Int64($1.count) } }

    /// Whether all of a file of `size` bytes is covered. What lies beyond its end does not count against it: a part
    /// that raced with `complete` and lost is not the file's.
    public func covers(_ size: Int64) -> Bool {
        guard size > 0 else { return true }
        guard let first = ranges.first else { return false }
        return first.lowerBound == 0 && first.upperBound >= size
    }

    /// The ranges of a file of `size` bytes that are not covered.
    public func missing(of size: Int64) -> [Range<Int64>] {
        var missing: [Range<Int64>] = []
        var position: Int64 = 0
        for range in ranges where position < size {
            if range.lowerBound > position { missing.append(position..<min(range.lowerBound, size)) }
            position = max(position, range.upperBound)
        }
        if position < size { missing.append(position..<size) }
        return missing
    }
}

/// A set of part numbers as the contract prints it: `"1-40,42"`.
public struct PartNumbers: Hashable, Sendable, CustomStringConvertible {
    /// Ascending closed ranges of part numbers.
    public let ranges: [ClosedRange<Int64>]

    /// The numbers in ascending order, joined into ranges.
    public init(_ numbers: some Sequence<Int64>) {
        var ranges: [ClosedRange<Int64>] = []
        for number in numbers.sorted() {
            if let last = ranges.last, number <= last.upperBound + 1 {
                ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, number)
            } else {
                ranges.append(number...number)
            }
        }
        self.ranges = ranges
    }

    /// Such as `1-40,42`; empty for none.
    public var description: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
