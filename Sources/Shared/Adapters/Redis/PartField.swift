// A part as a field of its upload's hash of parts, and back.

internal import Core
internal import NIOCore
internal import Redis

/// A part's value: the 32 bytes of its digest, then its size in digits; then, where there is more to say, the
/// generation in which it was shipped, how often its job has failed, and in which round. Most fit into 64 bytes, up to
/// which Redis keeps small hashes packed.
struct PartField {
    let state: PartState
    private let attempts: Int
    private let round: Substring

    init(offset: Int64, value: RESPValue) throws(StoreError) {
        guard let bytes = value.bytes?.readableBytesView, bytes.count > 32,
            let digest = SHA256Digest(bytes: bytes.prefix(32)),
            let text = String(validating: bytes.dropFirst(32), as: UTF8.self)
        else { throw .unreadable("the part at \(offset)") }
        let fields = text.split(separator: " ", omittingEmptySubsequences: false)
        let generation = fields.count > 1 ? UInt64(fields[1]) : 0
        let attempts = fields.count > 2 ? Int(fields[2]) : 0
        guard let size = Int64(fields[0]), size >= 0, let generation, let attempts else {
            throw .unreadable("the part at \(offset)")
        }
        state = PartState(
            part: Part(offset: offset, size: size, digest: digest),
            shippedIn: generation == 0 ? nil : Generation(generation)
        )
        self.attempts = attempts
        round = fields.count > 3 ? fields[3] : "0"
    }

    /// How often the part's job has failed; failures before the last replay do not count.
    func attempts(round current: String) -> Int { round == current ? attempts : 0 }

    /// Offset, size and digest as scripts take them.
    static func arguments(_ part: Part) -> [RedisArgument] {
        [RedisArgument(part.offset), RedisArgument(part.size), RedisArgument(bytes: part.digest.bytes)]
    }
}
