// An entry of an upload's history as the scripts write it.

internal import Core

/// The JSON that `note` in `common.lua` makes. What a newer program wrote beyond it is left alone.
struct HistoryField: Decodable {
    private var at: String
    private var kind: String
    private var by: String?
    private var job: String?
    private var attempt: String?
    private var reason: String?
    private var detail: String?

    init(json: String) throws(StoreError) { self = try UploadFields.value(Self.self, json: json) }

    func entry() throws(StoreError) -> HistoryEntry {
        guard let time = Int64(at), let kind = HistoryEntry.Kind(rawValue: kind) else {
            throw .unreadable("an entry of a history")
        }
        return HistoryEntry(
            kind,
            at: Timestamp(microseconds: time),
            by: by,
            job: job.flatMap { Job($0) },
            attempt: attempt.flatMap { Int($0) },
            failure: reason.flatMap { FailureReason(rawValue: $0) }.map { Failure($0, detail ?? "") }
        )
    }
}
