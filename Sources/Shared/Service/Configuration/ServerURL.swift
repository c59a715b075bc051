// ServerURL: the address of a server with login and path, that never shows its password.

internal import Foundation

/// Where a server is reached, such as `redis://127.0.0.1:6379/0` (RFC 3986).
///
/// Its description leaves the password out; `value` has it.
public struct ServerURL: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// The whole text as it was written, with any password: for the client library, never for a log.
    public let value: String
    /// Scheme in lower case.
    public let scheme: String
    /// Host name or address, IPv6 without brackets.
    public let host: String
    /// Port, the scheme's own where none was written.
    public let port: Int
    /// User name, decoded.
    public let user: String?
    /// Password, decoded.
    public let password: String?
    /// What follows the first slash, decoded (a database number, a virtual host); `nil` without a slash or where
    /// nothing follows it.
    public let path: String?

    private static let schemes: [String: (port: Int, isEncrypted: Bool)] = [
        "redis": (6379, false), "rediss": (6379, true), "amqp": (5672, false), "amqps": (5671, true),
    ]

    /// Reads a URL of a scheme that Ferry speaks (redis, rediss, amqp, amqps) without query and fragment.
    public init?(_ text: String) {
        guard text.utf8.count <= 4_096, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let components = URLComponents(string: text),
            let scheme = components.scheme?.lowercased(),
            let standard = Self.schemes[scheme],
            let bracketed = components.host, !bracketed.isEmpty,
            components.query == nil, components.fragment == nil
        else { return nil }
        let port = components.port ?? standard.port
        guard (1...65_535).contains(port) else { return nil }
        let path = components.path.dropFirst()
        self.value = text
        self.scheme = scheme
        self.host =
            bracketed.hasPrefix("[") && bracketed.hasSuffix("]") ? String(bracketed.dropFirst().dropLast()) : bracketed
        self.port = port
        self.user = components.user.flatMap { $0.isEmpty ? nil : $0 }
        self.password = components.password.flatMap { $0.isEmpty ? nil : $0 }
        self.path = path.isEmpty ? nil : String(path)
    }

    /// Whether the scheme asks for TLS.
    public var isEncrypted: Bool { Self.schemes[scheme]?.isEncrypted ?? false }

    /// The URL without its password.
    public var description: String {
        let login = user.map { password == nil ? "\($0)@" : "\($0):***@" } ?? (password == nil ? "" : ":***@")
        let place = host.contains(":") ? "[\(host)]" : host
        return "\(scheme)://\(login)\(place):\(port)\(path.map { "/\($0)" } ?? "")"
    }

    /// Shows the description only, so that dumping a configuration tells no password either.
    public var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

extension ValueKind where Value == ServerURL {
    /// A URL of one of two schemes, the plain one and the one with TLS.
    static func url(
        _ plain: String,
        _ encrypted: String,
        example: String,
        path: @escaping (String?) -> Bool
    ) -> Self {
        Self(expectation: "a URL such as \(example) (or \(encrypted)://…)", isSecret: true) { scalar in
            guard scalar.kind == .text || scalar.kind == .untyped, let url = ServerURL(scalar.text),
                url.scheme == plain || url.scheme == encrypted, path(url.path)
            else { return nil }
            return url
        }
    }
}
