// Threads outside Swift's cooperative pool, which must not block.

internal import CRabbitMQ
internal import Glibc

/// Starts threads.
enum OwnThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a new thread.
    static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(AMQPError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // The library decodes nested tables by recursion without a limit but the frame's size, 128 KiB: a hostile
        // peer must not reach the end of the stack.
        pthread_attr_setstacksize(&attributes, 16 * 1_024 * 1_024)
        let box = Unmanaged.passRetained(
            Body {
                amqp_shim_name_thread(name)
                body()
            }
        )
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            &attributes,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            },
            box.toOpaque()
        )
        guard status == 0 else {
            box.release()
            throw .system("start a thread: \(String(cString: strerror(status)))")
        }
    }

    /// Runs `body` on a new thread and waits for what it returns.
    static func run<Value: Sendable>(
        name: String,
        _ body: @escaping @Sendable () -> Value
    ) async throws(AMQPError) -> Value {
        let result: Result<Value, AMQPError> = await withCheckedContinuation { continuation in
            do throws(AMQPError) {
                try start(name: name) { continuation.resume(returning: .success(body())) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }
}
