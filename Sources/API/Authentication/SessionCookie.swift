// SessionCookie: the cookie that carries a session's secret, and where it may travel.

import HTTPTypes

/// The cookie of a sign-in (RFC 6265). It is named for its port where browsers share cookies between ports and no TLS
/// is needed, on loopback; anywhere else it is bound to the host and to TLS by the prefix `__Host-`.
enum SessionCookie {
    /// How many hexadecimal digits a secret has: 256 random bits.
    static let digits = 64

    /// The session's secret in a request; nil where it has none, or what it has cannot be one.
    static func secret(in head: HTTPRequest) -> Substring? {
        let wanted = name(for: head.authority)
        for field in head.headerFields[values: .cookie] {
            for pair in field.split(separator: ";") {
                let trimmed = pair.drop { $0 == " " }
                guard let equals = trimmed.firstIndex(of: "="), trimmed[..<equals] == wanted else { continue }
                let value = trimmed[trimmed.index(after: equals)...]
                guard value.utf8.count == digits, value.utf8.allSatisfy(isDigit) else { continue }
                return value
            }
        }
        return nil
    }

    /// The value of `Set-Cookie` that keeps a secret until the browser ends.
    static func keep(_ secret: String, for authority: String?) -> String { field(secret, "", authority) }

    /// The value of `Set-Cookie` that removes it.
    static func forget(for authority: String?) -> String { field("", "; Max-Age=0", authority) }

    private static func field(_ value: String, _ age: String, _ authority: String?) -> String {
        let secure = isLoopback(authority) ? "" : "; Secure"
        return "\(name(for: authority))=\(value); Path=/; HttpOnly; SameSite=Strict\(secure)\(age)"
    }

    static func name(for authority: String?) -> String {
        guard isLoopback(authority) else { return "__Host-ferry" }
        let port = authority?.split(separator: ":").last.flatMap { Int($0) } ?? 80
        return "ferry-\(port)"
    }

    /// Whether the browser was sent to its own machine: there it takes even plain HTTP for safe.
    static func isLoopback(_ authority: String?) -> Bool {
        guard let authority else { return false }
        if authority == "[::1]" || authority.hasPrefix("[::1]:") { return true }
        let host = authority.prefix { $0 != ":" }.lowercased()
        if host == "localhost" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers[0] == "127" && numbers.allSatisfy { UInt8($0) != nil }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
}
