import Synchronization
import Testing

@testable import Worker

@Suite("Slots")
struct SlotsTests {
    @Test("Never more run at once than there are slots")
    func bound() async {
        let slots = Slots(3)
        let running = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        await withDiscardingTaskGroup { group in
            for _ in 0..<200 {
                group.addTask {
                    #expect(await slots.take(within: .seconds(30)))
                    let now = running.add(1, ordering: .sequentiallyConsistent).newValue
                    most.max(now, ordering: .sequentiallyConsistent)
                    await Task.yield()
                    running.subtract(1, ordering: .sequentiallyConsistent)
                    slots.give()
                }
            }
        }
        #expect((1...3).contains(most.load(ordering: .sequentiallyConsistent)))
    }

    @Test("Whoever waits in vain is told so in time, and takes no slot")
    func patience() async {
        let slots = Slots(1)
        #expect(await slots.take(within: .seconds(1)))
        #expect(await slots.take(within: .milliseconds(20)) == false)
        slots.give()
        #expect(await slots.take(within: .seconds(1)))
    }

    @Test("Cancellation ends the wait")
    func cancellation() async {
        let slots = Slots(1)
        #expect(await slots.take(within: .seconds(1)))
        let waiting = Task { await slots.take(within: .seconds(60)) }
        waiting.cancel()
        #expect(await waiting.value == false)
        slots.give()
        #expect(await slots.take(within: .seconds(1)))
    }
}
