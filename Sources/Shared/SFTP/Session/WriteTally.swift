// Counts the writes of one transfer that are under way.

internal import NIOCore
internal import Synchronization

/// The receiver of a transfer's write replies: no task waits for a single one.
final class WriteTally: ReplyReceiver {
    struct Piece {
        var bytes: ByteBuffer
        var offset: UInt64
    }

    private struct State {
        var pieces: [Int: Piece] = [:]
        var nextTag = 0
        var refused: [(piece: Piece, reason: SFTPError)] = []
        var failure: SFTPError?
        var isAbandoned = false
        var waiter: OneShot<Void>?
    }

    private let state = Mutex(State())

    var isAbandoned: Bool { state.withLock { $0.isAbandoned } }
    var failure: SFTPError? { state.withLock { $0.failure } }
    /// Whether large pieces were refused that may succeed in small requests.
    var hasRefused: Bool { refusal != nil }
    /// What the server said to the first of these.
    var refusal: SFTPError? { state.withLock { $0.refused.first?.reason } }

    /// Notes a piece about to be submitted; it is kept until confirmed, since it may have to be sent again.
    func begin(_ bytes: ByteBuffer, at offset: UInt64) -> Int {
        state.withLock { state in
            defer { state.nextTag += 1 }
            state.pieces[state.nextTag] = Piece(bytes: bytes, offset: offset)
            return state.nextTag
        }
    }

    func receive(_ result: Result<Reply, SFTPError>, tag: Int) -> Bool {
        let waiter: OneShot<Void>? = state.withLock { state in
            let piece = state.pieces.removeValue(forKey: tag)
            if case .failure(let error) = result {
                if let piece, piece.bytes.readableBytes > ServerCapabilities.safeLength, error.mayBeDueToLength {
                    state.refused.append((piece, error))
                } else if state.failure == nil {
                    state.failure = error
                }
            }
            guard state.pieces.isEmpty || state.failure != nil else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.deliver(.success(()))
        return true
    }

    /// Waits until every piece is answered, or one has failed.
    func drained() async throws(SFTPError) {
        let waiter: OneShot<Void>? = state.withLock {
            guard !$0.pieces.isEmpty, $0.failure == nil else { return nil }
            let waiter = OneShot<Void>()
            $0.waiter = waiter
            return waiter
        }
        try await waiter?.value()
        if let failure { throw failure }
    }

    func takeRefused() -> [Piece] {
        state.withLock { state in
            defer { state.refused = [] }
            return state.refused.map(\.piece)
        }
    }

    /// Nobody waits any more: what has not been sent need not be.
    func abandon() {
        state.withLock { $0.isAbandoned = true }
    }
}

extension SFTPError {
    /// Whether a shorter request might succeed where this one failed.
    fileprivate var mayBeDueToLength: Bool {
        if case .status(let code, _, _, _) = self {
            return code == .failure || code == .badMessage || code == .operationUnsupported
        }
        return false
    }
}
