// What a final file is to have beside its bytes: wishes, which a target may refuse.

/// The nine permission bits of a file. The owner may always read it: Ferry looks into its own file when it must find out
/// whether it is there.
public struct FileMode: Hashable, Sendable, CustomStringConvertible {
    /// The bits, as `chmod` counts them.
    public let bits: UInt32

    /// What a file gets where nobody says otherwise: 0644.
    public static let standard = FileMode(unchecked: 0o644)

    private init(unchecked bits: UInt32) { self.bits = bits }

    /// Bits up to 0777, the owner's read bit (0400) among them; nil for all others.
    public init?(bits: UInt32) {
        guard bits <= 0o777, bits & 0o400 != 0 else { return nil }
        self.bits = bits
    }

    /// Three octal digits, before which there may be a zero: `640`, `0640`.
    public init?(octal text: some StringProtocol) {
        let digits = text.utf8.count == 4 && text.utf8.first == UInt8(ascii: "0") ? text.dropFirst() : text[...]
        guard digits.utf8.count == 3, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }),
            let bits = UInt32(digits, radix: 8)
        else { return nil }
        self.init(bits: bits)
    }

    /// Four octal digits: `0640`.
    public var description: String { "0" + String(bits, radix: 8) }

    /// The mode until the file has its name: whoever takes over may open it for writing again.
    public var untilRenamed: FileMode { FileMode(unchecked: bits | 0o200) }
}

/// What a client wants its final file to have. Best effort: that a target refuses it never stops an upload.
public struct FinalAttributes: Hashable, Sendable {
    /// The mode; nil for the one that its target is configured with.
    public var mode: FileMode?
    /// The modification time; nil for that of the merge. Targets keep whole seconds.
    public var modifiedAt: Timestamp?

    /// The times that a target can be told: 32 bits of seconds since 1970 (draft-ietf-secsh-filexfer-02 §5).
    public static let times =
        Timestamp(microseconds: 0)..<Timestamp(microseconds: (Int64(UInt32.max) + 1) * 1_000_000)

    /// Both may be left out.
    public init(mode: FileMode? = nil, modifiedAt: Timestamp? = nil) {
        self.mode = mode
        self.modifiedAt = modifiedAt
    }
}
