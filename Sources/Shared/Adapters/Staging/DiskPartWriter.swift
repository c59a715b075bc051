// One part on its way to the disk: the half that callers await.

internal import Core
internal import Synchronization

/// Hands a part's bytes to the blocking pool, few and large pieces at a time. While a piece is written it is hashed, on
/// the caller's thread, and the next one is received. What keeps it from the disk is thrown by the `write` or the
/// `publish` that comes after it.
final class DiskPartWriter: PartWriter {
    private enum Turn {
        case free
        /// An operation is under way.
        case taken
        /// An operation is under way, and the part is to be removed after it.
        case takenForTheLastTime
        case ended
    }

    private let part: StagedPartFile
    private let pool: BlockingPool
    private let turn = Mutex(Turn.free)
    /// The piece that is being written. Whoever writes, publishes or removes waits for it first; sealing does not.
    private let piece = Mutex<BegunWork<Void>?>(nil)

    init(_ part: StagedPartFile, pool: BlockingPool) {
        self.part = part
        self.pool = pool
    }

    deinit {
        // Whoever began a part should have ended it. If not, its file goes all the same.
        let isEnded = turn.withLock { turn in
            if case .ended = turn { true } else { false }
        }
        if !isEnded { pool.later { [part] in part.discard() } }
    }

    func write(_ chunk: some ByteChunk) async throws(StagingError) {
        try await inTurn { () async throws(StagingError) in
            try await takePiece()?.wait()
            let received = part.hashed + Int64(chunk.count)
            guard received <= part.size else { throw StagingError.wrongLength(expected: part.size, received: received) }
            if !chunk.withUnsafeBytes({ part.keep($0) }) {
                // Holds the writer, too, so that nobody else removes the part meanwhile.
                let begun = pool.begin { [self] () throws(StagingError) in
                    try chunk.withUnsafeBytes { bytes throws(StagingError) in try part.write(bytes) }
                }
                piece.withLock { $0 = begun }
            }
            try chunk.withUnsafeBytes { bytes throws(StagingError) in try part.hash(bytes) }
        }
    }

    private func takePiece() -> BegunWork<Void>? {
        piece.withLock { piece in
            defer { piece = nil }
            return piece
        }
    }

    func seal() async throws(StagingError) -> Part {
        try await inTurn { () async throws(StagingError) in try part.seal() }
    }

    /// The last piece may still be on its way to the disk; the thread that writes it goes on to publish the part.
    func publish() async throws(StagingError) -> PublishResult {
        try await inTurn(last: true) { () async throws(StagingError) in
            let begun = pool.begin(after: takePiece()) { [part] () throws(StagingError) in try part.publish() }
            return try await begun.wait()
        }
    }

    func discard() async {
        let isFree = turn.withLock { turn in
            switch turn {
            case .free:
                turn = .ended
                return true
            case .taken:
                turn = .takenForTheLastTime
                return false
            case .takenForTheLastTime, .ended: return false
            }
        }
        if isFree { await remove() }
    }

    /// The part belongs to one operation at a time.
    ///
    /// - Parameter last: whether nothing may follow once this has worked.
    private func inTurn<Value: Sendable>(
        last: Bool = false,
        _ operation: () async throws(StagingError) -> Value
    ) async throws(StagingError) -> Value {
        let isFree = turn.withLock { turn in
            guard case .free = turn else { return false }
            turn = .taken
            return true
        }
        guard isFree else { throw .failed("a part's writer was used after its end, or by two at once") }
        let value: Value
        do throws(StagingError) { value = try await operation() } catch {
            await give()
            throw error
        }
        await give(isEnded: last)
        return value
    }

    private func give(isEnded: Bool = false) async {
        let isLast = turn.withLock { turn in
            if case .takenForTheLastTime = turn {
                turn = .ended
                return true
            }
            turn = isEnded ? .ended : .free
            return false
        }
        if isLast { await remove() }
    }

    private func remove() async {
        // However it ended: the part goes.
        do { try await takePiece()?.wait() } catch {}
        do {
            try await pool.run { [part] () throws(StagingError) in part.discard() }
        } catch {
            // The pool is closed: nothing is lost, a sweep finds the file.
        }
    }
}
