// Where a Redis server is, how to log in to it, and how long to wait for it.

/// What is wrong with a configuration, in words for whoever wrote it. Nothing of a URL is repeated in it, for a
/// mistyped URL can have its password anywhere.
public struct RedisConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong and what was expected.
    public let reason: String

    /// The reason.
    public var description: String { reason }
}

/// How a TLS connection is checked. The server's certificate and its name are always verified; TLS 1.2 is the least.
public struct RedisTLS: Sendable, Equatable {
    /// A PEM file of the authorities to trust instead of the system's.
    public var authorityFile: String?
    /// PEM files of the certificate and key by which the server knows this client (`tls-auth-clients`).
    public var certificateFile: String?
    /// The key that belongs to `certificateFile`.
    public var keyFile: String?

    /// TLS with the given files, or with the system's authorities and no client certificate.
    public init(authorityFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
        self.authorityFile = authorityFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// A server and how to speak with it.
public struct RedisConfiguration: Sendable {
    /// A host name or address.
    public var host: String
    /// The TCP port.
    public var port: Int
    /// The ACL user; `nil` is the default user.
    public var user: String?
    /// The database that is selected on every connection.
    public var database: Int
    /// How TLS is spoken; `nil` for none.
    public var tls: RedisTLS?
    /// What a connection calls itself (`CLIENT LIST`); no spaces.
    public var clientName: String?
    /// For resolving, connecting, TLS and login together.
    public var connectTimeout: Duration = .seconds(5)
    /// For the reply to one command.
    public var commandTimeout: Duration = .seconds(5)
    /// Before that, for a connection where there is none; `nil` for as long as the command may take. Short where
    /// somebody waits for an answer, yet long enough to outlast a connection that is just being replaced.
    public var connectionPatience: Duration?
    /// Commands that may wait for replies at once, and callers that may wait for a connection.
    public var maxPending = 10_000
    /// Bytes of commands that may wait while the server does not read.
    public var maxPendingBytes = 64 * 1024 * 1024
    /// The first pause between two attempts to connect; it doubles with every attempt.
    public var minimumBackoff: Duration = .milliseconds(50)
    /// The longest pause between two attempts to connect.
    public var maximumBackoff: Duration = .seconds(2)
    /// What the server may make this side hold.
    public var limits = RESPLimits()
    let password: String?

    /// Reads `redis://[user[:password]@]host[:port][/database]`; `rediss://` is the same over TLS. User and password
    /// are percent-decoded. The form is that of the IANA registration of `redis` (port 6379, database 0 by default).
    ///
    /// - Parameter password: the password, where it is kept elsewhere than in the URL.
    /// - Throws: `RedisConfigurationError` that says what was expected.
    public init(url: String, password: String? = nil) throws(RedisConfigurationError) {
        let parts = try RedisURL(url)
        host = parts.host
        port = parts.port
        user = parts.user
        database = parts.database
        tls = parts.isSecure ? RedisTLS() : nil
        if parts.password != nil, password != nil {
            throw RedisConfigurationError(reason: "the Redis password is given twice: in the URL and beside it")
        }
        self.password = parts.password ?? password
        if self.password?.isEmpty == true {
            throw RedisConfigurationError(reason: "the Redis password is empty")
        }
        if user != nil, self.password == nil {
            throw RedisConfigurationError(reason: "the Redis URL names a user, but there is no password for it")
        }
    }
}

extension RedisConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The server as a URL, without user and password.
    public var description: String {
        let bracketed = host.contains(":") ? "[\(host)]" : host
        return "\(tls == nil ? "redis" : "rediss")://\(bracketed):\(port)/\(database)"
    }

    /// The same as `description`.
    public var debugDescription: String { description }
    /// Empty, so that a dump shows no password either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
