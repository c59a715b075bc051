// Sorted sets: members ordered by score.

extension RedisCommands {
    /// `ZADD`: how many of the members are new. No members, no command.
    ///
    /// - Parameter nx: only adds, never changes the score of a member that is there.
    @discardableResult
    public func zadd(
        _ key: String,
        _ members: [(score: Double, member: String)],
        nx: Bool = false
    ) async throws(RedisError) -> Int64 {
        if members.isEmpty { return 0 }
        let arguments = members.flatMap { [RedisArgument($0.score), RedisArgument($0.member)] }
        return try await send("ZADD", [RedisArgument(key)] + (nx ? ["NX"] : []) + arguments).integer(for: "ZADD")
    }

    /// `ZRANGE`: the members from one rank to another, both included; -1 is the last.
    ///
    /// - Parameter rev: counts ranks from the highest score.
    public func zrange(
        _ key: String,
        from start: Int64,
        through stop: Int64,
        rev: Bool = false
    ) async throws(RedisError) -> [String] {
        let arguments = [RedisArgument(key), RedisArgument(start), RedisArgument(stop)] + (rev ? ["REV"] : [])
        return try await send("ZRANGE", arguments).texts(for: "ZRANGE")
    }

    /// `ZRANGE … WITHSCORES`: like `zrange`, with the members' scores.
    public func zrangeWithScores(
        _ key: String,
        from start: Int64,
        through stop: Int64,
        rev: Bool = false
    ) async throws(RedisError) -> [(member: String, score: Double)] {
        var arguments = [RedisArgument(key), RedisArgument(start), RedisArgument(stop)]
        if rev { arguments.append("REV") }
        return try scored(await send("ZRANGE", arguments + ["WITHSCORES"]))
    }

    /// `ZRANGE … BYSCORE`: the members whose scores are between two, both included.
    ///
    /// - Parameters:
    ///   - min: the least score, as Redis writes it: `"-inf"`, `"(5"` for more than 5.
    ///   - max: the highest score, likewise.
    ///   - rev: from the highest score down.
    ///   - limit: how many to leave out, and how many to return at most; negative for all.
    public func zrangeByScore(
        _ key: String,
        min: RedisArgument,
        max: RedisArgument,
        rev: Bool = false,
        limit: (offset: Int64, count: Int64)? = nil
    ) async throws(RedisError) -> [String] {
        try await send("ZRANGE", byScore(key, min, max, rev, limit)).texts(for: "ZRANGE")
    }

    /// `ZRANGE … BYSCORE … WITHSCORES`: like `zrangeByScore`, with the members' scores.
    public func zrangeByScoreWithScores(
        _ key: String,
        min: RedisArgument,
        max: RedisArgument,
        rev: Bool = false,
        limit: (offset: Int64, count: Int64)? = nil
    ) async throws(RedisError) -> [(member: String, score: Double)] {
        try scored(await send("ZRANGE", byScore(key, min, max, rev, limit) + ["WITHSCORES"]))
    }

    /// `ZREM`: how many of the members were there. No members, no command.
    @discardableResult
    public func zrem(_ key: String, _ members: [String]) async throws(RedisError) -> Int64 {
        if members.isEmpty { return 0 }
        return try await send("ZREM", [RedisArgument(key)] + members.map { RedisArgument($0) }).integer(for: "ZREM")
    }

    /// `ZCARD`: how many members the set has.
    public func zcard(_ key: String) async throws(RedisError) -> Int64 {
        try await send("ZCARD", [RedisArgument(key)]).integer(for: "ZCARD")
    }

    /// `ZSCORE`: the score of a member, `nil` if it is not there.
    public func zscore(_ key: String, _ member: String) async throws(RedisError) -> Double? {
        let reply = try await send("ZSCORE", [RedisArgument(key), RedisArgument(member)])
        return reply.isNull ? nil : try score(reply.text(for: "ZSCORE"), "ZSCORE")
    }

    private func byScore(
        _ key: String,
        _ min: RedisArgument,
        _ max: RedisArgument,
        _ rev: Bool,
        _ limit: (offset: Int64, count: Int64)?
    ) -> [RedisArgument] {
        // With REV the command wants the highest score first.
        var arguments = [RedisArgument(key), rev ? max : min, rev ? min : max, "BYSCORE"]
        if rev { arguments.append("REV") }
        if let limit { arguments += ["LIMIT", RedisArgument(limit.offset), RedisArgument(limit.count)] }
        return arguments
    }

    private func scored(_ reply: RESPValue) throws(RedisError) -> [(member: String, score: Double)] {
        var members: [(member: String, score: Double)] = []
        for (member, digits) in try reply.pairs(for: "ZRANGE") {
            members.append((member, try score(digits, "ZRANGE")))
        }
        return members
    }

    private func score(_ digits: String, _ command: String) throws(RedisError) -> Double {
        guard let score = Double(digits) else { throw .unexpectedReply(command: command, expected: "a score") }
        return score
    }
}
