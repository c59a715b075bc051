// Bytes for tests, as the ports take and give them.

public import Core

/// Bytes in an array, as a port takes them.
public struct Bytes: ByteChunk, Hashable {
    /// The bytes.
    public var array: [UInt8]

    /// These bytes.
    public init(_ array: some Sequence<UInt8>) { self.array = Array(array) }

    /// The bytes of any chunk.
    public init(copying chunk: any ByteChunk) { array = Self.copy(chunk) }

    private static func copy(_ chunk: some ByteChunk) -> [UInt8] { chunk.withUnsafeBytes { Array($0) } }

    /// Their number.
    public var count: Int { array.count }

    /// Lends them.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let outcome: Swift.Result<Result, Failure> = array.withUnsafeBytes { bytes in
            Swift.Result { () throws(Failure) in try body(bytes) }
        }
        return try outcome.get()
    }

    /// Bytes that are the same for the same seed, and look like any others.
    public static func seeded(_ seed: UInt64, count: Int) -> Bytes {
        var state = seed
        var array: [UInt8] = []
        array.reserveCapacity(count + 8)
        while array.count < count {
            // SplitMix64: one addition, then mixing.
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
            value ^= value >> 31
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                array.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        array.removeLast(array.count - count)
        return Bytes(array)
    }
}
