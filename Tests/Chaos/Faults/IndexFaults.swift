// Redis gone, stopped, emptied, forgetful and full.

import Foundation
import Harness

/// kill -9 of Redis, then started again.
struct RedisKilled: Fault {
    let name = "redis-killed"
    let words = "kill -9 of Redis, back after 1 to 3 s"
    let figure: Duration? = .seconds(10)

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_500)
        try await scene.fleet.redis.kill()
        try await scene.pause(1_000...3_000)
        try await scene.fleet.redis.restart()
        scene.mark()
    }
}

/// Redis stands still.
struct RedisStopped: Fault {
    let name = "redis-stopped"
    let words = "SIGSTOP of Redis for 8 s"
    let figure: Duration? = .seconds(10)

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_500)
        try scene.fleet.redis.suspend()
        try await Task.sleep(for: .seconds(8))
        try scene.fleet.redis.resume()
        scene.mark()
    }
}

/// The index is emptied under load.
struct RedisFlushed: Fault {
    let name = "redis-flushed"
    let words = "FLUSHALL under load, twice, and once more when all is at rest"

    func inject(_ scene: Scene) async throws {
        for _ in 0..<2 {
            try await scene.pause(500...1_500)
            _ = try await scene.fleet.redis.cli("FLUSHALL")
        }
        let before = scene.plan(parts: 2)
        await scene.send(before)
        _ = try await scene.fleet.redis.cli("FLUSHALL")
        await scene.send(scene.plan(parts: 2))
    }
}

/// The index is emptied after an upload is done and before it is cleaned up.
struct RedisFlushedBeforeCleaning: Fault {
    let name = "redis-flushed-before-cleaning"
    let words = "FLUSHALL between done and clean-up"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_000)
        let trap = scene.fleet.trap("cleaned", .before, on: scene.fleet.workers)
        let first = try await trap.next()
        _ = try await scene.fleet.redis.cli("FLUSHALL")
        try scene.fleet.member(first.owner).index.release(first.hold)
        // And where even staging is still there: the worker dies before it cleans.
        let second = scene.fleet.trap("finish", .after, on: scene.fleet.workers)
        let caught = try await second.next()
        let member = try scene.fleet.member(caught.owner)
        try await member.kill()
        _ = try await scene.fleet.redis.cli("FLUSHALL")
        try member.start()
    }
}

/// Redis forgets the scripts.
struct ScriptsFlushed: Fault {
    let name = "scripts-flushed"
    let words = "SCRIPT FLUSH every 50 ms for 3 s"

    func inject(_ scene: Scene) async throws {
        let end = ContinuousClock.now + .seconds(3)
        while ContinuousClock.now < end {
            _ = try await scene.fleet.redis.cli("SCRIPT", "FLUSH")
            try await scene.pause(30...70)
        }
    }
}

/// Redis loses what it said it had, but had not yet flushed to its append-only file.
struct RedisTailLost: Fault {
    let name = "redis-tail-lost"
    let words = "kill -9 of Redis, and the last second of its append-only file lost after a 202"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(800...2_000)
        let directory = scene.fleet.redis.directory + "/data/appendonlydir"
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".incr.aof") }
        guard let name = names.max(by: { $0.count < $1.count || ($0.count == $1.count && $0 < $1) }) else {
            throw HarnessError("Redis has no append-only file")
        }
        let path = directory + "/" + name
        func size() throws -> UInt64 {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            return (attributes[.size] as? NSNumber)?.uint64Value ?? 0
        }
        let kept = try size()
        await scene.send(scene.plan(parts: 3))
        await scene.send(scene.plan(parts: 1))
        try await scene.fleet.redis.kill()
        let whole = try size()
        guard let file = FileHandle(forUpdatingAtPath: path) else { throw HarnessError("\(path) cannot be opened") }
        try file.truncate(atOffset: kept)
        try file.close()
        scene.note("\(whole - kept) bytes lost")
        try await scene.fleet.redis.restart()
    }
}

/// Redis has no memory left for anything new.
struct RedisFull: Fault {
    let name = "redis-full"
    let words = "Redis at maxmemory for 5 s"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(500...1_500)
        _ = try await scene.fleet.redis.cli("CONFIG", "SET", "maxmemory", "1mb")
        try await Task.sleep(for: .seconds(5))
    }

    func heal(_ scene: Scene) async throws {
        _ = try await scene.fleet.redis.cli("CONFIG", "SET", "maxmemory", "0")
    }
}

extension Faults {
    static let index: [any Fault] = [
        RedisKilled(), RedisStopped(), RedisFlushed(), RedisFlushedBeforeCleaning(), ScriptsFlushed(),
        RedisTailLost(), RedisFull(),
    ]
}
