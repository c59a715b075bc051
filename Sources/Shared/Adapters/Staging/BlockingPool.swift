// Threads that may block on the disk, so that neither Swift's cooperative threads nor an event loop ever do.

internal import Core
internal import NIOPosix
internal import Synchronization

/// A fixed number of threads. Work waits in line; work that was begun is always finished.
final class BlockingPool: Sendable {
    private let threads: NIOThreadPool

    init(threads count: Int) {
        threads = NIOThreadPool(numberOfThreads: max(count, 1))
        threads.start()
    }

    deinit {
        // The pool insists on being stopped; its threads end by themselves then.
        threads.shutdownGracefully { _ in }
    }

    /// Runs work that blocks for a bounded time. It is not cancelled with the task: a write or a clean-up that was
    /// begun is brought to its end.
    func run<Value: Sendable>(
        _ work: @escaping @Sendable () throws(StagingError) -> Value
    ) async throws(StagingError) -> Value {
        try await begin(work).wait()
    }

    /// Begins work whose end is waited for later.
    func begin<Value: Sendable>(
        _ work: @escaping @Sendable () throws(StagingError) -> Value
    ) -> BegunWork<Value> {
        let begun = BegunWork<Value>()
        threads.submit { state in
            switch state {
            case .active: begun.end(Result { () throws(StagingError) in try work() })
            case .cancelled: begun.end(.failure(.failed("staging is closed")))
            }
        }
        return begun
    }

    /// Runs work that nobody waits for.
    func later(_ work: @escaping @Sendable () -> Void) {
        threads.submit { state in
            if case .active = state { work() }
        }
    }

    /// Finishes what was begun and ends the threads; what comes later fails.
    func close() async {
        await withCheckedContinuation { continuation in
            threads.shutdownGracefully { _ in continuation.resume() }
        }
    }
}

/// Work that was begun, and its end.
final class BegunWork<Value: Sendable>: Sendable {
    private enum State {
        case running
        case awaited(CheckedContinuation<Result<Value, StagingError>, Never>)
        case ended(Result<Value, StagingError>)
    }

    private let state = Mutex(State.running)

    fileprivate func end(_ result: Result<Value, StagingError>) {
        let waiting: CheckedContinuation<Result<Value, StagingError>, Never>? = state.withLock { state in
            defer { state = .ended(result) }
            if case .awaited(let continuation) = state { return continuation }
            return nil
        }
        waiting?.resume(returning: result)
    }

    /// Waits for the end; to be called once.
    func wait() async throws(StagingError) -> Value {
        let result: Result<Value, StagingError> = await withCheckedContinuation { continuation in
            let early: Result<Value, StagingError>? = state.withLock { state in
                if case .ended(let result) = state { return result }
                state = .awaited(continuation)
                return nil
            }
            if let early { continuation.resume(returning: early) }
        }
        return try result.get()
    }
}
