// The hidden file that becomes the final one, and the names of what belongs to it.

/// The hidden file on the target that one generation of an upload is built in.
public struct PartFile: Hashable, Sendable {
    /// Of which upload.
    public let upload: UploadID
    /// In which attempt.
    public let generation: Generation
    /// The final file, in whose directory it lies.
    public let path: TargetPath
    /// How it is built.
    public let strategy: MergeStrategy
    /// Which claim of the merge writes it, where each begins one of its own; nil where all write into the same.
    public let claim: Fence?

    /// The part file of an attempt.
    public init(
        upload: UploadID,
        generation: Generation,
        path: TargetPath,
        strategy: MergeStrategy = .inPlace,
        claim: Fence? = nil
    ) {
        self.upload = upload
        self.generation = generation
        self.path = path
        self.strategy = strategy
        self.claim = claim
    }

    /// The file that a merge under this claim builds: a streamed one is written from its start by each, and so has a
    /// name of its own.
    public func claimed(by claim: Fence?) -> PartFile {
        guard strategy.shipsInMerge else { return self }
        return PartFile(upload: upload, generation: generation, path: path, strategy: strategy, claim: claim)
    }

    private var stem: String { "\(Self.prefix(of: upload))\(generation)" }

    /// `.ferry-<upload>.<generation>.part`; of one that a claim writes, `.ferry-<upload>.<generation>-<claim>.part`.
    public var name: String { claim.map { "\(stem)-\($0).part" } ?? "\(stem).part" }

    /// `.ferry-<upload>.<generation>.parts`, the directory of parts that lie apart.
    public var directoryName: String { "\(stem).parts" }

    /// What the names of all part files of an upload begin with.
    public static func prefix(of upload: UploadID) -> String { ".ferry-\(upload)." }

    /// The generation in the name of a part file of this upload; nil for any other name.
    public static func generation(inName name: String, of upload: UploadID) -> Generation? {
        guard let middle = middle(of: name, upload, suffix: ".part") else { return nil }
        let numbers = middle.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard numbers.count == 1 || number(numbers[1]) != nil else { return nil }
        return number(numbers[0]).map(Generation.init)
    }

    /// The claim in the name of a part file of this upload; nil for any other name, and for one that no claim has.
    public static func claim(inName name: String, of upload: UploadID) -> Fence? {
        guard generation(inName: name, of: upload) != nil else { return nil }
        let middle = middle(of: name, upload, suffix: ".part")
        return middle?.split(separator: "-").dropFirst().first.flatMap { number($0) }.map(Fence.init)
    }

    /// The generation in the name of a directory of parts of this upload; nil for any other name.
    public static func generation(inDirectoryName name: String, of upload: UploadID) -> Generation? {
        middle(of: name, upload, suffix: ".parts").flatMap { number($0) }.map(Generation.init)
    }

    private static func number(_ digits: Substring) -> UInt64? {
        digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(digits) : nil
    }

    private static func middle(of name: String, _ upload: UploadID, suffix: String) -> Substring? {
        let prefix = prefix(of: upload)
        guard name.hasPrefix(prefix), name.hasSuffix(suffix), name.utf8.count > prefix.utf8.count + suffix.utf8.count
        else { return nil }
        return name.dropFirst(prefix.count).dropLast(suffix.count)
    }
}

/// The names in a directory of parts that lie apart.
public enum PartsDirectory {
    /// How far an assembly has come.
    public static let record = "record"
    /// What the name of a record that is not in its place yet ends with.
    public static let unfinished = ".new"
    /// What keeps a second script from working at the same time, as a file and as a directory.
    public static let (lock, lockDirectory): (String, String) = ("lock", "lock.d")

    /// `<offset, 16 hex digits>-<size>-<the digest's first 16 hex digits>`: other content has another name, so that
    /// whoever writes a part again writes the same bytes.
    public static func name(of part: Part) -> String {
        "\(Hexadecimal.text(UInt64(max(part.offset, 0))))-\(part.size)-\(part.digest.hex.prefix(16))"
    }

    /// Whether a file of this name may be Ferry's own.
    public static func isOwn(_ name: String) -> Bool {
        if [record, record + unfinished, lock].contains(name) { return true }
        let words = name.split(separator: "-", omittingEmptySubsequences: false)
        let isHexadecimal = { (word: Substring) in
            word.utf8.count == 16 && word.utf8.allSatisfy { Hexadecimal.isLowercaseDigit($0) }
        }
        return words.count == 3 && isHexadecimal(words[0]) && Int64(words[1]).map { $0 >= 0 } == true
            && isHexadecimal(words[2])
    }
}
