// Questions to the index. They change nothing, and are answered while it is being rebuilt too.

public import Core
internal import Redis

extension RedisUploadStore {
    /// So many looks at 500 uploads each answer a page, be it full or not.
    private static let looks = 20

    /// One upload.
    public func upload(_ id: UploadID) async throws(StoreError) -> Upload? {
        try await read(id, offset: nil)?.fields.upload()
    }

    /// The unfinished upload that holds a path.
    public func holder(of path: TargetPath, on target: TargetID) async throws(StoreError) -> Upload? {
        let reply = try await run(UploadScripts.holder, [try keys.path(path, on: target)])
        return reply.isNull ? nil : try reply.fields().upload()
    }

    /// All parts of an upload, ascending; at most 50,000.
    public func parts(of id: UploadID) async throws(StoreError) -> [PartState] {
        var parts: [Int64: PartState] = [:]
        var cursor = "0"
        repeat {
            let arguments = [RedisArgument(cursor), RedisArgument(Self.page)]
            let reply = try await run(UploadScripts.parts, [keys.parts(id)], arguments)
            guard let page = reply.array, page.count == 2, let next = page[0].string, let fields = page[1].array,
                fields.count.isMultiple(of: 2)
            else { throw .unreadable("a page of parts of upload \(id)") }
            for index in stride(from: 0, to: fields.count, by: 2) {
                guard let offset = fields[index].string.flatMap({ Int64($0) }) else {
                    throw .unreadable("the offset of a part of upload \(id)")
                }
                parts[offset] = try PartField(offset: offset, value: fields[index + 1]).state
            }
            cursor = next
        } while cursor != "0"
        return parts.values.sorted { $0.part.offset < $1.part.offset }
    }

    /// A page of uploads.
    public func uploads(_ query: UploadQuery) async throws(StoreError) -> UploadPage {
        let limit = min(max(query.limit, 1), 1_000)
        var page = UploadPage(uploads: [], next: query.cursor)
        for _ in 0..<Self.looks {
            let (score, id) = page.next.map { (String($0.time.microseconds), $0.id.description) } ?? ("", "")
            let reply = try await run(
                UploadScripts.list,
                [names(query)],
                [
                    RedisArgument(score), RedisArgument(id), RedisArgument(limit - page.uploads.count),
                    RedisArgument(query.state?.rawValue ?? ""), RedisArgument(query.target?.description ?? ""),
                    RedisArgument(query.owner?.description ?? ""), RedisArgument(query.reason?.rawValue ?? ""),
                ]
            )
            guard let values = reply.array, values.count == 3, let lastScore = values[0].string,
                let lastID = values[1].string, let found = values[2].array
            else { throw .unreadable("a page of uploads") }
            for fields in found { page.uploads.append(try fields.fields().upload()) }
            page.next = UploadCursor("\(lastScore)-\(lastID)")
            if page.next == nil || page.uploads.count >= limit { break }
        }
        return page
    }

    /// The smallest set that has all that is asked for.
    private func names(_ query: UploadQuery) -> String {
        if query.isUnfinished { return keys.active }
        if query.state == .failed { return keys.dead }
        if let owner = query.owner { return keys.uploads(of: owner) }
        return query.state?.isActive == true ? keys.active : keys.uploads
    }

    /// What happened to an upload, oldest first.
    public func history(of id: UploadID) async throws(StoreError) -> [HistoryEntry] {
        let reply = try await run(UploadScripts.history, [keys.upload(id)])
        guard let values = reply.array else { throw .unreadable("the history of upload \(id)") }
        return try values.map { value throws(StoreError) in
            guard let json = value.string else { throw .unreadable("the history of upload \(id)") }
            return try HistoryField(json: json).entry()
        }
    }

    /// How often a job has failed.
    public func attempt(of job: Job) async throws(StoreError) -> Int {
        switch job {
        case .ship(let id, let offset): return try await shipState(of: id, offset: offset)?.attempt ?? 0
        case .merge(let id): return try await upload(id)?.attempts ?? 0
        case .clean(let id): return try await read(id, offset: nil)?.fields.cleanAttempts() ?? 0
        }
    }

    /// What a ship job needs, in one question.
    public func shipState(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState? {
        guard let (fields, part) = try await read(id, offset: offset) else { return nil }
        return ShipState(
            upload: try fields.upload(),
            part: part?.state,
            attempt: part?.attempts(round: fields.round) ?? 0
        )
    }

    /// The same for a part that still is to be shipped; nil where there is nothing to do.
    public func shipWork(of id: UploadID, offset: Int64) async throws(StoreError) -> ShipState? {
        let reply = try await run(UploadScripts.ship, [keys.upload(id)], [RedisArgument(offset)])
        if reply.isNull { return nil }
        guard let values = reply.array, values.count == 2 else { throw .unreadable("the part at \(offset) of \(id)") }
        let fields = try values[0].fields()
        let part = try PartField(offset: offset, value: values[1])
        return ShipState(upload: try fields.upload(), part: part.state, attempt: part.attempts(round: fields.round))
    }

    private func read(
        _ id: UploadID,
        offset: Int64?
    ) async throws(StoreError) -> (fields: UploadFields, part: PartField?)? {
        let reply = try await run(UploadScripts.read, [keys.upload(id)], offset.map { [RedisArgument($0)] } ?? [])
        if reply.isNull { return nil }
        // Lua ends a list at its first nothing.
        guard let values = reply.array, let first = values.first else { throw .unreadable("upload \(id)") }
        let fields = try first.fields()
        guard let offset, values.count > 1, !values[1].isNull else { return (fields, nil) }
        return (fields, try PartField(offset: offset, value: values[1]))
    }
}
