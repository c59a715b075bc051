// The staging directory itself: everything that blocks and is about whole uploads. It runs on the blocking pool only.

internal import Core
internal import Glibc
internal import Synchronization

/// The open staging directory and what is known about it.
final class StagingDirectory: Sendable {
    let root: Directory
    let options: DiskStaging.Options
    let ledger: SpaceLedger
    /// Prefix directories whose names are known to be durable.
    private let durable = Mutex<Set<EntryName>>([])

    init(_ path: String, _ options: DiskStaging.Options) throws(StagingError) {
        self.options = options
        ledger = SpaceLedger(limit: options.maximumBytes)
        root = try Directory(root: path)
        try root.make(.trash)
        if options.fsync { try root.sync() }
    }

    // MARK: Uploads

    func open(_ id: UploadID) throws(StagingError) -> Directory? {
        try root.open(.prefix(of: id))?.open(.upload(id))
    }

    /// Whether an open upload's directory is still at its place, and not on its way out.
    func isInPlace(_ upload: Directory, _ id: UploadID) throws(StagingError) -> Bool {
        guard let facts = try root.open(.prefix(of: id))?.facts(of: .upload(id)) else { return false }
        return facts.isSame(as: try upload.facts())
    }

    /// Tells trouble with an upload that was discarded meanwhile apart from trouble with the disk.
    func unlessGone<Value>(
        _ upload: Directory,
        _ id: UploadID,
        _ work: () throws(StagingError) -> Value
    ) throws(StagingError) -> Value {
        do {
            return try work()
        } catch {
            if let isInPlace = try? isInPlace(upload, id), !isInPlace { throw .notFound }
            throw error
        }
    }

    func create(_ record: UploadRecord) throws(StagingError) {
        let content = try StagingJSON.encode(UploadDocument(record), "upload.json")
        let prefix = try openPrefix(of: record.id)
        // Built under a hidden name, so that nobody ever sees an upload without its record.
        let name = EntryName.construction(of: record.id)
        guard try prefix.make(name), let upload = try prefix.open(name) else {
            throw .system("make", prefix.path(name), EEXIST)
        }
        do throws(StagingError) {
            try upload.writeFile(.record, content, sync: options.fsync)
            try upload.make(.parts)
            try upload.make(.temporary)
            if options.fsync { try upload.sync() }
            guard try prefix.move(name, to: prefix, as: .upload(record.id)) == .moved else {
                throw StagingError.failed("create \(record.id): it exists")
            }
        } catch {
            var removal = TreeRemoval(budget: 100)
            _ = try? removal.remove(name, from: prefix, as: .other)
            throw error
        }
        if options.fsync { try prefix.sync() }
    }

    private func openPrefix(of id: UploadID) throws(StagingError) -> Directory {
        let name = EntryName.prefix(of: id)
        let prefix = try root.openOrMake(name)
        // Another process may have made it and not come to the fsync.
        if options.fsync, !durable.withLock({ $0.contains(name) }) {
            try root.sync()
            _ = durable.withLock { $0.insert(name) }
        }
        return prefix
    }

    func beginPart(of id: UploadID, offset: Int64, size: Int64) throws(StagingError) -> StagedPartFile {
        guard offset >= 0, size >= 0, !offset.addingReportingOverflow(size).overflow else {
            throw .failed("begin a part of \(size) bytes at \(offset): out of range")
        }
        guard let upload = try open(id) else { throw .notFound }
        let room = try fileSystem()
        let reservation = try ledger.reserve(size, free: room.free, keepFree: room.keep)
        // All buffers together stay within the budget, roughly: each new one is smaller the more there are.
        let fair = options.bufferBudget / max(ledger.writers, 1)
        return try unlessGone(upload, id) { () throws(StagingError) in
            try StagedPartFile(
                in: self,
                of: id,
                offset: offset,
                size: size,
                upload: upload,
                reservation: reservation,
                // A part that fits goes to the disk in one piece at the end.
                capacity: Int(min(Int64(min(max(fair, 65_536), 262_144)), size == .max ? size : size + 1))
            )
        }
    }

    func openPart(_ part: Part, of id: UploadID) throws(StagingError) -> (file: Descriptor, path: String) {
        guard let place = try open(id)?.open(.parts)?.open(.offset(part.offset)),
            let file = try place.openFile(.part(part))
        else { throw .notFound }
        _ = posix_fadvise(file.number, 0, 0, POSIX_FADV_SEQUENTIAL)
        return (file, place.path(.part(part)))
    }

    /// Removes a part that does not have its digest any more.
    ///
    /// A part's directory gets its one file before it is published and never another. So whatever is done relative to
    /// the open directory can never hit a part that was published later at the same offset.
    func strike(_ part: Part, of id: UploadID) throws(StagingError) {
        guard let upload = try open(id), let parts = try upload.open(.parts) else { return }
        guard let place = try parts.open(.offset(part.offset)) else {
            return try unlessGone(upload, id) { () throws(StagingError) in try noteStruck(part.offset, in: upload) }
        }
        guard let file = try place.openFile(.part(part)) else { return }
        if try isIntact(part, file, place.path(.part(part))) { return }
        try noteStruck(part.offset, in: upload)
        if try place.unlink(.part(part)) { ledger.change(-part.size) }
        try parts.removeDirectory(.offset(part.offset))
        if options.fsync { try parts.sync() }
    }

    /// Durable before the part goes: without it, a file that nobody declared a size for could end before the part.
    private func noteStruck(_ offset: Int64, in upload: Directory) throws(StagingError) {
        let struck = try upload.openOrMake(.struck)
        _ = try struck.openOrMake(.offset(offset))
        guard options.fsync else { return }
        try struck.sync()
        try upload.sync()
    }

    private func readStruck(in upload: Directory) throws(StagingError) -> Int64? {
        try upload.open(.struck)?.entries().compactMap(\.offset).max()
    }

    private func isIntact(_ part: Part, _ file: Descriptor, _ path: String) throws(StagingError) -> Bool {
        do {
            return try PartHash(largest: part.size).isIntact(part, file, path)
        } catch {
            // What the disk does not give back is damaged.
            if case .failed = error { return false }
            throw error
        }
    }

    // MARK: Markers

    func mark(_ marker: Marker, on id: UploadID) throws(StagingError) -> Marker {
        guard let upload = try open(id) else { throw .notFound }
        return try unlessGone(upload, id) { () throws(StagingError) in try mark(marker, on: id, in: upload) }
    }

    private func mark(_ marker: Marker, on id: UploadID, in upload: Directory) throws(StagingError) -> Marker {
        var answer = try readMarker(marker.kind, in: upload)
        if answer == nil {
            let content = try StagingJSON.encode(MarkerDocument(marker), marker.kind.rawValue)
            let temporary = try upload.openOrMake(.temporary)
            let name = EntryName.random()
            try temporary.writeFile(name, content, sync: options.fsync)
            defer { _ = try? temporary.unlink(name) }
            switch try temporary.link(name, to: upload, as: .marker(marker.kind)) {
            case .moved: answer = marker
            case .missing: throw .notFound
            case .taken: answer = try readMarker(marker.kind, in: upload)
            }
        }
        if options.fsync { try upload.sync() }
        guard try isInPlace(upload, id) else { throw .notFound }
        guard let answer else { throw .failed("mark \(upload.path(.marker(marker.kind))): it keeps changing") }
        return answer
    }

    func unmark(_ kind: Marker.Kind, on id: UploadID) throws(StagingError) {
        guard let upload = try open(id) else { return }
        try upload.unlink(.marker(kind))
        if options.fsync { try upload.sync() }
    }

    private func readMarker(_ kind: Marker.Kind, in upload: Directory) throws(StagingError) -> Marker? {
        let name = EntryName.marker(kind)
        guard let content = try upload.readFile(name) else { return nil }
        let path = upload.path(name)
        return try StagingJSON.decode(MarkerDocument.self, content, path).marker(of: kind, path)
    }

    // MARK: Reading

    func read(_ id: UploadID) throws(StagingError) -> StagedUpload? {
        guard let upload = try open(id) else { return nil }
        return try read(id, in: upload)
    }

    /// What an upload's directory says, wherever it lies.
    func read(_ id: UploadID, in upload: Directory) throws(StagingError) -> StagedUpload? {
        guard let content = try upload.readFile(.record) else { return nil }
        let path = upload.path(.record)
        let record = try StagingJSON.decode(UploadDocument.self, content, path).record(of: id, path)
        var markers: [Marker] = []
        for kind in Marker.Kind.allCases {
            if let marker = try readMarker(kind, in: upload) { markers.append(marker) }
        }
        return StagedUpload(
            record: record,
            parts: try parts(in: upload),
            markers: markers,
            struck: try readStruck(in: upload)
        )
    }

    /// The names are the whole manifest; what is not named like a part is none.
    func parts(in upload: Directory) throws(StagingError) -> [Part] {
        guard let directory = try upload.open(.parts) else { return [] }
        var parts: [Part] = []
        for name in try directory.entries() {
            guard let offset = name.offset, let place = try directory.open(name) else { continue }
            if let part = try place.entries().lazy.compactMap({ $0.part(at: offset) }).first { parts.append(part) }
        }
        return parts.sorted { $0.offset < $1.offset }
    }

    func uploads(after last: UploadID?, touchedSince: Timestamp?, limit: Int) throws(StagingError) -> [UploadID] {
        var found: [UploadID] = []
        let firstPrefix = last.flatMap { UInt8($0.description.prefix(2), radix: 16) } ?? 0
        for number in firstPrefix...UInt8.max where found.count < limit {
            guard let prefix = try root.open(.prefix(number)) else { continue }
            let ids = try prefix.entries().compactMap(\.upload).filter { id in
                EntryName.prefix(of: id) == .prefix(number) && last.map { $0 < id } ?? true
            }
            for id in ids.sorted() where found.count < limit {
                if try wasTouched(id, in: prefix, since: touchedSince) { found.append(id) }
            }
        }
        return found
    }

    private func wasTouched(_ id: UploadID, in prefix: Directory, since time: Timestamp?) throws(StagingError) -> Bool {
        guard let own = try prefix.facts(of: .upload(id)), own.isDirectory else { return false }
        guard let time else { return true }
        // File systems keep times a few milliseconds behind the clock.
        let earliest = time + .seconds(-1)
        if own.modified >= earliest { return true }
        guard let parts = try prefix.open(.upload(id))?.facts(of: .parts) else { return false }
        return parts.modified >= earliest
    }
}
