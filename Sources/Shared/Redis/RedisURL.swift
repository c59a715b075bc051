// The parts of a redis:// URL, taken apart without ever repeating one of them in an error.

/// `redis[s]://[user[:password]@]host[:port][/database]`
struct RedisURL: Equatable {
    let isSecure: Bool
    let user: String?
    let password: String?
    let host: String
    let port: Int
    let database: Int

    init(_ url: String) throws(RedisConfigurationError) {
        guard let scheme = url.firstRange(of: "://") else { throw Self.wrong("has no scheme; it begins with redis://") }
        switch url[..<scheme.lowerBound].lowercased() {
        case "redis": isSecure = false
        case "rediss": isSecure = true
        default: throw Self.wrong("has another scheme than redis:// or, for TLS, rediss://")
        }
        let rest = url[scheme.upperBound...]
        guard !rest.contains("?"), !rest.contains("#") else {
            throw Self.wrong("has a query or fragment; in a password write ? as %3F and # as %23")
        }
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count + 1)
        guard !path.contains("@") else { throw Self.wrong("has an @ after a /; in a password write / as %2F") }
        database = try Self.database(path)

        var address = authority
        if let at = authority.lastIndex(of: "@") {
            let login = authority[..<at]
            address = authority[authority.index(after: at)...]
            let name = login.prefix { $0 != ":" }
            user = name.isEmpty ? nil : try Self.percentDecoded(name)
            password = name.count < login.count ? try Self.percentDecoded(login.dropFirst(name.count + 1)) : nil
        } else {
            user = nil
            password = nil
        }
        (host, port) = try Self.address(address)
    }

    private static func database(_ path: Substring) throws(RedisConfigurationError) -> Int {
        guard !path.isEmpty else { return 0 }
        guard path.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(path), number <= Int(Int32.max)
        else {
            throw wrong("ends in something else than a database number, such as /0")
        }
        return number
    }

    private static func address(_ text: Substring) throws(RedisConfigurationError) -> (String, Int) {
        let host: Substring
        let rest: Substring
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw wrong("has an IPv6 address without its closing ]") }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
        } else {
            host = text.prefix { $0 != ":" }
            rest = text.dropFirst(host.count)
        }
        let isPlain = host.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F && $0 != "@" }
        guard !host.isEmpty, isPlain else { throw wrong("names no host") }
        if rest.isEmpty { return (String(host), 6379) }
        let digits = rest.dropFirst()
        guard rest.first == ":", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65_535).contains(port)
        else { throw wrong("has a port that is not a number from 1 to 65535") }
        return (String(host), port)
    }

    private static func percentDecoded(_ text: Substring) throws(RedisConfigurationError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
                throw wrong("has a % in user or password that two hex digits do not follow; write % as %25")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw wrong("has a user or password that is not UTF-8")
        }
        return decoded
    }

    private static func hexValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x41 + 10
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }

    private static func wrong(_ what: String) -> RedisConfigurationError {
        RedisConfigurationError(
            reason: "the Redis URL \(what) (expected redis://[user[:password]@]host[:port][/database])"
        )
    }
}
