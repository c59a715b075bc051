// HTTPServer: the router behind a bounded server, plain or with TLS.

import Core
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOSSL

/// Builds the application that serves the router.
enum HTTPServer {
    /// - Parameters:
    ///   - host: host name or address to listen at.
    ///   - port: 0 lets the system choose.
    ///   - tls: certificate and key; nil for plain HTTP.
    ///   - onRunning: called with the port once connections are accepted.
    static func make(
        _ router: Router<RequestScope>,
        host: String,
        port: Int,
        limits: ServerLimits,
        tls: TLSConfiguration? = nil,
        logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws -> Application<RouterResponder<RequestScope>> {
        let budget = MemoryBudget(bytes: limits.memoryBudget, isTLS: tls != nil)
        let plain = HTTPServerBuilder { responder in
            IngestChannel(responder: responder, limits: limits, budget: budget)
        }
        let server = try tls.map { try HTTPServerBuilder.tls(plain, tlsConfiguration: $0) } ?? plain
        return Application(
            router: router,
            server: server,
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                backlog: 1_024,
                availableConnectionsDelegate: .maximum(limits.maximumConnections, logger: logger)
            ),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? port) },
            logger: logger
        )
    }

    /// TLS 1.2 and later with a certificate chain and key in PEM files.
    static func tls(certificateFile: String, keyFile: String) throws -> TLSConfiguration {
        let chain = try NIOSSLCertificate.fromPEMFile(certificateFile).map { NIOSSLCertificateSource.certificate($0) }
        let key = try NIOSSLPrivateKey(file: keyFile, format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain,
            privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return configuration
    }
}
