// Every typed command against a real server, and scripts after the server forgot them.

import Harness
import NIOCore
import Redis
import Testing

@Suite struct RedisCommandsTests {
    @Test func keys() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            try await redis.del("k:a", "k:b", "k:n")
            #expect(try await redis.get("k:a") == nil)
            #expect(try await redis.set("k:a", "wörd"))
            #expect(try await redis.get("k:a") == "wörd")
            #expect(try await !redis.set("k:a", "other", nx: true))
            #expect(try await redis.set("k:b", "x", ex: 100, nx: true))
            #expect(try await (90_000...100_000).contains(redis.pttl("k:b")))
            #expect(try await redis.set("k:b", "x", px: 5_000))
            #expect(try await (1...5_000).contains(redis.pttl("k:b")))
            #expect(try await redis.pttl("k:a") == -1)
            #expect(try await redis.expire("k:a", seconds: 50))
            #expect(try await redis.pexpire("k:a", milliseconds: 9_000))
            #expect(try await (1...9_000).contains(redis.pttl("k:a")))
            #expect(try await !redis.expire("k:none", seconds: 50))
            #expect(try await redis.exists("k:a"))
            #expect(try await !redis.exists("k:none"))
            #expect(try await redis.incr("k:n") == 1)
            #expect(try await redis.incrBy("k:n", -11) == -10)
            #expect(try await redis.del("k:a", "k:b", "k:none") == 2)
            #expect(try await redis.del([]) == 0)
        }
    }

    @Test func bytesThatAreNotTextAreNotRepaired() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            let bytes = ByteBuffer(bytes: [0xFF, 0x00, 0x0D, 0x0A, 0xC3])
            try await redis.set("k:bytes", RedisArgument(bytes: bytes))
            #expect(try await redis.getBytes("k:bytes") == bytes)
            let error = await redisError { _ = try await redis.get("k:bytes") }
            #expect(error == .unexpectedReply(command: "GET", expected: "UTF-8 text"))
            #expect(try await redis.getBytes("k:none") == nil)
        }
    }

    @Test func hashes() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            try await redis.del("h")
            #expect(try await redis.hgetall("h") == [:])
            #expect(try await redis.hset("h", [("a", "1"), ("b", 2)]) == 2)
            #expect(try await !redis.hset("h", "a", "3"))
            #expect(try await redis.hset("h", []) == 0)
            #expect(try await redis.hget("h", "a") == "3")
            #expect(try await redis.hget("h", "z") == nil)
            #expect(try await redis.hmget("h", ["b", "z", "a"]) == ["2", nil, "3"])
            #expect(try await redis.hmget("h", []) == [])
            #expect(try await redis.hgetall("h") == ["a": "3", "b": "2"])
            #expect(try await redis.hlen("h") == 2)
            #expect(try await redis.hdel("h", ["a", "z"]) == 1)
            #expect(try await redis.hdel("h", []) == 0)

            try await redis.hset("h", (0..<1000).map { ("f\($0)", RedisArgument($0)) })
            var found: [String: String] = [:]
            var cursor = "0"
            repeat {
                let page = try await redis.hscan("h", cursor: cursor, match: "f*", count: 100)
                cursor = page.cursor
                for (field, value) in page.fields { found[field] = value }
            } while cursor != "0"
            #expect(found.count == 1000 && found["f999"] == "999" && found["b"] == nil)
            try await redis.del("h")
        }
    }

    @Test func sortedSets() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            try await redis.del("z")
            #expect(try await redis.zadd("z", [(1, "a"), (2.5, "b"), (.infinity, "c")]) == 3)
            #expect(try await redis.zadd("z", [(9, "a")], nx: true) == 0)
            #expect(try await redis.zadd("z", []) == 0)
            #expect(try await redis.zcard("z") == 3)
            #expect(try await redis.zscore("z", "a") == 1)
            #expect(try await redis.zscore("z", "c") == .infinity)
            #expect(try await redis.zscore("z", "none") == nil)
            #expect(try await redis.zrange("z", from: 0, through: -1) == ["a", "b", "c"])
            #expect(try await redis.zrange("z", from: 0, through: 1, rev: true) == ["c", "b"])
            let scored = try await redis.zrangeWithScores("z", from: 0, through: 1)
            #expect(scored.map(\.member) == ["a", "b"] && scored.map(\.score) == [1, 2.5])
            #expect(try await redis.zrangeByScore("z", min: "-inf", max: 2) == ["a"])
            #expect(try await redis.zrangeByScore("z", min: "(1", max: "+inf") == ["b", "c"])
            #expect(try await redis.zrangeByScore("z", min: "-inf", max: "+inf", limit: (1, 1)) == ["b"])
            #expect(
                try await redis.zrangeByScore("z", min: "-inf", max: "+inf", rev: true, limit: (0, 2)) == ["c", "b"]
            )
            let down = try await redis.zrangeByScoreWithScores("z", min: "-inf", max: 3, rev: true)
            #expect(down.map(\.member) == ["b", "a"] && down.map(\.score) == [2.5, 1])
            #expect(try await redis.zrem("z", ["a", "none"]) == 1)
            #expect(try await redis.zrem("z", []) == 0)
        }
    }

    @Test func server() async throws {
        let server = try await RedisServer.start()
        try await withConnection(try RedisConfiguration(url: server.url)) { redis in
            let (seconds, microseconds) = try await redis.time()
            #expect(seconds > 1_700_000_000 && (0..<1_000_000).contains(microseconds))
            let info = try await redis.info("server")
            #expect(info["run_id"]?.count == 40)
            #expect(info["tcp_port"] == "\(server.port)")
            #expect(info["used_memory"] == nil)
            #expect(try await redis.info()["used_memory"] != nil)

            for number in 0..<300 { try await redis.set("s:\(number)", 1) }
            try await redis.set("t:0", 1)
            var keys: Set<String> = []
            var cursor = "0"
            repeat {
                let page = try await redis.scan(cursor: cursor, match: "s:*", count: 50)
                cursor = page.cursor
                keys.formUnion(page.keys)
            } while cursor != "0"
            #expect(keys.count == 300)
            try await redis.flushall()
            #expect(try await !redis.exists("t:0"))
        }
        await server.stop()
    }

    private static let script = RedisScript(
        name: "add",
        source: "redis.call('INCRBY', KEYS[1], ARGV[1])\nreturn {KEYS[1], ARGV[2], redis.call('GET', KEYS[1])}\n"
    )

    @Test func scriptsRunAfterTheServerForgotThem() async throws {
        let server = try await RedisServer.start()
        try await withConnection(try RedisConfiguration(url: server.url)) { redis in
            func add() async throws -> [String?] {
                try await redis.run(Self.script, keys: ["n"], arguments: [5, "x"]).array?.map(\.string) ?? []
            }
            #expect(try await !redis.scriptExists(Self.script))
            #expect(try await add() == ["n", "x", "5"])
            // The first run told the server the script; the second one only names it.
            #expect(try await redis.scriptExists(Self.script))
            #expect(try await add() == ["n", "x", "10"])
            try await redis.scriptFlush()
            #expect(try await !redis.scriptExists(Self.script))
            #expect(try await add() == ["n", "x", "15"])
            let calls = try await redis.info("commandstats")
            #expect(calls["cmdstat_evalsha"]?.hasPrefix("calls=3,") == true)
            #expect(calls["cmdstat_eval"]?.hasPrefix("calls=2,") == true)
        }
        await server.stop()
    }

    /// The digest is ours, the name is the server's: both must come to the same.
    @Test func theServerNamesScriptsAsWeDo() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            for length in [0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 121, 128, 5000] {
                let source = "return 1 --" + String(repeating: "ä", count: length)
                let script = RedisScript(name: "length", source: source)
                let digest = try await redis.scriptLoad(script)
                #expect(digest == script.sha1)
                let shifted = RedisScript(name: "length", source: source + "x")
                let shiftedDigest = try await redis.scriptLoad(shifted)
                #expect(shiftedDigest == shifted.sha1)
            }
        }
    }

    @Test func aScriptsOwnErrorHasItsCode() async throws {
        try await withConnection(try await sharedConfiguration()) { redis in
            let script = RedisScript(name: "fail", source: "return redis.error_reply('STALE generation 3')")
            let error = await redisError { _ = try await redis.run(script, keys: [], arguments: []) }
            guard case .server(let reply, _) = error else { return _ = Issue.record("\(error as Any)") }
            #expect(reply == RedisServerError(code: "STALE", message: "generation 3"))
            #expect(error?.mayHaveBeenExecuted == true)
        }
    }

    @Test func aScriptMayFreeMemoryOfAFullServer() async throws {
        let server = try await RedisServer.start(configuration: ["maxmemory 100kb"])
        try await withConnection(try RedisConfiguration(url: server.url)) { redis in
            let error = await redisError { try await redis.set("x", "y") }
            guard case .server(let refusal, "SET") = error else { return _ = Issue.record("\(error as Any)") }
            #expect(refusal.code == "OOM")
            let free = RedisScript(
                name: "free",
                source: "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 'z')"
            )
            let reply = try await redis.run(free, keys: ["x"], arguments: [])
            #expect(reply == .simpleString("OK"))
        }
        await server.stop()
    }
}
