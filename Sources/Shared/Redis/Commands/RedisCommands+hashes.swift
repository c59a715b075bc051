// Hashes: fields and values at a key.

extension RedisCommands {
    /// `HGETALL`: all fields; empty if there is no such hash.
    public func hgetall(_ key: String) async throws(RedisError) -> [String: String] {
        let pairs = try await send("HGETALL", [RedisArgument(key)]).pairs(for: "HGETALL")
        return Dictionary(pairs) { $1 }
    }

    /// `HGET`: the value of a field, `nil` if there is none.
    public func hget(_ key: String, _ field: String) async throws(RedisError) -> String? {
        try await send("HGET", [RedisArgument(key), RedisArgument(field)]).optionalText(for: "HGET")
    }

    /// `HMGET`: the values of the fields in their order, `nil` for those that are not there. No fields, no command.
    public func hmget(_ key: String, _ fields: [String]) async throws(RedisError) -> [String?] {
        if fields.isEmpty { return [] }
        let reply = try await send("HMGET", [RedisArgument(key)] + fields.map { RedisArgument($0) })
        var values: [String?] = []
        for element in try reply.elements(for: "HMGET") { values.append(try element.optionalText(for: "HMGET")) }
        guard values.count == fields.count else {
            throw .unexpectedReply(command: "HMGET", expected: "\(fields.count) values")
        }
        return values
    }

    /// `HSET`: how many of the fields are new. No fields, no command.
    @discardableResult
    public func hset(_ key: String, _ fields: [(String, RedisArgument)]) async throws(RedisError) -> Int64 {
        if fields.isEmpty { return 0 }
        let arguments = fields.flatMap { [RedisArgument($0.0), $0.1] }
        return try await send("HSET", [RedisArgument(key)] + arguments).integer(for: "HSET")
    }

    /// `HSET` of one field: whether it is new.
    @discardableResult
    public func hset(_ key: String, _ field: String, _ value: RedisArgument) async throws(RedisError) -> Bool {
        try await hset(key, [(field, value)]) > 0
    }

    /// `HDEL`: how many of the fields existed. No fields, no command.
    @discardableResult
    public func hdel(_ key: String, _ fields: [String]) async throws(RedisError) -> Int64 {
        if fields.isEmpty { return 0 }
        return try await send("HDEL", [RedisArgument(key)] + fields.map { RedisArgument($0) }).integer(for: "HDEL")
    }

    /// `HLEN`: how many fields the hash has.
    public func hlen(_ key: String) async throws(RedisError) -> Int64 {
        try await send("HLEN", [RedisArgument(key)]).integer(for: "HLEN")
    }

    /// `HSCAN`: a page of fields. Begin with cursor `"0"` and go on until `"0"` comes back; a field may come twice.
    public func hscan(
        _ key: String,
        cursor: String,
        match: String? = nil,
        count: Int? = nil
    ) async throws(RedisError) -> (cursor: String, fields: [(String, String)]) {
        var arguments = [RedisArgument(key), RedisArgument(cursor)]
        arguments.appendScanOptions(match: match, count: count)
        let page = try await send("HSCAN", arguments).page(for: "HSCAN")
        return (page.cursor, try page.found.pairs(for: "HSCAN"))
    }
}
