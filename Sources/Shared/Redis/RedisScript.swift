// A Lua script with the digest that the server caches it under.

/// A script for `EVALSHA` and `EVAL`. Make it once and keep it: its digest is taken when it is made.
public struct RedisScript: Sendable, Equatable {
    /// What people call it, for messages.
    public let name: String
    /// The Lua source, sent as it is.
    public let source: String
    /// SHA-1 of the source, 40 lower-case hex digits: the server's own name for it.
    public let sha1: String

    /// A script of the given source.
    public init(name: String, source: String) {
        self.name = name
        self.source = source
        sha1 = sha1Hex(source.utf8)
    }
}
