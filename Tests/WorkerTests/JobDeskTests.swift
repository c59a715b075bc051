// Which jobs a worker runs side by side.

import Core
import CoreTesting
import Logging
import Testing

@testable import Worker

@Suite("Job desk")
struct JobDeskTests {
    /// Performs jobs at once that were delivered before, and answers how many were begun and not ended, at most.
    private func most(deliveries: Int) async throws -> Int {
        let count = Count()
        let server = InMemoryIndexServer(clock: { Timestamp(microseconds: 1) })
        let store = InMemoryUploadStore(
            server,
            faults: PortFaults { operation, moment in
                switch (operation, moment) {
                case (.tries, .before): count.enter()
                case (.shipState, .before): try? await Task.sleep(for: .milliseconds(5))
                case (.tried, .before): count.leave()
                default: break
                }
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
        let desk = JobDesk(ports, instance: "w@1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await withDiscardingTaskGroup { group in
            for number in 0..<20 as Range<UInt64> {
                group.addTask {
                    let job = Job.ship(UploadID(high: 1, low: number), offset: 0)
                    let outcome = await desk.perform(job, isRepeated: true, deliveries: deliveries)
                    // The index knows no such upload.
                    #expect(outcome == .done)
                }
            }
        }
        return count.most
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
