// SHA-1 of a script's source, which is the name that Redis knows the script by. It guards nothing here.

/// The digest as 40 lower-case hex digits (FIPS 180-4 §6.1).
///
/// Computed here rather than asked of `SCRIPT LOAD`, so that a script has its name before there is a server, the first
/// run costs one round trip, and a restarted server needs no second registration; and in Swift, so that this module
/// needs no second C library for the one use that Redis makes of it.
func sha1Hex(_ bytes: some Sequence<UInt8>) -> String {
    var message = Array(bytes)
    let bitLength = UInt64(message.count) * 8
    message.append(0x80)
    message.append(contentsOf: repeatElement(0, count: (120 - message.count % 64) % 64))
    for shift in stride(from: 56, through: 0, by: -8) {
        message.append(UInt8(truncatingIfNeeded: bitLength >> UInt64(shift)))
    }
    var state: [UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
    var schedule = [UInt32](repeating: 0, count: 80)
    for block in stride(from: 0, to: message.count, by: 64) {
        for word in 0..<16 {
            let at = block + word * 4
            schedule[word] = message[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
        for word in 16..<80 {
            let mixed = schedule[word - 3] ^ schedule[word - 8] ^ schedule[word - 14] ^ schedule[word - 16]
            schedule[word] = rotated(mixed, 1)
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for round in 0..<80 {
            let (choice, constant): (UInt32, UInt32) =
                switch round {
                case ..<20: ((b & c) | (~b & d), 0x5A82_7999)
                case ..<40: (b ^ c ^ d, 0x6ED9_EBA1)
                case ..<60: ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC)
                default: (b ^ c ^ d, 0xCA62_C1D6)
                }
            let next = rotated(a, 5) &+ choice &+ e &+ constant &+ schedule[round]
            (a, b, c, d, e) = (next, a, rotated(b, 30), c, d)
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }
    let digits = Array("0123456789abcdef".utf8)
    var hex: [UInt8] = []
    for word in state {
        for shift in stride(from: 28, through: 0, by: -4) {
            hex.append(digits[Int(word >> UInt32(shift) & 0xF)])
        }
    }
    return String(decoding: hex, as: UTF8.self)
}

private func rotated(_ word: UInt32, _ bits: UInt32) -> UInt32 {
    word << bits | word >> (32 - bits)
}
