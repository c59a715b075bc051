// The staging directory's upkeep: identity, clean-up, room.

internal import Core
internal import Glibc

extension StagingDirectory {
    /// The identity in `epoch`, made by whoever comes first.
    func epoch() throws(StagingError) -> String {
        for _ in 0..<3 {
            if let content = try root.readFile(.epoch) {
                let epoch = try StagingJSON.decode(EpochDocument.self, content, "epoch").epoch
                guard !epoch.isEmpty else { throw .unreadable("epoch is empty") }
                if options.fsync { try root.sync() }
                return epoch
            }
            let fresh = UploadID(high: .random(in: 0...UInt64.max), low: .random(in: 0...UInt64.max)).description
            let name = EntryName.construction(of: .epoch)
            let content = try StagingJSON.encode(EpochDocument(epoch: fresh), "epoch")
            defer { _ = try? root.unlink(name) }
            try root.writeFile(name, content, sync: options.fsync)
            _ = try root.link(name, to: root, as: .epoch)
        }
        throw .failed("make epoch: it keeps going away")
    }

    // MARK: Leftovers

    /// Claims uploads below one prefix whose creation was never ended, by moving them to the trash; answers their names
    /// there.
    func claimUnborn(below prefixNumber: UInt8, before time: Timestamp) throws(StagingError) -> [EntryName] {
        guard let prefix = try root.open(.prefix(prefixNumber)) else { return [] }
        let trash = try root.openOrMake(.trash)
        var claimed: [EntryName] = []
        for name in try prefix.entries() where name.isConstruction {
            if try newest(name, in: prefix) <= time { claimed += try claim(name, in: prefix, trash) }
        }
        return claimed
    }

    /// Claims unfinished parts and markers below one prefix, by moving them to the trash; answers their names there.
    func claimLeftovers(below prefixNumber: UInt8, before time: Timestamp) throws(StagingError) -> [EntryName] {
        guard let prefix = try root.open(.prefix(prefixNumber)) else { return [] }
        let trash = try root.openOrMake(.trash)
        var claimed: [EntryName] = []
        for name in try prefix.entries() {
            // An upload that cannot be opened, such as a symbolic link, is not this program's to clean.
            guard name.upload != nil, let upload = try? prefix.open(name),
                let temporary = try? upload.open(.temporary)
            else { continue }
            for entry in try temporary.entries() where try newest(entry, in: temporary) <= time {
                claimed += try claim(entry, in: temporary, trash)
            }
        }
        return claimed
    }

    /// One rename decides between this and a writer that is late: either its part is published, or it is gone.
    private func claim(_ name: EntryName, in directory: Directory, _ trash: Directory) throws(StagingError)
        -> [EntryName]
    {
        let doomed = EntryName.random()
        return try directory.move(name, to: trash, as: doomed) == .moved ? [doomed] : []
    }

    /// When an entry, or a file directly in it, was last written.
    private func newest(_ name: EntryName, in directory: Directory) throws(StagingError) -> Timestamp {
        guard let facts = try directory.facts(of: name) else { return Timestamp(microseconds: .max) }
        var newest = facts.modified
        guard facts.isDirectory, let own = try directory.open(name) else { return newest }
        for entry in try own.entries() {
            if let time = try own.facts(of: entry)?.modified { newest = max(newest, time) }
        }
        return newest
    }

    /// Unfinished files in the staging directory itself; deleted at once.
    func removeStrayFiles(before time: Timestamp) throws(StagingError) -> Int {
        var count = 0
        for name in try root.entries() where name.isConstruction {
            if let facts = try root.facts(of: name), !facts.isDirectory, facts.modified <= time, try root.unlink(name) {
                count += 1
            }
        }
        return count
    }

    // MARK: Room

    /// Bytes that the file system has free for this account, and how many of them stay free.
    func fileSystem() throws(StagingError) -> (free: Int64, keep: Int64, capacity: Int64) {
        var status = statvfs()
        guard uninterrupted({ fstatvfs(root.descriptor.number, &status) }) == 0 else {
            throw .system("statvfs", "the staging directory")
        }
        func bytes(_ blocks: fsblkcnt_t) -> Int64 {
            let (product, overflow) = Int64(clamping: blocks).multipliedReportingOverflow(by: Int64(status.f_frsize))
            return overflow ? .max : product
        }
        let keep = options.reserve ?? min(64 << 20, bytes(status.f_blocks) / 100)
        // What the system keeps for root is nobody else's.
        let others = status.f_bfree > status.f_bavail ? status.f_bfree - status.f_bavail : 0
        let capacity = max(0, bytes(status.f_blocks).adding(-bytes(others)).adding(-keep))
        return (bytes(status.f_bavail), keep, capacity)
    }

    /// Counts the bytes of all parts by their names, and takes the sum over.
    func walk() {
        var used: Int64 = 0
        do throws(StagingError) {
            for number in UInt8.min...UInt8.max {
                guard let prefix = try root.open(.prefix(number)) else { continue }
                for name in try prefix.entries() where name.upload != nil {
                    guard let upload = try? prefix.open(name) else { continue }
                    used = used.adding(try parts(in: upload).reduce(0) { $0.adding($1.size) })
                }
            }
            ledger.endWalk(used)
        } catch {
            ledger.endWalk(nil)
        }
    }
}
