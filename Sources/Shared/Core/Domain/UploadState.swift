// The states of an upload and the moves between them: the one table that the index's scripts and the in-memory index
// both follow.

/// Where an upload stands.
public enum UploadState: String, Hashable, Sendable, CaseIterable {
    /// Parts arrive, and are shipped as they come.
    case receiving
    /// `complete` was asked for; parts are still on the way to the target.
    case shipping
    /// Every part is on the target; the merge waits or runs.
    case merging
    /// The rename may have happened; only the lease's holder goes on, and nothing can be cancelled.
    case committing
    /// The final file is there.
    case done
    /// It stands still until it is replayed, given up or expires.
    case failed
    /// Its owner or an operator gave it up.
    case cancelled
    /// It was abandoned.
    case expired

    /// Nothing changes any more.
    public var isEnded: Bool {
        switch self {
        case .done, .cancelled, .expired: true
        case .receiving, .shipping, .merging, .committing, .failed: false
        }
    }

    /// Jobs of this upload have something to do.
    public var isActive: Bool {
        switch self {
        case .receiving, .shipping, .merging, .committing: true
        case .done, .failed, .cancelled, .expired: false
        }
    }

    /// Parts may be shipped.
    public var isShippable: Bool { self == .receiving || self == .shipping }
}

/// What happens to an upload.
public enum Transition: Hashable, Sendable, CaseIterable {
    /// Every part is in staging and the client asked for the end.
    case complete
    /// The last part arrived on the target after `complete`.
    case allShipped
    /// A new generation starts, because the one on the target is lost or wrong.
    case restart
    /// The lease's holder is about to rename.
    case beginCommit
    /// The rename is known to have happened.
    case finish
    /// It cannot go on by itself.
    case fail
    /// A failed one is sent on its way again.
    case replay
    /// Its owner or an operator gives it up.
    case cancel
    /// It was abandoned for too long.
    case expire
}

extension UploadState {
    /// The state after a transition, or nil where that cannot happen from here.
    ///
    /// A failure while committing keeps the state `failed`; its replay begins at `committing` again, because the
    /// rename may have happened (see `resumed`).
    public func after(_ transition: Transition) -> UploadState? {
        switch (self, transition) {
        case (.receiving, .complete): .shipping
        case (.shipping, .allShipped): .merging
        case (.receiving, .restart): .receiving
        case (.shipping, .restart), (.merging, .restart): .shipping
        case (.merging, .beginCommit), (.committing, .beginCommit): .committing
        case (.committing, .finish): .done
        case (.receiving, .fail), (.shipping, .fail), (.merging, .fail), (.committing, .fail): .failed
        case (.failed, .replay): .shipping
        case (.receiving, .cancel), (.shipping, .cancel), (.merging, .cancel), (.failed, .cancel): .cancelled
        case (.receiving, .expire), (.failed, .expire): .expired
        default: nil
        }
    }

    /// Where a replayed upload goes on: at the commit if it had begun, at the merge if all is on the target, else at
    /// shipping or, when the client had not asked for the end, at receiving. Nothing counts as shipped, and no commit
    /// as begun, where what is on the target is not to be trusted (see `Upload.beginsAnew`).
    public static func resumed(_ upload: Upload, isComplete: Bool) -> UploadState {
        if upload.finalFile != nil { return .committing }
        guard isComplete, let size = upload.record.size else { return .receiving }
        return upload.shipped.bytes == size && upload.isAllShipped ? .merging : .shipping
    }
}
