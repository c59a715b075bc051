// Events: what those who watch are told. They may be lost; state may not.

/// Something that happened to an upload, with the state it left behind.
public struct Event: Hashable, Sendable {
    /// The version of the form.
    public static let currentVersion = 1

    /// What happened.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// It was created.
        case uploadCreated = "upload.created"
        /// A part is in staging.
        case partReceived = "part.received"
        /// A part is on the target.
        case partShipped = "part.shipped"
        /// A staged part was found damaged and must be sent again.
        case partDamaged = "part.damaged"
        /// Its merge began.
        case uploadMerging = "upload.merging"
        /// The final file is there.
        case uploadDone = "upload.done"
        /// It stands still.
        case uploadFailed = "upload.failed"
        /// It was given up.
        case uploadCancelled = "upload.cancelled"
        /// It was abandoned.
        case uploadExpired = "upload.expired"
        /// A job will be tried again.
        case jobRetrying = "job.retrying"
        /// A job will not be tried again by itself.
        case jobDead = "job.dead"
        /// A dead letter's work was put back.
        case jobReplayed = "job.replayed"
    }

    /// What happened.
    public var kind: Kind
    /// To which upload.
    public var upload: UploadID
    /// Whose it is; a stream shows an event to nobody else but operators.
    public var owner: Owner
    /// Where it goes.
    public var target: TargetID
    /// To which path.
    public var path: TargetPath
    /// Where it stands now.
    public var state: UploadState
    /// Its size in bytes, if known.
    public var size: Int64?
    /// Bytes in staging.
    public var receivedBytes: Int64
    /// Bytes on the target.
    public var shippedBytes: Int64
    /// Bytes of the final file.
    public var mergedBytes: Int64
    /// What went wrong, if anything.
    public var failure: Failure?
    /// When.
    public var at: Timestamp

    /// An event that shows an upload's present state.
    public init(_ kind: Kind, _ upload: Upload, at time: Timestamp) {
        self.kind = kind
        self.upload = upload.id
        owner = upload.record.owner
        target = upload.record.target
        path = upload.record.path
        state = upload.state
        size = upload.record.size
        receivedBytes = upload.received.bytes
        shippedBytes = upload.shipped.bytes
        mergedBytes = upload.mergedBytes
        failure = upload.failure
        at = time
    }

    /// An event read from a wire.
    public init(
        kind: Kind,
        upload: UploadID,
        owner: Owner,
        target: TargetID,
        path: TargetPath,
        state: UploadState,
        size: Int64?,
        receivedBytes: Int64,
        shippedBytes: Int64,
        mergedBytes: Int64,
        failure: Failure?,
        at time: Timestamp
    ) {
        self.kind = kind
        self.upload = upload
        self.owner = owner
        self.target = target
        self.path = path
        self.state = state
        self.size = size
        self.receivedBytes = receivedBytes
        self.shippedBytes = shippedBytes
        self.mergedBytes = mergedBytes
        self.failure = failure
        at = time
    }
}
