// The server itself: is it there, what time has it, what does it say of itself.

extension RedisCommands {
    /// `PING`: returns when the server has answered.
    public func ping(timeout: Duration? = nil) async throws(RedisError) {
        _ = try await send("PING", [], timeout: timeout)
    }

    /// `TIME`: the server's clock, in seconds since 1970 and microseconds within the second.
    public func time() async throws(RedisError) -> (seconds: Int64, microseconds: Int64) {
        let texts = try await send("TIME", []).texts(for: "TIME")
        guard texts.count == 2, let seconds = Int64(texts[0]), let microseconds = Int64(texts[1]) else {
            throw .unexpectedReply(command: "TIME", expected: "seconds and microseconds")
        }
        return (seconds, microseconds)
    }

    /// `INFO`: the fields of a section (`"server"`, `"memory"`), or of the default ones.
    public func info(_ section: String? = nil) async throws(RedisError) -> [String: String] {
        let text = try await send("INFO", section.map { [RedisArgument($0)] } ?? []).text(for: "INFO")
        var fields: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
        }
        return fields
    }

    /// `FLUSHALL`: removes every key of every database. For tests.
    public func flushall() async throws(RedisError) {
        _ = try await send("FLUSHALL", [])
    }
}
