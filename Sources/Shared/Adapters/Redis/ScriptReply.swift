// What scripts answer, read into the domain's terms.

internal import Core
internal import NIOCore
internal import Redis

/// A reply that begins with a word.
struct ScriptReply {
    let word: String
    private let values: [RESPValue]

    init(_ value: RESPValue) throws(StoreError) {
        guard let values = value.array, let word = values.first?.string else {
            throw .unreadable("a script's answer")
        }
        self.word = word
        self.values = values
    }

    private subscript(index: Int) -> RESPValue { values.indices.contains(index) ? values[index] : .null }

    func text(_ index: Int) throws(StoreError) -> String {
        guard let text = self[index].string else { throw .unreadable("text in the answer '\(word)'") }
        return text
    }

    func number(_ index: Int) throws(StoreError) -> Int64 {
        guard let number = Int64(try text(index)) else { throw .unreadable("a number in the answer '\(word)'") }
        return number
    }

    func state(_ index: Int) throws(StoreError) -> UploadState {
        guard let state = UploadState(rawValue: try text(index)) else {
            throw .unreadable("the state in the answer '\(word)'")
        }
        return state
    }

    func upload(_ index: Int) throws(StoreError) -> Upload { try self[index].fields().upload() }

    func digest(_ index: Int) throws(StoreError) -> SHA256Digest {
        guard let bytes = self[index].bytes, let digest = SHA256Digest(bytes: bytes.readableBytesView) else {
            throw .unreadable("the digest in the answer '\(word)'")
        }
        return digest
    }

    /// The answer to a change.
    ///
    /// - Parameter refusal: reads a refusal of the kind that is its argument; nil for an unknown kind.
    func change<Refusal>(
        _ refusal: (ScriptReply, String) throws(StoreError) -> Refusal?
    ) throws(StoreError) -> Change<Refusal> {
        switch word {
        case "unknown": return .unknown
        case "applied":
            let upload = try upload(1)
            return .applied(upload, try self[2].entries(target: upload.record.target))
        case "refused":
            let kind = try text(1)
            guard let refusal = try refusal(self, kind) else { throw .unreadable("the refusal '\(kind)'") }
            return .refused(refusal)
        default: throw .unreadable("the answer '\(word)'")
        }
    }

    /// The answer to a worker's change.
    func workChange() throws(StoreError) -> Change<WorkRefusal> {
        try change { reply, kind throws(StoreError) in
            switch kind {
            case "generation":
                let text = try reply.text(2)
                return .staleGeneration(UInt64(text).map(Generation.init))
            case "fence": return .staleFence
            case "leased": return .leased(until: Timestamp(microseconds: try reply.number(2)))
            case "part": return .noSuchPart
            case "poisoned": return .poisoned(try reply.upload(2))
            case "path": return UploadID(try reply.text(2)).map(WorkRefusal.pathHeld(by:))
            case "state": return .state(try reply.state(2))
            default: return nil
            }
        }
    }
}

extension RESPValue {
    /// The fields of an upload's hash.
    func fields() throws(StoreError) -> UploadFields {
        guard let list = array, !list.isEmpty, list.count.isMultiple(of: 2) else { throw .unreadable("an upload") }
        var values: [String: String] = [:]
        values.reserveCapacity(list.count / 2)
        for index in stride(from: 0, to: list.count, by: 2) {
            guard let name = list[index].string, let value = list[index + 1].string else {
                throw .unreadable("a field of an upload")
            }
            values[name] = value
        }
        return UploadFields(values: values)
    }

    /// Outbox entries: a list of jobs with their due times.
    func entries(target: TargetID) throws(StoreError) -> [OutboxEntry] {
        guard let list = array else { throw .unreadable("outbox entries") }
        var entries: [OutboxEntry] = []
        entries.reserveCapacity(list.count)
        for pair in list {
            guard let pair = pair.array, pair.count == 2, let text = pair[0].string, let job = Job(text),
                let due = pair[1].string.flatMap(Self.microseconds)
            else { throw .unreadable("an outbox entry") }
            entries.append(OutboxEntry(job: job, target: target, due: due))
        }
        return entries
    }

    /// A score: Redis writes whole numbers below 2^53 as digits only.
    static func microseconds(_ score: String) -> Timestamp? {
        Int64(score).map(Timestamp.init(microseconds:))
    }
}
