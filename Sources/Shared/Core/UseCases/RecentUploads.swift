// Uploads whose parts came a moment ago, so that not every part asks the index whose upload it is for.

internal import Synchronization

/// What the index last said of uploads, for a second or two.
///
/// Only what it says of a declared size, an owner and a place is relied upon, which never change. An upload that ended
/// meanwhile is refused when the part is recorded instead of when it begins.
final class RecentUploads: Sendable {
    private struct Entry {
        let upload: Upload
        let until: Timestamp
    }

    /// How long an answer counts, and of how many uploads.
    private static let (lifetime, bound) = (Duration.seconds(2), 1_024)

    private let entries = Mutex<[UploadID: Entry]>([:])

    /// An upload of declared size that was not over when the index last spoke of it; nil where that is too long ago.
    func upload(_ id: UploadID, at now: Timestamp) -> Upload? {
        entries.withLock { entries in
            guard let entry = entries[id] else { return nil }
            // A clock that was set back by more than that does not keep an answer alive.
            guard now < entry.until, entry.until - now <= Self.lifetime else {
                entries[id] = nil
                return nil
            }
            return entry.upload
        }
    }

    /// Keeps what the index said just now.
    func note(_ upload: Upload, at now: Timestamp) {
        entries.withLock { entries in
            guard upload.record.size != nil, upload.state == .receiving else {
                entries[upload.id] = nil
                return
            }
            if entries.count >= Self.bound, entries[upload.id] == nil { entries.removeAll() }
            entries[upload.id] = Entry(upload: upload, until: now + Self.lifetime)
        }
    }
}
