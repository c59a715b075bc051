// What every typed command is built on: something that can send, and checked access to replies.

/// Something that sends commands: a client, or one connection. All typed commands are extensions of this.
public protocol RedisCommands: Sendable {
    /// Sends a command and waits for its reply; an error reply throws `RedisError.server`.
    func send(_ command: String, _ arguments: [RedisArgument], timeout: Duration?) async throws(RedisError) -> RESPValue

    /// Sends commands in one go, nobody else's between them; error replies are among the results.
    func pipeline(
        _ commands: [(String, [RedisArgument])],
        timeout: Duration?
    ) async throws(RedisError) -> [RESPValue]
}

extension RedisCommands {
    /// Sends a command with the default time-out.
    public func send(_ command: String, _ arguments: [RedisArgument] = []) async throws(RedisError) -> RESPValue {
        try await send(command, arguments, timeout: nil)
    }

    /// Sends commands in one go with the default time-out.
    public func pipeline(_ commands: [(String, [RedisArgument])]) async throws(RedisError) -> [RESPValue] {
        try await pipeline(commands, timeout: nil)
    }
}

// A reply of another kind than documented is a thrown error, never a trap and never a default value.
extension RESPValue {
    func integer(for command: String) throws(RedisError) -> Int64 {
        guard let integer else { throw .unexpectedReply(command: command, expected: "an integer") }
        return integer
    }

    func text(for command: String) throws(RedisError) -> String {
        guard let string else { throw .unexpectedReply(command: command, expected: "UTF-8 text") }
        return string
    }

    func optionalText(for command: String) throws(RedisError) -> String? {
        isNull ? nil : try text(for: command)
    }

    func elements(for command: String) throws(RedisError) -> [RESPValue] {
        guard let array else { throw .unexpectedReply(command: command, expected: "an array") }
        return array
    }

    func texts(for command: String) throws(RedisError) -> [String] {
        let elements = try elements(for: command)
        var texts: [String] = []
        texts.reserveCapacity(elements.count)
        for element in elements { texts.append(try element.text(for: command)) }
        return texts
    }

    /// The pairs of an array that has names and values by turns.
    func pairs(for command: String) throws(RedisError) -> [(String, String)] {
        let texts = try texts(for: command)
        guard texts.count.isMultiple(of: 2) else {
            throw .unexpectedReply(command: command, expected: "an array of pairs")
        }
        return stride(from: 0, to: texts.count, by: 2).map { (texts[$0], texts[$0 + 1]) }
    }

    /// The two parts of a `SCAN`-like reply: the next cursor and what was found.
    func page(for command: String) throws(RedisError) -> (cursor: String, found: RESPValue) {
        let elements = try elements(for: command)
        guard elements.count == 2 else {
            throw .unexpectedReply(command: command, expected: "a cursor and an array")
        }
        return (try elements[0].text(for: command), elements[1])
    }
}

extension [RedisArgument] {
    /// Appends `MATCH` and `COUNT` of the `SCAN` family where they are given.
    mutating func appendScanOptions(match: String?, count: Int?) {
        if let match { self += ["MATCH", RedisArgument(match)] }
        if let count { self += ["COUNT", RedisArgument(count)] }
    }
}
