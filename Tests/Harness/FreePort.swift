// Loopback ports that nobody uses.

import Glibc
import Synchronization

/// Chooses free TCP ports on 127.0.0.1.
public enum FreePort {
    private static let given = Mutex<Set<Int>>([])

    /// A port that nothing is bound to and that this process has not been given before.
    ///
    /// Below 32768, where the kernel takes the ports of outgoing connections, so that none of them gets it
    /// between now and its use.
    public static func next() throws -> Int {
        for _ in 0..<500 {
            let port = Int.random(in: 20_000..<32_000)
            guard given.withLock({ $0.insert(port).inserted }) else { continue }
            if isFree(port) { return port }
        }
        throw HarnessError("no free port found on 127.0.0.1")
    }

    /// Whether a listener could be bound to the port now.
    public static func isFree(_ port: Int) -> Bool {
        guard let descriptor = try? LoopbackSocket.listen(port: port) else { return false }
        close(descriptor)
        return true
    }
}
