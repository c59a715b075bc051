// UnitsTests: sizes, durations, globs, addresses and URLs as people write them.

import Testing

@testable import Service

struct UnitsTests {
    @Test(arguments: [
        ("0", 0), ("1", 1), ("512", 512), ("7B", 7), ("1KB", 1_000), ("1KiB", 1_024), ("10MiB", 10_485_760),
        ("10 MiB", 10_485_760), ("1MB", 1_000_000), ("500GiB", 536_870_912_000), ("3GB", 3_000_000_000),
        ("5TiB", 5_497_558_138_880), ("2TB", 2_000_000_000_000), ("1PiB", 1_125_899_906_842_624),
        ("9223372036854775807", Int64.max), ("8191PiB", 8_191 << 50),
    ])
    func size(text: String, bytes: Int64) {
        #expect(ByteSize.parse(text) == bytes)
    }

    @Test(arguments: [
        "", " ", "-1", "+1", "1.5GiB", "1kb", "1K", "KiB", "1 ", "1  MiB", "1MiB ", " 1MiB", "1MiBs", "0x10", "1_000",
        "1e3", "٣", "9223372036854775808", "8192PiB", "99999999999999999999", "1\u{0}",
    ])
    func noSize(text: String) {
        #expect(ByteSize.parse(text) == nil)
    }

    @Test(
        arguments: [
            ("0ms", .zero), ("500ms", .milliseconds(500)), ("2s", .seconds(2)), ("10m", .seconds(600)),
            ("2h", .seconds(7_200)), ("7d", .seconds(604_800)), ("7 d", .seconds(604_800)),
        ] as [(String, Duration)]
    )
    func duration(text: String, expected: Duration) {
        #expect(TimeSpan.parse(text) == expected)
    }

    @Test(arguments: ["", "5", "s", "-1s", "1.5s", "1S", "1sec", "1w", "1m30s", "106751991168d", "1s\n"])
    func noDuration(text: String) {
        #expect(TimeSpan.parse(text) == nil)
    }

    @Test(arguments: [0, 1, 1_023, 1_024, 10 << 20, 5 << 40, (1 << 20) + 1, .max] as [Int64])
    func sizeRoundTrip(bytes: Int64) {
        #expect(ByteSize.parse(ByteSize.format(bytes)) == bytes)
    }

    @Test(arguments: [0, 1, 999, 1_000, 60_000, 90_000, 3_600_000, 604_800_000] as [Int64])
    func durationRoundTrip(milliseconds: Int64) {
        let duration = Duration.milliseconds(milliseconds)
        #expect(TimeSpan.parse(TimeSpan.format(duration)) == duration)
    }

    @Test(arguments: [
        ("*", "", true), ("*", "web", true), ("web-*", "web-eu-1", true), ("web-*", "web", false),
        ("*-1", "web-1", true), ("*-1", "web-12", false), ("w?b", "web", true), ("w?b", "wb", false),
        ("a*b*c", "aXbYc", true), ("a*b*c", "aXcYb", false), ("", "", true), ("", "a", false), ("web", "web", true),
        ("***", "x", true), ("?", "", false),
    ])
    func glob(pattern: String, text: String, matches: Bool) {
        #expect(Glob(pattern).matches(text) == matches)
    }

    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1", 8080, true), ("127.9.9.9:1", "127.9.9.9", 1, true),
        ("[::1]:80", "::1", 80, true), ("localhost:0", "localhost", 0, true), ("0.0.0.0:8080", "0.0.0.0", 8080, false),
        ("[::]:8080", "::", 8080, false), ("ferry.example:443", "ferry.example", 443, false),
        ("127.0.0.1.example:443", "127.0.0.1.example", 443, false), ("127.example:443", "127.example", 443, false),
    ])
    func listen(text: String, host: String, port: Int, loopback: Bool) throws {
        let listen = try #require(ListenConfiguration(text))
        #expect(listen.host == host)
        #expect(listen.port == port)
        #expect(listen.isLoopback == loopback)
        #expect(listen.description == text)
    }

    @Test(arguments: ["", ":80", "host", "host:", "host:65536", "host:-1", "::1:80", "[host]:80", "-x:80", "a b:80"])
    func noListen(text: String) {
        #expect(ListenConfiguration(text) == nil)
    }

    @Test func urlParts() throws {
        let amqp = try #require(ServerURL("amqps://fer%40ry:s%2Fcret@broker.example/%2Fprod"))
        #expect(amqp.scheme == "amqps")
        #expect(amqp.host == "broker.example")
        #expect(amqp.port == 5671)
        #expect(amqp.user == "fer@ry")
        #expect(amqp.password == "s/cret")
        #expect(amqp.path == "/prod")
        #expect(amqp.isEncrypted)
        #expect(!"\(amqp)".contains("cret"))
        var dumped = ""
        dump(amqp, to: &dumped)
        #expect(!dumped.contains("cret"))

        let redis = try #require(ServerURL("redis://[::1]:7000/3"))
        #expect(redis.host == "::1")
        #expect(redis.port == 7000)
        #expect(redis.path == "3")
        #expect(redis.user == nil)
        #expect(!redis.isEncrypted)
        #expect(redis.description == "redis://[::1]:7000/3")
        #expect(ServerURL("redis://h")?.path == nil)
        #expect(ServerURL("redis://h/")?.path == nil)
    }

    @Test(arguments: [
        "", "redis", "redis://", "http://h", "redis://h:0", "redis://h:70000", "redis://h?x=1", "redis://a b",
    ])
    func noURL(text: String) {
        #expect(ServerURL(text) == nil)
    }

    @Test(arguments: [
        ("a", true), ("web-eu-1", true), ("0.x_y-z", true), (String(repeating: "a", count: 63), true),
        (String(repeating: "a", count: 64), false), ("", false), ("-a", false), (".a", false), ("A", false),
        ("a/b", false), ("a b", false), ("ä", false), ("a\n", false), ("web.*", false), ("web#", false),
    ])
    func targetID(id: String, valid: Bool) {
        #expect(TargetConfiguration.isValid(id: id) == valid)
    }
}
