// Where the broker is, how to log in, and how long to wait for it.

/// A connection's settings.
public struct AMQPConfiguration: Sendable {
    /// How `amqps` is checked.
    public struct TLS: Sendable {
        /// PEM file of the authorities to trust.
        public var certificateAuthorityFile: String
        /// Whether the broker's certificate and host name are verified. Off only in tests.
        public var verify: Bool

        /// Settings that trust the system's authorities unless told otherwise.
        public init(
            certificateAuthorityFile: String = "/etc/ssl/certs/ca-certificates.crt",
            verify: Bool = true
        ) {
            self.certificateAuthorityFile = certificateAuthorityFile
            self.verify = verify
        }
    }

    /// Host name or address.
    public var host: String
    /// TCP port; 5672, or 5671 for `amqps`.
    public var port: Int
    /// Virtual host.
    public var vhost: String
    /// User name.
    public var user: String
    /// Password; never part of `description`.
    public var password: String
    /// Set for `amqps`.
    public var tls: TLS?
    /// What the client proposes; the lower of both sides counts. A peer silent for twice this time is given up.
    public var heartbeat: Duration = .seconds(10)
    /// Bound of connecting and logging in.
    public var connectTimeout: Duration = .seconds(10)
    /// Bound of one publish, declare or inspect.
    public var operationTimeout: Duration = .seconds(10)
    /// Shown in the broker's list of connections.
    public var connectionName: String?
    /// Messages published and not yet confirmed, at most.
    public var inFlightLimit = 2_000
    /// Callers that wait in `publish`, at most; more get `queueFull`.
    public var waitingLimit = 10_000
    /// A larger message, sent or received, is refused. In bytes.
    public var messageSizeLimit = 16 * 1_024 * 1_024

    /// Reads `amqp[s]://user:password@host:port/vhost` (percent-encoded; no path, or only "/", means the vhost "/").
    ///
    /// - Parameter password: wins over the one in the URL.
    public init(url: String, password: String? = nil) throws(AMQPConfigurationError) {
        guard let scheme = url.range(of: "://") else {
            throw AMQPConfigurationError("expected amqp://… or amqps://…")
        }
        switch url[..<scheme.lower].lowercased() {
        case "amqp": tls = nil
        case "amqps": tls = TLS()
        default: throw AMQPConfigurationError("expected the scheme amqp or amqps")
        }
        let rest = url[scheme.upper...]
        guard !rest.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw AMQPConfigurationError("expected no query and no fragment")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let path = slash < rest.endIndex ? rest[rest.index(after: slash)...] : ""
        let at = authority.lastIndex(of: "@")
        let login = at.map { authority[..<$0] }
        let place = at.map { authority[authority.index(after: $0)...] } ?? authority

        let colon = login?.firstIndex(of: ":") ?? login?.endIndex
        let urlUser = login.flatMap { login in colon.map { login[..<$0] } }
        let urlPassword = login.flatMap { login in
            colon.flatMap { $0 < login.endIndex ? login[login.index(after: $0)...] : nil }
        }
        user = try Self.decoded(urlUser ?? "guest", part: "user")
        if let password {
            self.password = password
        } else {
            self.password = try Self.decoded(urlPassword ?? "guest", part: "password")
        }
        vhost = path.isEmpty ? "/" : try Self.decoded(path, part: "vhost")
        (host, port) = try Self.place(place, defaultPort: tls == nil ? 5_672 : 5_671)
        for (part, value) in [("user", user), ("password", self.password), ("vhost", vhost)]
        where value.utf8.contains(0) {
            throw AMQPConfigurationError("expected no NUL in the \(part)")
        }
        guard vhost.utf8.count <= 255 else { throw AMQPConfigurationError("expected a vhost of at most 255 bytes") }
    }

    private static func place(
        _ text: Substring,
        defaultPort: Int
    ) throws(AMQPConfigurationError) -> (host: String, port: Int) {
        var host = text
        var port: Substring?
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else {
                throw AMQPConfigurationError("expected ] after an IPv6 address")
            }
            host = text[text.index(after: text.startIndex)..<end]
            let after = text[text.index(after: end)...]
            guard after.isEmpty || after.first == ":" else {
                throw AMQPConfigurationError("expected a port after the IPv6 address")
            }
            port = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard !host.isEmpty, !host.utf8.contains(0) else { throw AMQPConfigurationError("expected a host") }
        guard let port else { return (try decoded(host, part: "host"), defaultPort) }
        guard let number = Int(port), (1...65_535).contains(number) else {
            throw AMQPConfigurationError("expected a port from 1 to 65535")
        }
        return (try decoded(host, part: "host"), number)
    }

    private static func decoded(_ text: Substring, part: String) throws(AMQPConfigurationError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else {
                throw AMQPConfigurationError("expected two hexadecimal digits after % in the \(part)")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw AMQPConfigurationError("expected UTF-8 in the \(part)")
        }
        return decoded
    }

    private static func decoded(_ text: String, part: String) throws(AMQPConfigurationError) -> String {
        try decoded(text[...], part: part)
    }
}

extension AMQPConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Scheme, user, host, port and vhost; no password.
    public var description: String {
        "\(tls == nil ? "amqp" : "amqps")://\(user)@\(host):\(port)/\(vhost == "/" ? "" : vhost)"
    }
    /// The same as `description`.
    public var debugDescription: String { description }
    /// Hides the password from `dump` too.
    public var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

/// A connection URL that cannot be used. The URL itself is not in the text: it may hold a password.
public struct AMQPConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was expected.
    public let description: String

    init(_ expected: String) {
        description = "AMQP URL: \(expected)"
    }
}

extension String {
    /// The first place of `text`, without Foundation.
    fileprivate func range(of text: String) -> (lower: Index, upper: Index)? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return (start, index(start, offsetBy: text.count)) }
            start = index(after: start)
        }
        return nil
    }
}
