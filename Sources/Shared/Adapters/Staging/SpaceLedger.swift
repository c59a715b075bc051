// How much room staging has: what is used, what parts on their way have reserved, what must stay free.

internal import Core
internal import Synchronization

/// The arithmetic of room, in bytes.
struct SpaceAccount: Hashable, Sendable {
    /// The configured bound.
    let limit: Int64
    /// Bytes of published parts, as far as this process knows.
    private(set) var used: Int64 = 0
    /// Whole sizes of parts that are on their way in this process.
    private(set) var reserved: Int64 = 0
    /// What of that is not written yet; the file system's free bytes know of the rest.
    private(set) var unwritten: Int64 = 0
    /// What changed while staging is being walked.
    private var changedDuringWalk: Int64?

    init(limit: Int64) { self.limit = limit }

    /// Reserves room for a part; false when there is none.
    mutating func reserve(_ size: Int64, free: Int64, keepFree: Int64) -> Bool {
        guard size <= limit.adding(-used).adding(-reserved) else { return false }
        guard size <= free.adding(-keepFree).adding(-unwritten) else { return false }
        reserved += size
        unwritten += size
        return true
    }

    mutating func wrote(_ bytes: Int64) { unwritten -= bytes }

    /// Gives a reservation back.
    mutating func release(_ size: Int64, unwritten rest: Int64) {
        reserved -= size
        unwritten -= rest
    }

    /// Parts came (or, negative, went).
    mutating func change(_ bytes: Int64) {
        used = max(0, used.adding(bytes))
        if let changed = changedDuringWalk { changedDuringWalk = changed.adding(bytes) }
    }

    mutating func beginWalk() { changedDuringWalk = 0 }

    /// Takes over what a walk counted; what came meanwhile may count twice until the next walk, which errs on the
    /// safe side.
    mutating func endWalk(_ counted: Int64?) {
        if let counted { used = max(0, counted.adding(max(0, changedDuringWalk ?? 0))) }
        changedDuringWalk = nil
    }
}

extension Int64 {
    /// The sum, or the nearest that there is: names on the disk may claim any size.
    func adding(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }
}

/// The account of one process, and when it was last held against the disk: other processes write there too.
final class SpaceLedger: Sendable {
    private struct State {
        var account: SpaceAccount
        var walkedAt: ContinuousClock.Instant?
        var isWalking = false
        var writers = 0
    }

    private let state: Mutex<State>

    init(limit: Int64) { state = Mutex(State(account: SpaceAccount(limit: limit))) }

    var used: Int64 { state.withLock { $0.account.used } }
    var limit: Int64 { state.withLock { $0.account.limit } }
    /// How many parts are on their way.
    var writers: Int { state.withLock { $0.writers } }

    func reserve(_ size: Int64, free: Int64, keepFree: Int64) throws(StagingError) -> Reservation {
        let isReserved = state.withLock { state in
            guard state.account.reserve(size, free: free, keepFree: keepFree) else { return false }
            state.writers += 1
            return true
        }
        guard isReserved else { throw .full }
        return Reservation(size: size, ledger: self)
    }

    func change(_ bytes: Int64) { state.withLock { $0.account.change(bytes) } }

    /// Whether a walk is due; whoever is told so must do it and end it.
    func beginWalk(every interval: Duration) -> Bool {
        state.withLock { state in
            if state.isWalking { return false }
            if let walkedAt = state.walkedAt, walkedAt.duration(to: .now) < interval { return false }
            state.isWalking = true
            state.account.beginWalk()
            return true
        }
    }

    func endWalk(_ counted: Int64?) {
        state.withLock { state in
            state.account.endWalk(counted)
            state.isWalking = false
            state.walkedAt = .now
        }
    }

    fileprivate func wrote(_ bytes: Int64) { state.withLock { $0.account.wrote(bytes) } }

    fileprivate func release(_ size: Int64, unwritten: Int64) {
        state.withLock { state in
            state.account.release(size, unwritten: unwritten)
            state.writers -= 1
        }
    }
}

/// Room for one part on its way; given back with its last owner.
final class Reservation: Sendable {
    private let size: Int64
    private let unwritten: Mutex<Int64>
    private let ledger: SpaceLedger

    fileprivate init(size: Int64, ledger: SpaceLedger) {
        self.size = size
        unwritten = Mutex(size)
        self.ledger = ledger
    }

    deinit { ledger.release(size, unwritten: unwritten.withLock { $0 }) }

    func wrote(_ bytes: Int64) {
        unwritten.withLock { $0 -= bytes }
        ledger.wrote(bytes)
    }
}
