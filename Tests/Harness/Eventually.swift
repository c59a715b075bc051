// Waiting for a condition with a deadline, instead of sleeping and hoping.

internal import Foundation

/// A condition did not come true in time.
public struct NotInTime: Error, CustomStringConvertible {
    /// What was waited for, how long, and the last error the condition threw.
    public let description: String

    /// An error with this text.
    public init(description: String) { self.description = description }
}

/// Asks again and again until `condition` is true; an error of the condition counts as "not yet".
///
/// - Parameters:
///   - what: names the condition in the failure's text.
///   - within: after this time `NotInTime` is thrown.
///   - every: the pause between two questions.
public func eventually(
    _ what: String,
    within: Duration = .seconds(10),
    every: Duration = .milliseconds(20),
    _ condition: () async throws -> Bool
) async throws {
    _ = try await eventuallyValue(what, within: within, every: every) { try await condition() ? true : nil }
}

/// Code that a sanitizer watches takes many times as long, and tests beside this one keep all threads busy for seconds.
private let patience = ProcessInfo.processInfo.environment["SANITIZE"].map { $0.isEmpty } ?? true ? 1 : 6

/// Asks again and again until `value` is not nil, and returns it.
public func eventuallyValue<Value>(
    _ what: String,
    within: Duration = .seconds(10),
    every: Duration = .milliseconds(20),
    _ value: () async throws -> Value?
) async throws -> Value {
    let clock = ContinuousClock()
    let start = clock.now
    let within = within * patience
    let deadline = start + within
    while true {
        var last = ""
        do {
            if let found = try await value() { return found }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            last = "; last error: \(error)"
        }
        guard clock.now < deadline else {
            throw NotInTime(description: "not within \(within): \(what)\(last)")
        }
        try await clock.sleep(for: every)
    }
}

/// Runs blocking work on a thread that may block.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        BlockingThreads.run { continuation.resume(with: Result(catching: work)) }
    }
}
