// What must be given back goes back even when the task that holds it is cancelled.

internal import Core

/// Runs work in a task of its own, so that the cancellation of the caller's does not reach it, and waits for it. The
/// work bounds itself.
func shielded(_ work: @escaping @Sendable () async throws(StoreError) -> Void) async throws(StoreError) {
    let task = Task { () -> Result<Void, StoreError> in
        do throws(StoreError) { return .success(try await work()) } catch { return .failure(error) }
    }
    try await task.value.get()
}
