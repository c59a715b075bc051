// The trash: uploads on their way out of the staging directory, and the ends of those that are out.

internal import Core

extension StagingDirectory {
    /// Moves an upload out of sight; answers the names in the trash that are to be deleted.
    func moveToTrash(_ id: UploadID) throws(StagingError) -> [EntryName] {
        let trash = try root.openOrMake(.trash)
        let name = EntryName.upload(id)
        var doomed: [EntryName] = try trash.facts(of: name) == nil ? [] : [name]
        guard let prefix = try root.open(.prefix(of: id)) else { return doomed }
        var place = name
        var result = try prefix.move(name, to: trash, as: place)
        if result == .taken {
            place = .again(name)
            result = try prefix.move(name, to: trash, as: place)
        }
        guard result != .taken else { throw .failed("discard \(prefix.path(name)): its place in the trash is taken") }
        if result == .moved, !doomed.contains(place) { doomed.append(place) }
        if options.fsync, result == .moved {
            try trash.sync()
            try prefix.sync()
        }
        return doomed
    }

    /// Deletes a piece of what is in the trash; false when there is more to do.
    ///
    /// - Parameter butItsEnd: whether record and endings stay, if it is an upload that has ended.
    func deleteFromTrash(_ name: EntryName, butItsEnd: Bool) throws(StagingError) -> Bool {
        guard let trash = try root.open(.trash) else { return true }
        var removal = TreeRemoval(budget: 4_096)
        defer { ledger.change(-removal.freed) }
        if butItsEnd, let facts = try trash.facts(of: name), try isEnd(name, facts, in: trash),
            let upload = try trash.open(name)
        {
            return try removal.empty(upload, sparing: Self.end)
        }
        return try removal.remove(name, from: trash, as: .upload)
    }

    /// What is kept of an upload that has ended.
    private static let end = Set(Marker.Kind.allCases.map(EntryName.marker) + [.record])

    private func hasEnded(_ upload: Directory) throws(StagingError) -> Bool {
        for kind in Marker.Kind.allCases where kind != .complete {
            if try upload.facts(of: .marker(kind)) != nil { return true }
        }
        return false
    }

    /// The uploads in the trash.
    func discarded() throws(StagingError) -> [UploadID] {
        try root.open(.trash)?.entries().compactMap(\.upload).sorted() ?? []
    }

    /// Record and endings of an upload in the trash; nil if it has not ended, for then it was never acknowledged.
    func readDiscarded(_ id: UploadID) throws(StagingError) -> StagedUpload? {
        guard let upload = try root.open(.trash)?.open(.upload(id)), try hasEnded(upload) else { return nil }
        var staged = try read(id, in: upload)
        // Some of them may be deleted by now.
        staged?.parts = []
        return staged
    }

    /// What is in the trash and was put there before a time.
    ///
    /// - Parameter butEnds: without uploads that have ended, which an index may still have to be told of.
    func trash(before time: Timestamp, butEnds: Bool) throws(StagingError) -> [EntryName] {
        guard let trash = try root.open(.trash) else { return [] }
        var names: [EntryName] = []
        for name in try trash.entries() {
            guard let facts = try trash.facts(of: name), facts.changed <= time else { continue }
            if butEnds, try isEnd(name, facts, in: trash) { continue }
            names.append(name)
        }
        return names
    }

    private func isEnd(_ name: EntryName, _ facts: EntryFacts, in trash: Directory) throws(StagingError) -> Bool {
        guard name.upload != nil, facts.isDirectory, let upload = try trash.open(name) else { return false }
        return try hasEnded(upload)
    }
}
