// ChunkPlacement: what a chunk's length says about the size of all chunks, which no request of the old interfaces names.

import Core

/// What is assumed of clients that never say how large their chunks are.
struct ChunkAssumptions: Hashable, Sendable {
    /// The size of a chunk, in bytes: the article's slices of 10 MiB.
    var size: Int64 = 10_485_760
    /// How long a chunk that may be the last waits for chunk 1 to tell the size.
    var patience = Duration.seconds(2)
}

/// What to do with a chunk before its bytes are taken.
enum ChunkPlacement: Hashable, Sendable {
    /// Store it, if the upload's part size allows.
    case store
    /// Create the upload anew with the chunk's length as part size.
    case resize
    /// Look again soon: chunk 1, whose length tells, may just be coming. If it does not, store this one.
    case wait

    /// Where an upload's record says what is known of its chunks' size.
    static let note = "chunk_size"
    /// The note of an upload whose chunks' size was only assumed.
    static let assumed = "assumed"

    /// The notes of an upload's record: the size, where it was declared or learned.
    static func notes(size: Int64?) -> [String: String] { [note: size.map(String.init) ?? assumed] }

    /// Only where nothing was received yet can the part size still change, and only of an upload that these interfaces
    /// made. A chunk that is longer than the part size shows that it is wrong; so does a shorter chunk 1, but where the
    /// file has only that one, and there is no telling. Any other shorter chunk may be the last of the file.
    init(number: Int64, length: Int64, in upload: Upload) {
        let record = upload.record
        guard Self.isResizable(upload), length != record.partSize else {
            self = .store
            return
        }
        let tells = length > record.partSize || number == 1 && record.metadata[Self.note] == Self.assumed
        if tells {
            // What is no part size is stored as it is: refused where it is too long, and a whole file where it is short.
            self = PartLayout.partSizes.contains(length) ? .resize : .store
        } else {
            self = record.metadata[Self.note] == Self.assumed ? .wait : .store
        }
    }

    /// Whether an upload has given way to one with another part size, which is about to take its path.
    static func isBeingResized(_ upload: Upload) -> Bool {
        upload.record.metadata[note] != nil && upload.state == .cancelled && upload.received.parts == 0
    }

    /// Whether an upload may be created anew with another part size.
    static func isResizable(_ upload: Upload) -> Bool {
        upload.record.metadata[note] != nil && upload.record.size == nil && upload.state == .receiving
            && upload.received.parts == 0
    }
}
