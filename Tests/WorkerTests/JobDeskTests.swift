// Which jobs a worker runs side by side.

import Core
import CoreTesting
import Logging
import Testing

@testable import Worker

@Suite("Job desk")
struct JobDeskTests {
    /// A desk over an empty index, whose operations are told of.
    private static func desk(
        _ told: @escaping @Sendable (InMemoryUploadStore.Operation, FaultMoment) async -> Void
    ) -> JobDesk {
        let server = InMemoryIndexServer(clock: { Timestamp(microseconds: 1) })
        let store = InMemoryUploadStore(
            server,
            faults: PortFaults { operation, moment in
                await told(operation, moment)
                return nil
            }
        )
        let surroundings = Surroundings(
            now: { Timestamp(microseconds: 1) },
            sleep: { try await Task.sleep(for: $0) },
            random: { 1 }
        )
        let ports = WorkPorts(
            store: store,
            leases: InMemoryLeaseStore(server),
            staging: InMemoryStaging(),
            target: { _ in nil },
            relay: OutboxRelay(store: store, queue: InMemoryJobQueue()),
            events: ProgressEvents(bus: InMemoryEventBus(), surroundings: surroundings),
            surroundings: surroundings,
            policy: RetryPolicy(),
            worker: "w"
        )
        return JobDesk(ports, instance: "w@1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Performs jobs at once that were delivered before, and answers how many were begun and not ended, at most.
    private func most(deliveries: Int) async throws -> Int {
        let count = Count()
        let desk = Self.desk { operation, moment in
            switch (operation, moment) {
            case (.tries, .before): count.enter()
            case (.shipState, .before): try? await Task.sleep(for: .milliseconds(5))
            case (.tried, .before): count.leave()
            default: break
            }
        }
        await withDiscardingTaskGroup { group in
            for number in 0..<20 as Range<UInt64> {
                group.addTask {
                    let job = Job.ship(UploadID(high: 1, low: number), offset: 0)
                    let outcome = await desk.perform(job, of: nil, isRepeated: true, deliveries: deliveries)
                    // The index knows no such upload.
                    #expect(outcome == .done)
                }
            }
        }
        return count.most
    }

    @Test("A target that hangs keeps its own merges waiting, and no other's")
    func hangingTarget() async throws {
        let count = Count()
        let (released, release) = AsyncStream<Void>.makeStream()
        let wait = Task { for await _ in released {} }
        let desk = Self.desk { operation, moment in
            guard operation == .claim, moment == .before else { return }
            count.enter()
            // Those of the first target are all there before the other's one comes.
            if count.most <= JobDesk.merges { await wait.value }
        }
        let (slow, other) = (try #require(TargetID("slow")), try #require(TargetID("other")))
        await withDiscardingTaskGroup { group in
            for number in 0..<UInt64(JobDesk.merges) {
                group.addTask {
                    let job = Job.merge(UploadID(high: 1, low: number))
                    _ = await desk.perform(job, of: slow, isRepeated: false, deliveries: 0)
                }
            }
            while count.most < JobDesk.merges { try? await Task.sleep(for: .milliseconds(1)) }
            let time = await ContinuousClock().measure {
                let job = Job.merge(UploadID(high: 2, low: 0))
                _ = await desk.perform(job, of: other, isRepeated: false, deliveries: 0)
            }
            #expect(time < .seconds(10))
            release.finish()
        }
    }

    @Test("What came back once runs with others")
    func repeated() async throws {
        #expect(try await most(deliveries: 1) > 1)
    }

    @Test("What came back again runs alone, so that only one of them can be to blame")
    func suspects() async throws {
        #expect(try await most(deliveries: 2) == 1)
    }
}
