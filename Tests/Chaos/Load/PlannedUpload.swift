// One upload as a client is to do it, decided before the run begins.

/// What a client does; everything in it comes from the seed.
struct PlannedUpload: Sendable, Hashable {
    /// How the bytes travel.
    enum Way: Sendable, Hashable {
        /// In parts: numbers in the order in which they are sent; some come twice.
        case parts(order: [Int])
        /// In one request.
        case oneRequest
    }

    /// Whether and when the client gives the upload up.
    enum Cancel: Sendable, Hashable {
        case never
        /// After so many parts.
        case afterParts(Int)
        /// So many milliseconds after it was acknowledged.
        case afterAcknowledgement(Int)
    }

    /// Its number within the fault; begins at 0.
    var number: Int
    var owner: Owner
    var target: String
    var path: String
    var size: Int
    var partSize: Int
    var contentSeed: UInt64
    var way: Way
    var replaces = false
    var declaresDigest = false
    var declaresPartDigests = false
    /// Milliseconds after the load's begin.
    var begin = 0
    var cancel = Cancel.never
    /// SHA-256 of other content that may rightly be at the path: what was there before, or somebody else's.
    var tolerated: Set<String> = []
    /// What is at the path in the end is not this upload's to decide: a stranger touched it after the commit.
    var isStrangers = false

    /// Whose upload it is.
    enum Owner: String, Sendable, CaseIterable { case alice, bob }

    var bytes: [UInt8] { Content.bytes(size, seed: contentSeed) }

    var partCount: Int { (size + partSize - 1) / partSize }

    func range(ofPart number: Int) -> Range<Int> { (number - 1) * partSize..<min(number * partSize, size) }
}
