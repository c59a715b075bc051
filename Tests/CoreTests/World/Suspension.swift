// Waiting that a cancelled task gives up, for whatever keeps a list of those who wait.

/// Suspends until somebody resumes the continuation.
///
/// - Parameters:
///   - enlist: puts the continuation on the list; true where there is nothing to wait for any more.
///   - withdraw: takes it off again because the task is cancelled, perhaps before it is there; nil where it is not.
func suspend(
    enlist: (UnsafeContinuation<Void, Never>) -> Bool,
    withdraw: @Sendable () -> UnsafeContinuation<Void, Never>?
) async {
    await withTaskCancellationHandler {
        await withUnsafeContinuation { if enlist($0) { $0.resume() } }
    } onCancel: {
        withdraw()?.resume()
    }
}
