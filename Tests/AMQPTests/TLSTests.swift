// amqps: the broker's certificate and name are checked.

import AMQP
import Harness
import Testing

@Suite(.timeLimit(.minutes(3))) struct TLSTests {
    private func openssl(_ arguments: String...) async throws {
        let report = try await ChildProcess.run("openssl", arguments, within: .seconds(30))
        guard report.isSuccess else { throw HarnessError("openssl \(arguments): \(report.errors)") }
    }

    /// An authority, and a certificate of it for that name.
    private func makeCertificate(_ directory: TemporaryDirectory, _ name: String) async throws {
        let path = directory.path(_:)
        try await openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            path("ca.key"),
            "-out",
            path("ca.pem")
        )
        try await openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=\(name)",
            "-addext",
            "subjectAltName=DNS:\(name)",
            "-keyout",
            path("server.key"),
            "-out",
            path("server.csr")
        )
        try await openssl(
            "x509",
            "-req",
            "-in",
            path("server.csr"),
            "-CA",
            path("ca.pem"),
            "-CAkey",
            path("ca.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-copy_extensions",
            "copy",
            "-out",
            path("server.pem")
        )
    }

    @Test func certificateAndNameAreChecked() async throws {
        let directory = try TemporaryDirectory("amqp-tls")
        try await makeCertificate(directory, "localhost")
        let port = try FreePort.next()
        let broker = try await RabbitMQServer.start(configuration: [
            "listeners.ssl.1 = 127.0.0.1:\(port)",
            "ssl_options.cacertfile = \(directory.path("ca.pem"))",
            "ssl_options.certfile = \(directory.path("server.pem"))",
            "ssl_options.keyfile = \(directory.path("server.key"))",
            "ssl_options.verify = verify_none",
        ])
        let scene = Scene(broker)
        func configuration(host: String, authority: String) throws -> AMQPConfiguration {
            var configuration = try AMQPConfiguration(url: "amqps://ferry:ferry@\(host):\(port)/ferry")
            configuration.tls = .init(certificateAuthorityFile: authority)
            return configuration
        }

        let trusted = try configuration(host: "localhost", authority: directory.path("ca.pem"))
        let queue = scene.queue()
        let publisher = AMQPPublisher(
            configuration: trusted,
            topology: AMQPTopology(queues: [queue]),
            logger: scene.logger
        )
        let seen = Seen<Int>()
        let consumer = AMQPConsumer(
            configuration: trusted,
            topology: AMQPTopology(queues: [queue]),
            subscriptions: [
                .init(.queue(queue.name), prefetch: 8) {
                    seen.add($0.body.count)
                    return .ack
                }
            ],
            logger: scene.logger
        )
        try await running({ try await publisher.run() }) {
            try await running({ try await consumer.run() }) {
                try await publisher.waitUntilConnected()
                try await withThrowingTaskGroup(of: PublishOutcome.self) { group in
                    for number in 0..<300 {
                        group.addTask {
                            var message = AMQPMessage("")
                            // Beyond the size of a TLS record, too.
                            message.body = Array(repeating: 3, count: number * 200)
                            return try await publisher.publish(
                                message,
                                exchange: "",
                                routingKey: queue.name,
                                mandatory: true
                            )
                        }
                    }
                    for try await outcome in group { #expect(outcome == .confirmed) }
                }
                try await eventually("all arrive") { seen.count == 300 }
            }
        }
        #expect(Set(seen.all) == Set((0..<300).map { $0 * 200 }))

        let stranger = try TemporaryDirectory("amqp-tls-stranger")
        try await makeCertificate(stranger, "localhost")
        let refused = [
            ("unknown authority", try configuration(host: "localhost", authority: stranger.path("ca.pem"))),
            ("other name", try configuration(host: "127.0.0.1", authority: directory.path("ca.pem"))),
            ("no authority", try configuration(host: "localhost", authority: directory.path("missing.pem"))),
        ]
        for (what, configuration) in refused {
            let publisher = AMQPPublisher(configuration: configuration, logger: scene.logger)
            try await running({ try await publisher.run() }) {
                try await eventually(what) {
                    if case .disconnected(_?) = publisher.state { true } else { false }
                }
                #expect(publisher.state != .connected)
            }
        }
    }
}
