// Lua scripts: run by digest, sent whole where the server does not know them.

extension RedisCommands {
    /// `EVALSHA`, and where the server answers `NOSCRIPT` (it was restarted, or its scripts were flushed) `EVAL`, by
    /// which it learns the script again.
    ///
    /// - Parameters:
    ///   - keys: what the script sees as `KEYS`.
    ///   - arguments: what it sees as `ARGV`.
    public func run(
        _ script: RedisScript,
        keys: [String],
        arguments: [RedisArgument],
        timeout: Duration? = nil
    ) async throws(RedisError) -> RESPValue {
        var rest: [RedisArgument] = []
        rest.reserveCapacity(keys.count + arguments.count + 2)
        rest.append(RedisArgument(script.sha1))
        rest.append(RedisArgument(keys.count))
        for key in keys { rest.append(RedisArgument(key)) }
        rest += arguments
        do {
            return try await send("EVALSHA", rest, timeout: timeout)
        } catch .server(let error, _) where error.code == "NOSCRIPT" {
            rest[0] = RedisArgument(script.source)
            return try await send("EVAL", rest, timeout: timeout)
        }
    }

    /// `SCRIPT LOAD`: the digest under which the server now knows the script.
    @discardableResult
    public func scriptLoad(_ script: RedisScript) async throws(RedisError) -> String {
        try await send("SCRIPT", ["LOAD", RedisArgument(script.source)]).text(for: "SCRIPT LOAD")
    }

    /// `SCRIPT EXISTS`: whether the server knows the script.
    public func scriptExists(_ script: RedisScript) async throws(RedisError) -> Bool {
        let reply = try await send("SCRIPT", ["EXISTS", RedisArgument(script.sha1)])
        guard let first = try reply.elements(for: "SCRIPT EXISTS").first else { return false }
        return try first.integer(for: "SCRIPT EXISTS") > 0
    }

    /// `SCRIPT FLUSH`: the server forgets all scripts.
    public func scriptFlush() async throws(RedisError) {
        _ = try await send("SCRIPT", ["FLUSH"])
    }
}
