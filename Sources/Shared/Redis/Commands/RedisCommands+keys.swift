// Strings and keys of any type.

public import NIOCore

extension RedisCommands {
    /// `GET`: the text at a key, `nil` if there is none.
    public func get(_ key: String) async throws(RedisError) -> String? {
        try await send("GET", [RedisArgument(key)]).optionalText(for: "GET")
    }

    /// `GET`: the bytes at a key, `nil` if there is none.
    public func getBytes(_ key: String) async throws(RedisError) -> ByteBuffer? {
        let reply = try await send("GET", [RedisArgument(key)])
        if reply.isNull { return nil }
        guard let bytes = reply.bytes else { throw .unexpectedReply(command: "GET", expected: "a string") }
        return bytes
    }

    /// `GETEX` (Redis 6.2): the text at a key, which expires after that many milliseconds; `nil` if there is none.
    public func getAndExpire(_ key: String, px: Int64) async throws(RedisError) -> String? {
        try await send("GETEX", [RedisArgument(key), "PX", RedisArgument(px)]).optionalText(for: "GETEX")
    }

    /// `SET`: whether the value was set; only `nx` can make that false.
    ///
    /// - Parameters:
    ///   - ex: seconds after which the key expires; the other way to say it is `px`.
    ///   - px: milliseconds after which the key expires; used if `ex` is not given.
    ///   - nx: sets the value only if the key does not exist.
    @discardableResult
    public func set(
        _ key: String,
        _ value: RedisArgument,
        ex: Int64? = nil,
        px: Int64? = nil,
        nx: Bool = false
    ) async throws(RedisError) -> Bool {
        var arguments = [RedisArgument(key), value]
        if let ex {
            arguments += ["EX", RedisArgument(ex)]
        } else if let px {
            arguments += ["PX", RedisArgument(px)]
        }
        if nx { arguments.append("NX") }
        return try await !send("SET", arguments).isNull
    }

    /// `DEL`: how many of the keys existed. No keys, no command.
    @discardableResult
    public func del(_ keys: [String]) async throws(RedisError) -> Int64 {
        if keys.isEmpty { return 0 }
        return try await send("DEL", keys.map { RedisArgument($0) }).integer(for: "DEL")
    }

    /// `DEL`: how many of the keys existed.
    @discardableResult
    public func del(_ keys: String...) async throws(RedisError) -> Int64 {
        try await del(keys)
    }

    /// `EXISTS`: whether the key exists.
    public func exists(_ key: String) async throws(RedisError) -> Bool {
        try await send("EXISTS", [RedisArgument(key)]).integer(for: "EXISTS") > 0
    }

    /// `EXPIRE`: whether the key exists and now expires after that many seconds.
    @discardableResult
    public func expire(_ key: String, seconds: Int64) async throws(RedisError) -> Bool {
        try await send("EXPIRE", [RedisArgument(key), RedisArgument(seconds)]).integer(for: "EXPIRE") > 0
    }

    /// `PEXPIRE`: whether the key exists and now expires after that many milliseconds.
    @discardableResult
    public func pexpire(_ key: String, milliseconds: Int64) async throws(RedisError) -> Bool {
        try await send("PEXPIRE", [RedisArgument(key), RedisArgument(milliseconds)]).integer(for: "PEXPIRE") > 0
    }

    /// `PTTL`: milliseconds until the key expires; -1 if it does not expire, -2 if it does not exist.
    public func pttl(_ key: String) async throws(RedisError) -> Int64 {
        try await send("PTTL", [RedisArgument(key)]).integer(for: "PTTL")
    }

    /// `INCR`: the number at the key, after one was added.
    @discardableResult
    public func incr(_ key: String) async throws(RedisError) -> Int64 {
        try await send("INCR", [RedisArgument(key)]).integer(for: "INCR")
    }

    /// `INCRBY`: the number at the key, after `amount` was added.
    @discardableResult
    public func incrBy(_ key: String, _ amount: Int64) async throws(RedisError) -> Int64 {
        try await send("INCRBY", [RedisArgument(key), RedisArgument(amount)]).integer(for: "INCRBY")
    }

    /// `SCAN`: a page of keys. Begin with cursor `"0"` and go on until `"0"` comes back; a key may come twice.
    public func scan(
        cursor: String,
        match: String? = nil,
        count: Int? = nil
    ) async throws(RedisError) -> (cursor: String, keys: [String]) {
        var arguments = [RedisArgument(cursor)]
        arguments.appendScanOptions(match: match, count: count)
        let page = try await send("SCAN", arguments).page(for: "SCAN")
        return (page.cursor, try page.found.texts(for: "SCAN"))
    }
}
