// Listings of uploads: what is asked for, and a page of it.

/// Where a page of a listing ended. Its text is `<microseconds>-<identifier>`.
public struct UploadCursor: Hashable, Sendable, CustomStringConvertible {
    /// The time that the listing is ordered by, of the last upload seen.
    public let time: Timestamp
    /// The last upload seen.
    public let id: UploadID

    /// The place after an upload.
    public init(time: Timestamp, id: UploadID) {
        self.time = time
        self.id = id
    }

    /// Reads what `description` wrote; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let fields = text.split(separator: "-", maxSplits: 1)
        guard fields.count == 2, let time = Int64(fields[0]), let id = UploadID(fields[1]) else { return nil }
        self.init(time: Timestamp(microseconds: time), id: id)
        guard description == text else { return nil }
    }

    /// As it is handed to clients.
    public var description: String { "\(time.microseconds)-\(id)" }
}

/// A page of a listing.
public struct UploadQuery: Hashable, Sendable {
    /// Whose uploads; nil for everybody's.
    public var owner: Owner?
    /// Only in this state.
    public var state: UploadState?
    /// Only to this target.
    public var target: TargetID?
    /// Only those whose last error has this reason.
    public var reason: FailureReason?
    /// Only those that are on their way, or have ended and are not cleaned up yet.
    public var isUnfinished: Bool
    /// Where the last page ended.
    public var cursor: UploadCursor?
    /// At most so many, 1 to 1,000.
    public var limit: Int

    /// A query.
    public init(
        owner: Owner?,
        state: UploadState? = nil,
        target: TargetID? = nil,
        reason: FailureReason? = nil,
        isUnfinished: Bool = false,
        cursor: UploadCursor? = nil,
        limit: Int = 50
    ) {
        self.owner = owner
        self.state = state
        self.target = target
        self.reason = reason
        self.isUnfinished = isUnfinished
        self.cursor = cursor
        self.limit = limit
    }

    /// The queries that together find everybody's uploads that have not ended, and such as are not cleaned up yet. The
    /// index has a set for each: none looks through what has ended, however much that is.
    public static func unended(limit: Int) -> [UploadQuery] {
        [
            UploadQuery(owner: nil, state: .failed, limit: limit),
            UploadQuery(owner: nil, isUnfinished: true, limit: limit),
        ]
    }
}

/// One page, newest first.
public struct UploadPage: Hashable, Sendable {
    /// The uploads.
    public var uploads: [Upload]
    /// Where the next page begins; nil at the end.
    public var next: UploadCursor?

    /// A page.
    public init(uploads: [Upload], next: UploadCursor?) {
        self.uploads = uploads
        self.next = next
    }
}
