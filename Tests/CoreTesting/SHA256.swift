// SHA-256 in plain Swift for tests and simulations, so that in-memory ports have real digests without a C library.

public import Core

/// SHA-256 (FIPS 180-4 §6.2), written for clarity, not for speed.
public enum SHA256 {
    /// The digest of bytes.
    public static func digest(_ bytes: some Collection<UInt8>) -> SHA256Digest {
        var state = initial
        var block: [UInt8] = []
        block.reserveCapacity(64)
        for byte in bytes {
            block.append(byte)
            if block.count == 64 {
                compress(&state, block)
                block.removeAll(keepingCapacity: true)
            }
        }
        block.append(0x80)
        if block.count > 56 {
            block += repeatElement(0, count: 64 - block.count)
            compress(&state, block)
            block.removeAll(keepingCapacity: true)
        }
        block += repeatElement(0, count: 56 - block.count)
        block += bigEndian(UInt64(bytes.count) * 8, bytes: 8)
        compress(&state, block)
        let result = state.flatMap { bigEndian(UInt64($0), bytes: 4) }
        guard let digest = SHA256Digest(bytes: result) else { preconditionFailure("32 bytes are a digest") }
        return digest
    }

    private static func bigEndian(_ value: UInt64, bytes: Int) -> [UInt8] {
        (0..<bytes).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (bytes - 1 - $0))) }
    }

    private static func compress(_ state: inout [UInt32], _ block: [UInt8]) {
        var schedule = [UInt32](repeating: 0, count: 64)
        for index in 0..<16 {
            schedule[index] = (0..<4).reduce(0) { $0 << 8 | UInt32(block[index * 4 + $1]) }
        }
        for index in 16..<64 {
            let early = schedule[index - 15]
            let late = schedule[index - 2]
            let small = rotated(early, 7) ^ rotated(early, 18) ^ early >> 3
            let large = rotated(late, 17) ^ rotated(late, 19) ^ late >> 10
            schedule[index] = schedule[index - 16] &+ small &+ schedule[index - 7] &+ large
        }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = (state[4], state[5], state[6], state[7])
        for index in 0..<64 {
            let sum = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
            let choice = (e & f) ^ (~e & g)
            let first = h &+ sum &+ choice &+ constants[index] &+ schedule[index]
            let second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) &+ ((a & b) ^ (a & c) ^ (b & c))
            (h, g, f, e) = (g, f, e, d &+ first)
            (d, c, b, a) = (c, b, a, first &+ second)
        }
        for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= value }
    }

    private static func rotated(_ value: UInt32, _ count: UInt32) -> UInt32 { value >> count | value << (32 - count) }

    private static let primes: [UInt64] = (2..<312).filter { number in !(2..<number).contains { number % $0 == 0 } }

    /// The first 32 bits of the fractional parts of the first eight primes' square roots (§5.3.3).
    private static let initial: [UInt32] = primes.prefix(8).map { prime in
        // The largest r with r² ≤ prime · 2⁶⁴ has 32 fractional bits.
        UInt32(
            truncatingIfNeeded: largest { root in
                let square = root.multipliedFullWidth(by: root)
                return square.high < prime
            }
        )
    }

    /// The same of the first 64 primes' cube roots (§4.2.2).
    private static let constants: [UInt32] = primes.prefix(64).map { prime in
        // The largest r with r³ < prime · 2⁹⁶; r has 35 bits, so r² fits in two words.
        UInt32(
            truncatingIfNeeded: largest { root in
                let square = root.multipliedFullWidth(by: root)
                let low = square.low.multipliedFullWidth(by: root)
                let high = square.high * root + low.high
                return high < prime << 32
            }
        )
    }

    private static func largest(where isBelow: (UInt64) -> Bool) -> UInt64 {
        var root: UInt64 = 0
        for bit in stride(from: UInt64(36), through: 0, by: -1) where isBelow(root | 1 << bit) { root |= 1 << bit }
        return root
    }
}
