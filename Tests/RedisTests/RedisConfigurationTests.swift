// URLs that are understood, and those that are not, with nothing of a secret in what is said of them.

import Testing

@testable import Redis

@Suite struct RedisConfigurationTests {
    @Test func readsEveryPart() throws {
        let full = try RedisConfiguration(url: "rediss://ferry:p%40ss%2Fw%C3%B6rd@redis.example:7000/12")
        #expect(full.host == "redis.example" && full.port == 7000 && full.database == 12)
        #expect(full.user == "ferry" && full.password == "p@ss/wörd")
        #expect(full.tls == RedisTLS())

        let least = try RedisConfiguration(url: "redis://localhost")
        #expect(least.host == "localhost" && least.port == 6379 && least.database == 0)
        #expect(least.user == nil && least.password == nil && least.tls == nil)
        #expect(
            least.connectTimeout == .seconds(5) && least.commandTimeout == .seconds(5) && least.maxPending == 10_000
        )

        let address = try RedisConfiguration(url: "REDIS://:x@[::1]:6380/")
        #expect(address.host == "::1" && address.port == 6380 && address.user == nil && address.password == "x")
        #expect("\(address)" == "redis://[::1]:6380/0")

        let beside = try RedisConfiguration(url: "redis://ferry@h/1", password: "from a file")
        #expect(beside.user == "ferry" && beside.password == "from a file" && beside.database == 1)
        // The last @ divides, so one in a password does no harm.
        #expect(try RedisConfiguration(url: "redis://u:a@b@h").password == "a@b")
    }

    @Test(arguments: [
        ("localhost:6379", "has no scheme"),
        ("http://localhost", "another scheme"),
        ("redis://", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://ho st", "names no host"),
        ("redis://host:", "port that is not a number"),
        ("redis://host:0", "port that is not a number"),
        ("redis://host:65536", "port that is not a number"),
        ("redis://host:hunter2", "port that is not a number"),
        ("redis://[::1", "closing ]"),
        ("redis://[::1]x", "port that is not a number"),
        ("redis://host/hunter2", "database number"),
        ("redis://host/-1", "database number"),
        ("redis://host/1/2", "database number"),
        ("redis://host/99999999999", "database number"),
        ("redis://host/0?password=hunter2", "query"),
        ("redis://user:hunter2/x@host", "write / as %2F"),
        ("redis://user:hunter2%zz@host", "two hex digits"),
        ("redis://user:hunter2%4", "port that is not a number"),
        ("redis://user:hunter2%4@host", "two hex digits"),
        ("redis://user:hunter2%ff@host", "not UTF-8"),
        ("redis://hunter2@host", "no password for it"),
        ("redis://user:@host", "password is empty"),
    ]) func refuses(url: String, because: String) {
        let error = #expect(throws: RedisConfigurationError.self) { try RedisConfiguration(url: url) }
        #expect(error?.reason.contains(because) == true, "\(url): \(error?.reason ?? "")")
        #expect(error?.reason.contains("hunter2") == false)
    }

    @Test func refusesTwoPasswords() {
        #expect(throws: RedisConfigurationError.self) {
            try RedisConfiguration(url: "redis://u:hunter2@h", password: "hunter3")
        }
    }

    @Test func neverPrintsThePassword() throws {
        let configuration = try RedisConfiguration(url: "redis://user:hunter2@host:1/2")
        var dumped = ""
        dump(configuration, to: &dumped)
        let all = "\(configuration) \(String(reflecting: configuration)) \([configuration]) \(dumped)"
        #expect(!all.contains("hunter2"))
        #expect("\(configuration)" == "redis://host:1/2")
    }
}
