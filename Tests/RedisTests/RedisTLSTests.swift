// rediss:// against redis-server's own TLS, with certificates made for the test.

import Harness
import Redis
import Testing

@Suite struct RedisTLSTests {
    /// A server on two ports, one of them with TLS, and its authority.
    private final class SecureServer: Sendable {
        let server: RedisServer
        let port: Int
        let files: TemporaryDirectory

        init(server: RedisServer, port: Int, files: TemporaryDirectory) {
            self.server = server
            self.port = port
            self.files = files
        }
    }

    private func openssl(_ arguments: String...) async throws {
        let report = try await ChildProcess.run("openssl", arguments)
        try #require(report.isSuccess, "openssl \(arguments): \(report.errors)")
    }

    private func authority(_ name: String, in files: TemporaryDirectory) async throws {
        try await openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=\(name)",
            "-keyout",
            files.path("\(name).key"),
            "-out",
            files.path("\(name).crt")
        )
    }

    private func certificate(_ name: String, for alternative: String, in files: TemporaryDirectory) async throws {
        try await openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=\(name)",
            "-addext",
            "subjectAltName=\(alternative)",
            "-keyout",
            files.path("\(name).key"),
            "-out",
            files.path("\(name).csr")
        )
        try await openssl(
            "x509",
            "-req",
            "-in",
            files.path("\(name).csr"),
            "-CA",
            files.path("ca.crt"),
            "-CAkey",
            files.path("ca.key"),
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
            "-days",
            "2",
            "-out",
            files.path("\(name).crt")
        )
    }

    private func start(names: String, clients: String = "no") async throws -> SecureServer {
        let files = try TemporaryDirectory("redis-tls")
        try await authority("ca", in: files)
        try await authority("stranger", in: files)
        try await certificate("server", for: names, in: files)
        try await certificate("client", for: "DNS:client", in: files)
        let port = try FreePort.next()
        let server = try await RedisServer.start(
            configuration: [
                "tls-port \(port)", "tls-auth-clients \(clients)",
                "tls-cert-file \"\(files.path("server.crt"))\"", "tls-key-file \"\(files.path("server.key"))\"",
                "tls-ca-cert-file \"\(files.path("ca.crt"))\"",
            ],
            password: "hunter2"
        )
        return SecureServer(server: server, port: port, files: files)
    }

    private func configuration(_ secure: SecureServer, host: String, authority: String = "ca") throws
        -> RedisConfiguration
    {
        var configuration = try RedisConfiguration(url: "rediss://:hunter2@\(host):\(secure.port)/2")
        configuration.tls?.authorityFile = secure.files.path("\(authority).crt")
        return configuration
    }

    private func failure(_ configuration: RedisConfiguration) async -> String {
        let error = await redisError { try await withConnection(configuration) { _ in } }
        guard case .connectFailed(let reason) = error else { return "not refused: \(error as Any)" }
        return reason
    }

    @Test func speaksTLSAndChecksTheServer() async throws {
        let secure = try await start(names: "DNS:localhost,IP:127.0.0.1")
        for host in ["localhost", "127.0.0.1"] {
            try await withConnection(try configuration(secure, host: host)) { redis in
                try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                    for number in 0..<500 {
                        group.addTask { (number, try await redis.send("ECHO", [RedisArgument(number)]).string) }
                    }
                    for try await (number, reply) in group { #expect(reply == "\(number)") }
                }
                #expect(try await redis.send("CLIENT", ["INFO"]).string?.contains(" db=2 ") == true)
            }
        }
        let stranger = await failure(try configuration(secure, host: "localhost", authority: "stranger"))
        #expect(stranger.lowercased().contains("certificate"), "\(stranger)")
        let missing = await failure(try configuration(secure, host: "localhost", authority: "missing"))
        #expect(missing.contains("cannot read TLS authorities from"), "\(missing)")
        await secure.server.stop()
    }

    @Test func aCertificateForAnotherNameIsRefused() async throws {
        let secure = try await start(names: "DNS:redis.example,IP:10.0.0.1")
        for host in ["localhost", "127.0.0.1"] {
            let reason = await failure(try configuration(secure, host: host))
            #expect(reason.hasPrefix("rediss://\(host)"), "\(reason)")
        }
        await secure.server.stop()
    }

    @Test func showsItsOwnCertificateWhereTheServerWantsOne() async throws {
        let secure = try await start(names: "DNS:localhost", clients: "yes")
        var known = try configuration(secure, host: "localhost")
        let unknown = await failure(known)
        #expect(unknown.hasPrefix("rediss://localhost"), "\(unknown)")
        known.tls?.certificateFile = secure.files.path("client.crt")
        known.tls?.keyFile = secure.files.path("client.key")
        try await withConnection(known) { try await $0.ping() }
        await secure.server.stop()
    }

    @Test func aServerWithoutTLSIsNotSpokenToInTheClear() async throws {
        let server = try await SharedServers.redis()
        var configuration = try RedisConfiguration(url: "rediss://127.0.0.1:\(server.port)")
        configuration.connectTimeout = .seconds(2)
        let reason = await failure(configuration)
        #expect(reason.hasPrefix("rediss://127.0.0.1"), "\(reason)")
    }
}
