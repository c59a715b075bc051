// Threads that may block: Swift's own few may not.

import Foundation

/// Runs work that blocks for a bounded time.
enum BlockingThreads {
    private static let queue = DispatchQueue(label: "harness.blocking", attributes: .concurrent)

    static func run(_ work: @escaping @Sendable () -> Void) {
        queue.async(execute: work)
    }
}
