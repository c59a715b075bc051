// What clients were answered: all that the checker knows besides what lies on the targets.

import Synchronization

/// What became of one upload, as its client saw it.
struct Promise: Sendable {
    /// What a client was told when it gave the upload up.
    enum Cancel: Sendable {
        case notAsked
        /// Asked, but no answer came that settles it.
        case open
        case accepted
        case refused
    }

    let upload: PlannedUpload
    let sha256: String
    var identifier: String?
    var isAcknowledged = false
    var cancel = Cancel.notAsked
    /// Why the client stopped trying, where it did.
    var gaveUp: String?

    init(_ upload: PlannedUpload) {
        self.upload = upload
        sha256 = Digest.sha256Hex(upload.bytes)
    }
}

/// The promises of one fault's clients.
final class Ledger: Sendable {
    private struct State {
        var promises: [Int: Promise] = [:]
        var repeated = 0
        var parts: Set<[Int]> = []
        var oddities: [String] = []
    }

    private let state = Mutex(State())

    func open(_ upload: PlannedUpload) {
        let promise = Promise(upload)
        state.withLock { $0.promises[upload.number] = promise }
    }

    func change(_ number: Int, _ body: (inout Promise) -> Void) {
        state.withLock { state in
            guard var promise = state.promises[number] else { return }
            body(&promise)
            state.promises[number] = promise
        }
    }

    func promise(_ number: Int) -> Promise? { state.withLock { $0.promises[number] } }

    var promises: [Promise] { state.withLock { $0.promises.values.sorted { $0.upload.number < $1.upload.number } } }

    /// A request was sent again.
    func countRepeat() { state.withLock { $0.repeated += 1 } }

    var repeated: Int { state.withLock { $0.repeated } }

    /// A part of an upload was acknowledged; once more changes nothing.
    func acknowledge(part: Int, of upload: Int) { state.withLock { _ = $0.parts.insert([upload, part]) } }

    /// How many different parts were acknowledged.
    var parts: Int { state.withLock { $0.parts.count } }

    /// An answer that no fault excuses, such as 500.
    func note(oddity: String) { state.withLock { $0.oddities.append(oddity) } }

    var oddities: [String] { state.withLock { $0.oddities } }
}
