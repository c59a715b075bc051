// Sections: what each section of the configuration holds, with the defaults of `ferry.yaml`.

/// Where the API listens.
public struct ListenConfiguration: Sendable, Equatable, CustomStringConvertible {
    /// Host name or address, IPv6 without brackets.
    public var host: String
    /// TCP port; 0 lets the system choose.
    public var port: Int

    /// A place to listen at.
    public init(host: String = "127.0.0.1", port: Int = 8080) {
        self.host = host
        self.port = port
    }

    /// Reads "host:port", IPv6 in brackets.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        let digits = text[text.index(after: colon)...]
        guard let host = ValueKind.host.read(ScalarText(text: String(host), kind: .text)),
            let port = ValueKind.integer(0...65_535).read(ScalarText(text: String(digits), kind: .integer))
        else { return nil }
        self.init(host: host, port: port)
    }

    /// Whether only this machine can connect.
    public var isLoopback: Bool {
        if host.lowercased() == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// "host:port".
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Where acknowledged parts are kept.
public struct StagingConfiguration: Sendable, Equatable {
    /// Directory, absolute.
    public var path = "/var/lib/ferry/staging"
    /// Whether files and directories are fsynced. Without it no guarantee holds over a power failure.
    public var fsync = true
    /// Upper bound of all staged bytes.
    public var maxBytes: Int64 = 500 << 30

    /// The defaults.
    public init() {}
}

/// How Redis or RabbitMQ is reached.
public struct ServerConfiguration: Sendable, Equatable {
    /// The server's address.
    public var url: ServerURL
    /// File with the password; takes precedence over one in the URL.
    public var passwordFile: String?

    /// A server.
    public init(url: ServerURL, passwordFile: String? = nil) {
        self.url = url
        self.passwordFile = passwordFile
    }

    /// The password to log in with: from the file, or else from the URL.
    ///
    /// - Throws: `ConfigurationError` where the file cannot be used.
    public func password() throws(ConfigurationError) -> Secret? {
        if let passwordFile { return try readSecret(passwordFile) }
        return url.password.map { Secret($0) }
    }
}

/// The HTTP server's limits.
public struct HTTPConfiguration: Sendable, Equatable {
    /// Files for TLS.
    public struct TLS: Sendable, Equatable {
        /// PEM file with the certificate and its chain, absolute path.
        public var certificateFile: String
        /// PEM file with the private key, absolute path.
        public var keyFile: String

        /// A certificate and its key.
        public init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// TLS; `nil` for plain HTTP.
    public var tls: TLS?
    /// Connections at a time.
    public var maxConnections = 10_000
    /// How long a connection may be without a byte.
    public var idleTimeout: Duration = .seconds(60)
    /// Least rate of a body in bytes a second, below which the connection is closed; 0 for none.
    public var minRate: Int64 = 1 << 10
    /// Origins, such as `https://intranet.example`, whose pages may use the interface with tokens of their own.
    public var allowedOrigins: [String] = []

    /// The defaults.
    public init() {}
}

/// How transient failures are tried again.
public struct RetryConfiguration: Sendable, Equatable {
    /// First delay.
    public var base: Duration = .seconds(2)
    /// Longest delay.
    public var max: Duration = .seconds(600)
    /// Attempts before a job becomes a dead letter.
    public var attempts = 12
    /// Attempts where the target's disk is full.
    public var diskFullAttempts = 3

    /// The defaults.
    public init() {}
}

/// Who may use the API.
public struct AuthConfiguration: Sendable, Equatable {
    /// How callers prove who they are.
    public enum Mode: String, Sendable, CaseIterable {
        /// Bearer tokens from the tokens file.
        case tokens
        /// Not at all: everybody is one principal. Only on loopback.
        case none
    }

    /// How callers prove who they are.
    public var mode = Mode.tokens
    /// Tokens file, absolute path.
    public var tokensFile = "/etc/ferry/tokens"

    /// The defaults.
    public init() {}
}

/// Limits of uploads.
public struct UploadsConfiguration: Sendable, Equatable {
    /// Smallest and largest part in bytes (the last part of an upload may be smaller).
    public static let partSizes: ClosedRange<Int64> = (4 << 10)...(1 << 30)

    /// Part size in bytes where the client names none and the file does not need a larger one.
    public var partSize: Int64 = 10 << 20
    /// Largest upload in bytes.
    public var maxSize: Int64 = 5 << 40
    /// When an upload that nothing happens to is given up.
    public var expireAfter: Duration = .seconds(7 * 86_400)

    /// The defaults.
    public init() {}
}

/// What a worker does.
public struct WorkerConfiguration: Sendable, Equatable {
    /// A kind of work.
    public enum Role: String, Sendable, CaseIterable {
        /// Writes parts to targets.
        case ship
        /// Makes final files.
        case merge
    }

    /// The kinds of work, in the order written.
    public var roles: [Role] = [.ship, .merge]
    /// Which targets are worked for.
    public var targets: [Glob] = [Glob("*")]
    /// How long work in hand may take after the signal to stop.
    public var drain: Duration = .seconds(30)

    /// The defaults.
    public init() {}

    /// Whether this worker works for the target of that id.
    public func handles(_ target: String) -> Bool {
        targets.contains { $0.matches(target) }
    }
}
