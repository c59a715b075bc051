// Dead letters: uploads that wait for somebody to send them on their way again, or to give them up.

/// Which dead letters are replayed together.
public struct ReplayFilter: Hashable, Sendable {
    /// Only those to this target.
    public var target: TargetID?
    /// Only those whose last error has this reason.
    public var reason: FailureReason?
    /// At most so many; `DeadLetters.limit` at most.
    public var limit: Int
    /// How many begin a second; nil for all at once.
    public var ratePerSecond: Double?
    /// Counts only: those that would stay for their target's or their owner's sake too.
    public var isDryRun: Bool

    /// All of them, as far as nothing is given.
    public init(
        target: TargetID? = nil,
        reason: FailureReason? = nil,
        limit: Int = DeadLetters.limit,
        ratePerSecond: Double? = nil,
        isDryRun: Bool = false
    ) {
        self.target = target
        self.reason = reason
        self.limit = limit
        self.ratePerSecond = ratePerSecond
        self.isDryRun = isDryRun
    }
}

/// What a replay of many did.
public struct ReplaySummary: Hashable, Sendable {
    /// How many dead letters the filter found.
    public var matched = 0
    /// How many were sent on their way.
    public var replayed = 0
    /// How many stay, by why: `target-unknown`, `owner-revoked`, `parts-missing`.
    public var skipped: [String: Int] = [:]
}

/// The use cases of those who look after dead letters. A dead letter is an upload in state `failed`, and has its
/// identifier.
public struct DeadLetters: Sendable {
    private let intake: UploadIntake
    private let maySend: @Sendable (Owner) -> Bool

    /// The most that one request replays.
    public static let limit = 10_000
    private static let page = 100

    /// - Parameter maySend: whether an owner still may send files: a replay delivers in the owner's name, and rights
    ///   may have been taken away since.
    public init(_ intake: UploadIntake, maySend: @escaping @Sendable (Owner) -> Bool) {
        self.intake = intake
        self.maySend = maySend
    }

    /// A page, the latest failure first.
    public func list(_ filter: ReplayFilter, cursor: UploadCursor?) async throws(IntakeError) -> UploadPage {
        let query = UploadQuery(
            owner: nil,
            state: .failed,
            target: filter.target,
            reason: filter.reason,
            cursor: cursor,
            limit: filter.limit
        )
        return try await asking { () throws(StoreError) in try await intake.store.uploads(query) }
    }

    /// One dead letter.
    public func show(_ id: UploadID, for principal: Principal) async throws(IntakeError) -> Upload {
        let upload = try await intake.upload(id, for: principal)
        guard upload.deadLetter != nil else { throw .notFound }
        return upload
    }

    /// Sends one on its way again. Asked a thousand times, it happens once: an upload that is on its way already, or
    /// has arrived, is answered as it is.
    public func replay(_ id: UploadID, for principal: Principal) async throws(IntakeError) -> Upload {
        let upload = try await intake.upload(id, for: principal)
        if upload.state == .failed { return try await replay(upload, for: principal, after: .zero) }
        guard upload.state.isActive || upload.state == .done else { throw .gone(upload.state) }
        return upload
    }

    private func replay(
        _ upload: Upload,
        for principal: Principal,
        after delay: Duration
    ) async throws(IntakeError) -> Upload {
        try check(upload)
        let change = try await asking { () throws(StoreError) in
            try await intake.store.replay(
                upload.id,
                by: principal.owner.description,
                overwrite: nil,
                after: delay
            )
        }
        switch change {
        case .applied(let upload, let entries):
            intake.follow(upload, entries, .jobReplayed)
            return upload
        case .refused(.noSuchPart):
            throw .partsMissing(try await intake.missing(upload))
        case .refused, .unknown:
            // Somebody else was faster.
            guard let now = try await intake.known(upload.id) else { throw .notFound }
            guard now.state.isActive || now.state == .done else { throw .gone(now.state) }
            return now
        }
    }

    /// The target's configuration and the owner's rights are read now, not when the upload was created.
    private func check(_ upload: Upload) throws(IntakeError) {
        guard intake.targets.contains(upload.record.target) else {
            throw .targetUnknown(upload.record.target.description)
        }
        guard maySend(upload.record.owner) else { throw .ownerRevoked(upload.record.owner) }
    }

    /// Sends all that a filter finds on their way, at a pace. The pace is in the due times of their jobs: nobody needs
    /// to stay and count.
    public func replay(
        _ filter: ReplayFilter,
        for principal: Principal
    ) async throws(IntakeError) -> ReplaySummary {
        var summary = ReplaySummary()
        var cursor: UploadCursor?
        let limit = min(max(filter.limit, 0), Self.limit)
        repeat {
            var page = filter
            page.limit = min(Self.page, limit - summary.matched)
            guard page.limit > 0 else { break }
            let found = try await list(page, cursor: cursor)
            for upload in found.uploads {
                summary.matched += 1
                do throws(IntakeError) {
                    if filter.isDryRun {
                        try check(upload)
                        continue
                    }
                    let delay = filter.ratePerSecond.map { Duration.seconds(Double(summary.replayed) / $0) }
                    _ = try await replay(upload, for: principal, after: delay ?? .zero)
                    summary.replayed += 1
                } catch {
                    summary.skipped[try Self.reason(of: error), default: 0] += 1
                }
            }
            cursor = found.next
        } while cursor != nil
        return summary
    }

    /// What keeps one dead letter from being replayed; what keeps all of them ends the replay.
    private static func reason(of error: IntakeError) throws(IntakeError) -> String {
        switch error {
        case .targetUnknown: return "target-unknown"
        case .ownerRevoked: return "owner-revoked"
        case .partsMissing: return "parts-missing"
        case .gone, .notFound: return "upload-ended"
        default: throw error
        }
    }

    /// Gives one up: cancels its upload, if it still is a dead letter.
    public func discard(_ id: UploadID, for principal: Principal) async throws(IntakeError) -> Upload {
        try await intake.cancel(id, only: .failed, for: principal)
    }
}
