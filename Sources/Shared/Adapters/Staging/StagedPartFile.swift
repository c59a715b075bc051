// One part on its way to the disk: the blocking half. What touches more than memory runs on the blocking pool only.

internal import Core
internal import Glibc

/// An unfinished part: a temporary directory with one file, and what is needed to hash, publish or remove it.
///
/// Unchecked, because a class with a hasher and plain variables cannot be Sendable by itself: `DiskPartWriter`
/// lets one operation at a time touch its own, handing it on under a lock (`hash` and `seal` beside a write touch the
/// hasher only, and what belongs to it), and `StagingDirectory.store` makes, uses and ends one in a single call.
final class StagedPartFile: @unchecked Sendable {
    let offset: Int64
    let size: Int64
    /// Small chunks wait here until there are enough of them to be worth a trip to the disk.
    private(set) var waiting = 0
    let capacity: Int
    /// How many bytes were taken so far.
    private(set) var hashed: Int64 = 0

    private let home: StagingDirectory
    private let id: UploadID
    private let name: EntryName
    private let hasher: SHA256Hasher
    private var buffer: UnsafeMutableRawBufferPointer?
    private var written: Int64 = 0
    private var sealed: Part?
    /// A write failed: what was hashed and what lies on the disk differ from there on.
    private var hasFailed = false
    // Given up at the end, so that a writer that is kept holds no descriptors.
    private var upload: Directory?
    private var file: Descriptor?
    private var reservation: Reservation?

    init(
        in home: StagingDirectory,
        of id: UploadID,
        offset: Int64,
        size: Int64,
        upload: Directory,
        reservation: Reservation,
        capacity: Int
    ) throws(StagingError) {
        self.home = home
        self.id = id
        self.offset = offset
        self.size = size
        self.upload = upload
        self.reservation = reservation
        self.capacity = capacity
        name = .random()
        do {
            hasher = try SHA256Hasher()
        } catch {
            throw .failed("hash a part: \(error)")
        }
        let temporary = try upload.openOrMake(.temporary)
        guard try temporary.make(name), let own = try temporary.open(name) else {
            throw .system("make", temporary.path(name), EEXIST)
        }
        do {
            file = try own.makeFile(.unfinished)
        } catch {
            _ = try? temporary.removeDirectory(name)
            throw error
        }
    }

    deinit { buffer?.deallocate() }

    /// Keeps a small chunk; false when it does not fit. Touches memory only.
    func keep(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard waiting + bytes.count < capacity else { return false }
        guard !bytes.isEmpty else { return true }
        let room = buffer ?? .allocate(byteCount: capacity, alignment: 4_096)
        buffer = room
        UnsafeMutableRawBufferPointer(rebasing: room[waiting...]).copyMemory(from: bytes)
        waiting += bytes.count
        return true
    }

    /// Takes bytes into the digest, in the order in which they are kept or written. Touches memory only.
    func hash(_ bytes: UnsafeRawBufferPointer) throws(StagingError) {
        do { try hasher.update(bytes) } catch { throw .failed("hash a part: \(error)") }
        hashed += Int64(bytes.count)
    }

    /// Writes what waits, and then these bytes. May run beside `hash` and `seal`.
    func write(_ bytes: UnsafeRawBufferPointer) throws(StagingError) {
        if waiting > 0, let buffer {
            let kept = UnsafeRawBufferPointer(rebasing: buffer[..<waiting])
            waiting = 0
            try append(kept)
        }
        try append(bytes)
    }

    private func append(_ bytes: UnsafeRawBufferPointer) throws(StagingError) {
        guard let file, let upload else { throw .failed("write a part that was ended") }
        guard !bytes.isEmpty else { return }
        do throws(StagingError) { try file.write(bytes, at: written, upload.path(.temporary)) } catch {
            hasFailed = true
            throw error
        }
        written += Int64(bytes.count)
        reservation?.wrote(Int64(bytes.count))
    }

    /// Checks the length and ends the hash. Touches memory only. May run beside a write, whose failure `publish` throws.
    func seal() throws(StagingError) -> Part {
        if let sealed { return sealed }
        guard hashed == size else { throw .wrongLength(expected: size, received: hashed) }
        do {
            let part = Part(offset: offset, size: size, digest: try hasher.finish())
            sealed = part
            return part
        } catch {
            throw .failed("hash a part: \(error)")
        }
    }

    /// Makes the file durable, and its name by one rename. Afterwards nothing of it is left but the part.
    func publish() throws(StagingError) -> PublishResult {
        guard let part = sealed else { throw .failed("publish a part that is not sealed") }
        guard let upload, let file else { throw .failed("publish a part that was ended") }
        try write(UnsafeRawBufferPointer(start: nil, count: 0))
        guard !hasFailed, written == size else { throw .failed("publish a part whose bytes were not all written") }
        let result = try home.unlessGone(upload, id) { () throws(StagingError) in
            try publish(part, file, in: upload)
        }
        if case .stored = result {
            end()
        } else {
            discard()
        }
        return result
    }

    private func publish(_ part: Part, _ file: Descriptor, in upload: Directory) throws(StagingError) -> PublishResult {
        guard let temporary = try upload.open(.temporary), let own = try temporary.open(name) else { throw .notFound }
        // The name comes before the fsync: on a journalling file system one commit carries both.
        guard try own.move(.unfinished, to: own, as: .part(part)) == .moved else { throw .notFound }
        if home.options.fsync {
            try file.sync(own.path(.part(part)))
            try own.sync()
        }
        guard let parts = try upload.open(.parts) else { throw .notFound }
        let result = try place(part, from: temporary, into: parts)
        // In every case: who was first may not have come to it yet, and its part is about to be acknowledged here.
        if home.options.fsync { try parts.sync() }
        if case .stored = result { home.ledger.change(part.size) }
        guard try home.isInPlace(upload, id) else { throw .notFound }
        return result
    }

    private func place(_ part: Part, from temporary: Directory, into parts: Directory) throws(StagingError)
        -> PublishResult
    {
        let place = EntryName.offset(part.offset)
        // Again where a damaged part is being struck just now: its place is empty in a moment.
        for _ in 0..<8 {
            switch try temporary.move(name, to: parts, as: place) {
            case .moved: return .stored(part)
            case .missing: throw .notFound
            case .taken: break
            }
            guard let directory = try parts.open(place) else { continue }
            let entries = try directory.entries()
            if entries.isEmpty { continue }
            guard let first = entries.lazy.compactMap({ $0.part(at: part.offset) }).first else {
                throw .unreadable("\(parts.path(place)) has no part that this program can read")
            }
            return first == part ? .alreadyStored(first) : .conflict(first)
        }
        throw .failed("publish \(parts.path(place)): its place keeps changing")
    }

    /// Removes every trace that is not published.
    func discard() {
        if let upload, let temporary = try? upload.open(.temporary) {
            if let own = try? temporary.open(name) {
                for entry in (try? own.entries()) ?? [] { _ = try? own.unlink(entry) }
            }
            _ = try? temporary.removeDirectory(name)
        }
        end()
    }

    private func end() {
        file = nil
        upload = nil
        reservation = nil
        buffer?.deallocate()
        buffer = nil
    }
}
