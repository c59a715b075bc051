// Names in the staging directory. Only a value of this type becomes part of a path, and only these can be made.

internal import Core

/// The name of one directory entry: never empty, never `.` or `..`, never with a slash.
struct EntryName: Hashable, Sendable, CustomStringConvertible {
    let description: String

    private init(trusted text: String) { description = text }

    /// A name that the kernel listed.
    init?(listed text: String) {
        guard !text.isEmpty, text != ".", text != ".." else { return nil }
        description = text
    }

    static let epoch = EntryName(trusted: "epoch")
    static let trash = EntryName(trusted: "trash")
    static let record = EntryName(trusted: "upload.json")
    static let parts = EntryName(trusted: "parts")
    /// Holds an empty directory for every offset at which a part was struck.
    static let struck = EntryName(trusted: "struck")
    /// Where unfinished parts and markers are written, on the same file system as their place.
    static let temporary = EntryName(trusted: "tmp")
    /// The file of a part whose digest is not known yet.
    static let unfinished = EntryName(trusted: "unfinished")

    /// The directory that an upload's directory lies in.
    static func prefix(of id: UploadID) -> EntryName { EntryName(trusted: String(id.description.prefix(2))) }

    /// One of the 256 prefix directories.
    static func prefix(_ number: UInt8) -> EntryName {
        EntryName(trusted: (number < 16 ? "0" : "") + String(number, radix: 16))
    }

    static func upload(_ id: UploadID) -> EntryName { EntryName(trusted: id.description) }

    static func marker(_ kind: Marker.Kind) -> EntryName { EntryName(trusted: kind.rawValue) }

    static func offset(_ offset: Int64) -> EntryName { EntryName(trusted: hexadecimal(UInt64(offset))) }

    static func part(_ part: Part) -> EntryName { EntryName(trusted: "\(part.size)-\(part.digest.hex)") }

    /// A name that nobody else has.
    static func random() -> EntryName { EntryName(trusted: hexadecimal(.random(in: 0...UInt64.max))) }

    /// An upload's directory before it is published; hidden from listings.
    static func construction(of id: UploadID) -> EntryName { EntryName(trusted: ".\(id).\(random())") }

    /// An unfinished file in the staging directory itself.
    static func construction(of name: EntryName) -> EntryName { EntryName(trusted: ".\(name).\(random())") }

    /// A second name in the trash for an upload that has one there.
    static func again(_ name: EntryName) -> EntryName { EntryName(trusted: "\(name).\(random())") }

    /// The upload that a directory of this name belongs to.
    var upload: UploadID? { UploadID(description) }

    /// Whether an unpublished upload's directory, or another unfinished entry, has this name.
    var isConstruction: Bool { description.utf8.first == UInt8(ascii: ".") }

    /// The offset in the name of a part's directory: exactly 16 lowercase digits.
    var offset: Int64? {
        guard description.utf8.count == 16, let number = UInt64(description, radix: 16), number <= UInt64(Int64.max),
            Self.hexadecimal(number) == description
        else { return nil }
        return Int64(number)
    }

    /// Size and digest in the name of a part's file, exactly as `part(_:)` writes it.
    func part(at offset: Int64) -> Part? {
        let fields = description.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard fields.count == 2, let size = Int64(fields[0]), size >= 0, let digest = SHA256Digest(hex: fields[1])
        else {
            return nil
        }
        guard !offset.addingReportingOverflow(size).overflow else { return nil }
        let part = Part(offset: offset, size: size, digest: digest)
        return Self.part(part).description == description ? part : nil
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
