// What clients ask for. This file has the parts that all requests share; creation, parts and endings have their own.

/// The limits on uploads, from configuration.
public struct UploadLimits: Hashable, Sendable {
    /// The part size where the client names none, in bytes.
    public var partSize: Int64
    /// The largest file, in bytes.
    public var maximumSize: Int64
    /// How long an upload may lie untouched.
    public var expireAfter: Duration

    /// The limits.
    public init(partSize: Int64 = 10_485_760, maximumSize: Int64 = 5 << 40, expireAfter: Duration = .seconds(604_800)) {
        self.partSize = partSize
        self.maximumSize = maximumSize
        self.expireAfter = expireAfter
    }
}

/// The use cases behind the client's interface: every one checks who asks, stages before it records, and records
/// before it answers.
public struct UploadIntake: Sendable {
    let store: any UploadStore
    let staging: any Staging
    let queue: any JobQueue
    let relay: OutboxRelay
    let events: ProgressEvents
    let surroundings: Surroundings
    let limits: UploadLimits
    let targets: Set<TargetID>
    let shortParts = ShortParts()
    let recent = RecentUploads()

    /// Use cases over these ports.
    public init(
        store: any UploadStore,
        staging: any Staging,
        queue: any JobQueue,
        relay: OutboxRelay,
        events: ProgressEvents,
        surroundings: Surroundings,
        limits: UploadLimits,
        targets: Set<TargetID>
    ) {
        self.store = store
        self.staging = staging
        self.queue = queue
        self.relay = relay
        self.events = events
        self.surroundings = surroundings
        self.limits = limits
        self.targets = targets
    }

    /// One upload that the principal may see; another's is `notFound`, exactly as one that does not exist.
    public func upload(_ id: UploadID, for principal: Principal) async throws(IntakeError) -> Upload {
        guard let upload = try await known(id), principal.maySee(upload.record.owner) else { throw .notFound }
        return upload
    }

    /// All parts of an upload that the principal may see.
    public func parts(
        _ id: UploadID,
        for principal: Principal
    ) async throws(IntakeError) -> (upload: Upload, parts: [PartState]) {
        let upload = try await upload(id, for: principal)
        return (upload, try await asking { () throws(StoreError) in try await store.parts(of: id) })
    }

    /// What happened to an upload that the principal may see, oldest first.
    public func history(_ id: UploadID, for principal: Principal) async throws(IntakeError) -> [HistoryEntry] {
        _ = try await upload(id, for: principal)
        return try await asking { () throws(StoreError) in try await store.history(of: id) }
    }

    /// A page of the uploads that the principal may see: its own, or everybody's for an operator.
    public func uploads(_ query: UploadQuery, for principal: Principal) async throws(IntakeError) -> UploadPage {
        var query = query
        if !principal.roles.contains(.operator) { query.owner = principal.owner }
        return try await asking { () throws(StoreError) in try await store.uploads(query) }
    }

    /// An upload as the index has it, or as it comes back from staging: staging wins, so an upload that the index has
    /// lost is brought back as soon as somebody asks for it.
    func known(_ id: UploadID) async throws(IntakeError) -> Upload? {
        if let upload = try await asking({ () throws(StoreError) in try await store.upload(id) }) { return upload }
        guard let staged = try await staged({ () throws(StagingError) in try await staging.read(id) }) else {
            return nil
        }
        return try await restored(staged)
    }

    /// Brings an upload back, or up to what staging says; nil where its path is another's by now.
    func restored(_ staged: StagedUpload) async throws(IntakeError) -> Upload? {
        try await asking { () throws(StoreError) in
            try await RestoreUpload(store: store, relay: relay).restore(staged)
        }
    }

    /// Publishes what a change recorded.
    func follow(_ upload: Upload, _ entries: [OutboxEntry], _ kind: Event.Kind) {
        recent.note(upload, at: surroundings.now())
        relay.dispatch(entries)
        events.publish(kind, upload)
    }
}
