// Threads that may block on the disk, so that neither Swift's cooperative threads nor an event loop ever do.

internal import Core
internal import NIOPosix
internal import Synchronization

/// A fixed number of threads. Work waits in line, but for what follows other work; work that was begun is always finished.
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
    ///
    /// - Parameter earlier: work that has to end first, if any; its failure is this one's. If it is still under way, this
    ///   begins on the thread that ends it, before what waits in line; if it has ended, this waits in line.
    func begin<Value: Sendable>(
        after earlier: BegunWork<Void>? = nil,
        _ work: @escaping @Sendable () throws(StagingError) -> Value
    ) -> BegunWork<Value> {
        let begun = BegunWork<Value>()
        let followed: @Sendable (Result<Void, StagingError>) -> Void = { result in
            begun.end(result.flatMap { Result { () throws(StagingError) in try work() } })
        }
        let result: Result<Void, StagingError>
        if let earlier {
            guard let ended = earlier.follow(followed) else { return begun }
            result = ended
        } else {
            result = .success(())
        }
        threads.submit { state in
            switch state {
            case .active: followed(result)
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
        case followed(@Sendable (Result<Value, StagingError>) -> Void)
        case ended(Result<Value, StagingError>)
    }

    private let state = Mutex(State.running)

    fileprivate func end(_ result: Result<Value, StagingError>) {
        let next: (@Sendable (Result<Value, StagingError>) -> Void)? = state.withLock { state in
            defer { state = .ended(result) }
            if case .followed(let next) = state { return next }
            return nil
        }
        next?(result)
    }

    /// Has `next` run on the thread that ends this. Where it has ended already, answers how, and `next` does not run.
    /// There is one follower at most, `wait` included.
    fileprivate func follow(
        _ next: @escaping @Sendable (Result<Value, StagingError>) -> Void
    ) -> Result<Value, StagingError>? {
        state.withLock { state in
            switch state {
            case .ended(let result): return result
            case .followed: preconditionFailure("work is followed once")
            case .running:
                state = .followed(next)
                return nil
            }
        }
    }

    /// Waits for the end; to be called once.
    func wait() async throws(StagingError) -> Value {
        let result: Result<Value, StagingError> = await withCheckedContinuation { continuation in
            if let early = follow({ continuation.resume(returning: $0) }) { continuation.resume(returning: early) }
        }
        return try result.get()
    }
}
