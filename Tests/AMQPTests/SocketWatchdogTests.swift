// A write that hangs is freed, and one that ends in time is left alone.

import Glibc
import Testing

@testable import AMQP

@Suite(.timeLimit(.minutes(1))) struct SocketWatchdogTests {
    /// Two connected stream sockets, closed with the value.
    private final class Pair: Sendable {
        let descriptors: [Int32]

        init() {
            var pair: [Int32] = [-1, -1]
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair)
            descriptors = pair
        }

        deinit { for descriptor in descriptors { close(descriptor) } }

        /// Writes until an error, and returns that; blocks while nobody reads.
        func writeForEver() -> Int32 {
            let bytes = [UInt8](repeating: 0, count: 65_536)
            while true {
                if send(descriptors[0], bytes, bytes.count, Int32(MSG_NOSIGNAL)) < 0 { return errno }
            }
        }
    }

    @Test func aHangingWriteIsFreed() async throws {
        let pair = Pair()
        let watch = try SocketWatchdog.shared.watch(pair.descriptors[0])
        watch.arm(for: .milliseconds(300))
        let start = ContinuousClock.now
        let error = try await OwnThread.run(name: "writer") { pair.writeForEver() }
        #expect(error == EPIPE)
        #expect(watch.fired)
        #expect(ContinuousClock.now - start >= .milliseconds(250))
        watch.end()
    }

    @Test func onlyTheLateOneIsShutDown() async throws {
        let late = Pair()
        let quick = Pair()
        let lateWatch = try SocketWatchdog.shared.watch(late.descriptors[0])
        let quickWatch = try SocketWatchdog.shared.watch(quick.descriptors[0])
        quickWatch.arm(for: .milliseconds(100))
        quickWatch.disarm()
        lateWatch.arm(for: .milliseconds(100))
        _ = try await OwnThread.run(name: "writer") { late.writeForEver() }
        #expect(lateWatch.fired)
        #expect(!quickWatch.fired)
        #expect(send(quick.descriptors[0], [1], 1, Int32(MSG_NOSIGNAL)) == 1)
        lateWatch.end()
        quickWatch.end()
    }

    @Test func itsDescriptorIsClosedWithIt() throws {
        let pair = Pair()
        // The peer sees the end only when every duplicate is closed.
        var watch: SocketWatchdog.Watch? = try SocketWatchdog.shared.watch(pair.descriptors[0])
        watch?.end()
        weak let released = watch
        watch = nil
        // The watchdog's thread may hold it for the length of one look.
        let deadline = ContinuousClock.now + .seconds(5)
        while released != nil, ContinuousClock.now < deadline { poll(nil, 0, 10) }
        #expect(released == nil)
    }
}
