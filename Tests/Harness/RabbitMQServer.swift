// A private RabbitMQ broker.

/// A real RabbitMQ on loopback, with its own node name, cookie and port mapper. Starting one takes some seconds.
public final class RabbitMQServer: PrivateServer {
    /// The process and how it is started again.
    public let process: ServerProcess
    /// The user that owns the virtual host, an administrator.
    public let user = "ferry"
    /// That user's password.
    public let password = "ferry"
    /// The virtual host.
    public let virtualHost = "ferry"

    private init(process: ServerProcess) {
        self.process = process
    }

    /// Starts one and waits until it greets an AMQP 0-9-1 client.
    ///
    /// - Parameters:
    ///   - configuration: lines of rabbitmq.conf ("key = value").
    ///   - port: a free one by default.
    public static func start(configuration: [String] = [], port: Int? = nil) async throws -> RabbitMQServer {
        let process = try await ServerProcess.start("rabbitmq", port: port, arguments: configuration) { port in
            // AMQP 0-9-1 §4.2.2: the protocol header; the server answers with a method frame (type 1).
            let header = Array("AMQP".utf8) + [0, 0, 9, 1]
            let answer = try LoopbackSocket.ask(port: port, request: header, count: 8, milliseconds: 2_000)
            guard answer.first == 1 else { throw HarnessError("rabbitmq does not greet: \(answer)") }
        }
        return RabbitMQServer(process: process)
    }

    /// `amqp://ferry:ferry@127.0.0.1:port/ferry`
    public var url: String {
        "amqp://\(user):\(password)@127.0.0.1:\(port)/\(virtualHost)"
    }

    /// Runs `rabbitmqctl` against this broker and returns its output.
    public func control(_ arguments: String...) async throws -> String {
        let report = try await ChildProcess.run(
            ProjectRoot.path("scripts/servers/rabbitmqctl"),
            [directory] + arguments,
            within: .seconds(60)
        )
        guard report.isSuccess else { throw HarnessError("rabbitmqctl \(arguments): \(report.errors)\(report.output)") }
        return report.output
    }
}
