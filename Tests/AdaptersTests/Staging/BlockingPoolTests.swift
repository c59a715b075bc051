// The threads that may block: what follows what, and what becomes of a failure.

import Core
import Dispatch
import Synchronization
import Testing

@testable import Adapters

@Suite struct BlockingPoolTests {
    private final class Journal: Sendable {
        private let names = Mutex<[String]>([])

        var all: [String] { names.withLock { $0 } }

        func note(_ name: String) { names.withLock { $0.append(name) } }
    }

    @Test func whatFollowsIsNextOnTheThreadThatEnded() async throws {
        let pool = BlockingPool(threads: 1)
        let journal = Journal()
        let gate = DispatchSemaphore(value: 0)
        let first = pool.begin { () throws(StagingError) in
            gate.wait()
            journal.note("first")
        }
        let waiting = pool.begin { () throws(StagingError) in journal.note("waiting") }
        let follower = pool.begin(after: first) { () throws(StagingError) in
            journal.note("follower")
            return 7
        }
        gate.signal()
        #expect(try await follower.wait() == 7)
        try await waiting.wait()
        #expect(journal.all == ["first", "follower", "waiting"])
        await pool.close()
    }

    @Test(arguments: [false, true]) func whatFollowsAFailureFailsWithIt(hasEnded: Bool) async throws {
        let pool = BlockingPool(threads: 1)
        let journal = Journal()
        let gate = DispatchSemaphore(value: hasEnded ? 1 : 0)
        let first = pool.begin { () throws(StagingError) in
            gate.wait()
            throw .full
        }
        // One thread: when this is done, the first has ended.
        if hasEnded { try await pool.run { () throws(StagingError) in } }
        let follower = pool.begin(after: first) { () throws(StagingError) in journal.note("follower") }
        gate.signal()
        await #expect(throws: StagingError.full) { try await follower.wait() }
        #expect(journal.all == [])
        await pool.close()
    }

    @Test func whatFollowsAnEndStillRuns() async throws {
        let pool = BlockingPool(threads: 1)
        let first = pool.begin { () throws(StagingError) in }
        try await pool.run { () throws(StagingError) in }
        #expect(try await pool.begin(after: first) { () throws(StagingError) in 7 }.wait() == 7)
        await pool.close()
        let late = pool.begin(after: first) { () throws(StagingError) in 8 }
        await #expect(throws: StagingError.failed("staging is closed")) { try await late.wait() }
    }
}
