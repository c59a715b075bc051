// ShortParts: remembers where a file of unknown size was seen to end, so that its parts are not read again and again.

internal import Synchronization

/// A hint for each upload: the offset of a part that is shorter than the others. Whoever takes it looks whether it is true
/// still; whoever finds none reads all parts.
final class ShortParts: Sendable {
    /// So many uploads are remembered; of more, any is forgotten.
    static let capacity = 1_024

    private let offsets = Mutex<[UploadID: Int64]>([:])

    func offset(of id: UploadID) -> Int64? { offsets.withLock { $0[id] } }

    func note(_ offset: Int64, of id: UploadID) {
        offsets.withLock { offsets in
            if offsets[id] == nil, offsets.count >= Self.capacity, let other = offsets.first?.key {
                offsets[other] = nil
            }
            offsets[id] = offset
        }
    }
}
