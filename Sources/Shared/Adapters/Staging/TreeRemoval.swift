// Deleting what nobody wants any more, a bounded piece at a time, without following anything.

internal import Core

/// Deletes a directory tree in bounded pieces, so that a large upload does not hold a thread for long.
struct TreeRemoval: Sendable {
    /// What an entry is to staging; only published parts count as used room.
    enum Role: Hashable, Sendable {
        case upload
        case parts
        case part(offset: Int64)
        case partFile(offset: Int64)
        case other

        func role(of entry: EntryName) -> Role {
            switch self {
            case .upload: entry == .parts ? .parts : .other
            case .parts: entry.offset.map { .part(offset: $0) } ?? .other
            case .part(let offset): .partFile(offset: offset)
            case .partFile, .other: .other
            }
        }
    }

    /// An upload has four levels; deeper ones are not Ferry's and stay.
    private static let deepest = 8

    /// How many entries may still be touched.
    private var budget: Int
    /// Bytes of published parts that were deleted.
    private(set) var freed: Int64 = 0

    init(budget: Int) { self.budget = budget }

    /// Deletes what is in an upload's directory, but for some of it; false when there is more to do.
    mutating func empty(_ upload: Directory, sparing spared: Set<EntryName>) throws(StagingError) -> Bool {
        for entry in try upload.entries() where !spared.contains(entry) {
            guard try remove(entry, from: upload, as: Role.upload.role(of: entry), level: 1) else { return false }
        }
        return true
    }

    /// Deletes an entry and all below it; false when there is more to do.
    mutating func remove(
        _ name: EntryName,
        from parent: Directory,
        as role: Role,
        level: Int = 0
    ) throws(StagingError) -> Bool {
        guard budget > 0 else { return false }
        budget -= 1
        guard let facts = try parent.facts(of: name) else { return true }
        guard facts.isDirectory else {
            if try parent.unlink(name), case .partFile(let offset) = role, let part = name.part(at: offset) {
                freed = freed.adding(part.size)
            }
            return true
        }
        guard level < Self.deepest else { throw .failed("delete \(parent.path(name)): nested too deep") }
        // A writer that is a moment late may still put something in: look again before giving up.
        for _ in 0..<3 {
            guard let directory = try parent.open(name) else { return true }
            for entry in try directory.entries() {
                guard try remove(entry, from: directory, as: role.role(of: entry), level: level + 1) else {
                    return false
                }
            }
            if try parent.removeDirectory(name) { return true }
        }
        return false
    }
}
