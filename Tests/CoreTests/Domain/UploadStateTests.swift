import Core
import Testing

@Suite("The state machine")
struct UploadStateTests {
    /// The whole table: what is not here must not happen.
    private static let allowed: [UploadState: [Transition: UploadState]] = [
        .receiving: [
            .complete: .shipping, .restart: .receiving, .fail: .failed, .cancel: .cancelled, .expire: .expired,
        ],
        .shipping: [.allShipped: .merging, .restart: .shipping, .fail: .failed, .cancel: .cancelled],
        .merging: [.beginCommit: .committing, .restart: .shipping, .fail: .failed, .cancel: .cancelled],
        .committing: [.beginCommit: .committing, .finish: .done, .fail: .failed],
        .failed: [.replay: .shipping, .cancel: .cancelled, .expire: .expired],
    ]

    @Test("moves exactly as the table says", arguments: UploadState.allCases)
    func table(state: UploadState) {
        for transition in Transition.allCases {
            #expect(state.after(transition) == Self.allowed[state]?[transition], "\(state) \(transition)")
        }
    }

    @Test("never leaves an ending", arguments: UploadState.allCases.filter(\.isEnded))
    func endings(state: UploadState) {
        #expect(Transition.allCases.allSatisfy { state.after($0) == nil })
        #expect(!state.isActive)
    }

    @Test("cannot be cancelled once the rename may have happened")
    func committing() {
        #expect(UploadState.committing.after(.cancel) == nil)
        #expect(UploadState.committing.after(.restart) == nil)
    }
}

@Suite("Retrying")
struct RetryPolicyTests {
    @Test("Delays double up to the maximum, with half of each left to chance")
    func delays() {
        let policy = RetryPolicy(base: .seconds(2), maximum: .seconds(60))
        for (attempt, full) in [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (100, 60)] {
            for random: UInt64 in [0, 1, 12_345, .max] {
                let delay = policy.delay(afterAttempt: attempt, random: random)
                #expect(delay >= .seconds(full) / 2 && delay <= .seconds(full), "\(attempt) \(delay)")
            }
            #expect(
                policy.delay(afterAttempt: attempt, random: 0) != policy.delay(afterAttempt: attempt, random: 500_000)
            )
        }
    }

    @Test("What cannot pass by itself is not tried again; what waits for a target spends nothing")
    func limits() {
        let policy = RetryPolicy(attempts: 12, diskFullAttempts: 3)
        let failure = Failure(.targetFailed, "")
        #expect(policy.limit(for: .transient(failure)) == 12)
        #expect(policy.limit(for: .diskFull(failure)) == 3)
        #expect(policy.limit(for: .permanent(failure)) == 0)
        #expect(policy.limit(for: .unreachable(failure)) == nil)
    }
}
