// A private redis-server.

/// A real Redis with an append-only file, on loopback.
public final class RedisServer: PrivateServer {
    /// The process and how it is started again.
    public let process: ServerProcess
    /// The password of the default user; nil when there is none.
    public let password: String?

    private init(process: ServerProcess, password: String?) {
        self.process = process
        self.password = password
    }

    /// Starts one and waits until it answers PING.
    ///
    /// - Parameters:
    ///   - configuration: lines of redis.conf, which win over the defaults.
    ///   - password: asked of every client, without spaces or quotes.
    ///   - port: a free one by default.
    public static func start(
        configuration: [String] = [],
        password: String? = nil,
        port: Int? = nil
    ) async throws -> RedisServer {
        let lines = configuration + (password.map { ["requirepass \($0)"] } ?? [])
        let process = try await ServerProcess.start("redis", port: port, arguments: lines) { port in
            let answer = try LoopbackSocket.ask(
                port: port,
                request: Array("PING\r\n".utf8),
                count: 5,
                milliseconds: 1_000
            )
            let text = String(decoding: answer, as: UTF8.self)
            // With a password, being refused is an answer too; while it reads its data it says LOADING.
            guard text.hasPrefix("+PONG") || text.hasPrefix("-NOAUTH") else {
                throw HarnessError("redis says \(text)")
            }
        }
        return RedisServer(process: process, password: password)
    }

    /// `redis://[:password@]127.0.0.1:port/0`
    public var url: String {
        "redis://" + (password.map { ":\($0)@" } ?? "") + "127.0.0.1:\(port)/0"
    }

    /// Runs `redis-cli` with these arguments and returns its output without the last newline.
    public func cli(_ arguments: String...) async throws -> String {
        let report = try await ChildProcess.run(
            "redis-cli",
            ["-h", host, "-p", String(port)] + arguments,
            environment: ["REDISCLI_AUTH": password]
        )
        guard report.isSuccess else { throw HarnessError("redis-cli \(arguments): \(report.errors)\(report.output)") }
        return report.output.hasSuffix("\n") ? String(report.output.dropLast()) : report.output
    }
}
