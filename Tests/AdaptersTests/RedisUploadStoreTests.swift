// What only the real index has: keys that operators know, a memory that can be full, scripts that can be forgotten, and
// a server that can be restarted.

import Adapters
import Core
import CoreTesting
import Foundation
import Harness
import Redis
import Testing

@Suite("Redis upload store")
struct RedisUploadStoreTests {
    /// An index on a server of its own.
    private struct PrivateIndex {
        let server: RedisServer
        let redis: RedisClient
        let attachment: IndexAttachment
        let index: IndexUnderTest
    }

    private func withPrivateIndex(
        configuration: [String] = [],
        _ body: (PrivateIndex) async throws -> Void
    ) async throws {
        let server = try await RedisServer.start(configuration: configuration)
        let attachment = IndexAttachment()
        let client = try RedisUnderTest.start(server, attachment: attachment)
        let index = IndexUnderTest(
            store: RedisUploadStore(client, attachment: attachment),
            leases: RedisLeaseStore(client),
            now: RedisUnderTest.now,
            another: { RedisUploadStore(client, attachment: IndexAttachment()) },
            wipe: { _ = try await client.send("FLUSHALL") },
            pass: { try await Task.sleep(for: $0) }
        )
        try await index.store.adopt(epoch: "epoch")
        let all = PrivateIndex(server: server, redis: client, attachment: attachment, index: index)
        do {
            try await body(all)
            await server.stop()
        } catch {
            await server.stop()
            throw error
        }
    }

    @Test("Whoever finds a merge claimed leaves a job for after the claim")
    func claimedElsewhere() async throws {
        try await withPrivateIndex { own in
            let upload = try await own.index.merging()
            _ = try await own.index.claimed(upload.id, for: .seconds(60))
            let outbox = RedisArgument("ferry:outbox:\(upload.record.target)")
            let job = RedisArgument("merge:\(upload.id)")
            #expect(try await own.redis.send("ZREM", [outbox, job]).integer == 1)
            let refused = try await own.index.store.claim(upload.id, holder: "w2", for: .seconds(9))
            guard case .refused(.leased) = refused else { return #expect(Bool(false), "\(refused)") }
            let due = try #require(Double(try await own.redis.send("ZSCORE", [outbox, job]).string ?? ""))
            let left = due - Double(own.index.now().microseconds)
            #expect((55_000_000...65_000_000).contains(left))
        }
    }

    @Test("Keys are those that the design names")
    func keys() async throws {
        try await withPrivateIndex { own in
            let index = own.index
            let redis = own.redis
            let record = try index.record(path: "ä/b", .append, key: "k")
            _ = try await index.received(record, [part(0)])
            let merging = try await index.merging()
            _ = try await index.claimed(merging.id)
            _ = try await index.failed()
            _ = try await index.leases.acquire("rebuild", holder: "w", for: .seconds(60))
            let hash = try sha256("ä/b")
            let names = Set((try await redis.send("KEYS", ["*"]).array ?? []).compactMap(\.string))
            for name in [
                "ferry:epoch", "ferry:u:\(record.id)", "ferry:u:\(record.id):parts", "ferry:u:\(record.id):offsets",
                "ferry:path:web-1:\(hash)", "ferry:idem:alice:\(try sha256("k"))", "ferry:uploads",
                "ferry:owner:alice", "ferry:active", "ferry:dead", "ferry:outbox:web-1", "ferry:lease:\(merging.id)",
                "ferry:lock:rebuild",
            ] { #expect(names.contains(name), "\(name)") }
            let entries = try await redis.send("ZRANGE", ["ferry:outbox:web-1", "0", "-1"]).array ?? []
            #expect(entries.contains { $0.string == "ship:\(record.id):0" })
            // A small upload's parts stay packed in memory.
            let generation = try await index.begun(record.id)
            _ = try await index.ship(record.id, [0], in: generation)
            #expect(
                try await redis.send("OBJECT", ["ENCODING", RedisArgument("ferry:u:\(record.id):parts")]).string
                    == "listpack"
            )
        }
    }

    @Test("History and idempotency keys run out by themselves")
    func expiries() async throws {
        try await withPrivateIndex { own in
            let index = own.index
            let redis = own.redis
            let record = try index.record(key: "k", lifetime: .seconds(500))
            try await index.created(record)
            let key = "ferry:idem:alice:\(try sha256("k"))"
            #expect((490_000...500_000).contains(try await redis.pttl(key)))
            #expect(try await redis.pttl("ferry:u:\(record.id)") == -1)
            _ = try applied(try await index.store.cancel(record.id))
            try await index.store.cleaned(record.id)
            let month: Int64 = 2_592_000_000
            #expect(((month - 10_000)...month).contains(try await redis.pttl("ferry:u:\(record.id)")))
            try await redis.pexpire("ferry:u:\(record.id)", milliseconds: 1_000_000)
            try await index.store.cleaned(record.id)
            #expect(try await redis.pttl("ferry:u:\(record.id)") <= 1_000_000)
            #expect(try await redis.pttl(key) > 0)

            // Names whose history is gone are forgotten: by listing, and two with each creation.
            try await redis.del("ferry:u:\(record.id)")
            #expect(try await index.store.uploads(UploadQuery(owner: record.owner)).uploads.isEmpty)
            #expect(try await redis.send("ZCARD", ["ferry:owner:alice"]).integer == 0)
            #expect(try await redis.send("ZCARD", ["ferry:uploads"]).integer == 1)
            try await index.created(try index.record())
            #expect(try await redis.send("ZCARD", ["ferry:uploads"]).integer == 1)
            // So is a lock whose upload is gone.
            _ = try await redis.set("ferry:path:web-1:\(try sha256("orphan"))", "\(uploadID())")
            try await index.created(try index.record(path: "orphan"))
        }
    }

    @Test("A wiped index refuses changes, and says that it was lost")
    func flushed() async throws {
        try await withPrivateIndex { own in
            let index = own.index
            let redis = own.redis
            let attachment = own.attachment
            let upload = try await index.received()
            var losses = attachment.losses().makeAsyncIterator()
            _ = try await redis.send("FLUSHALL")
            await #expect(throws: StoreError.rebuilding) { try await index.store.cancel(upload.id) }
            await losses.next()
            #expect(try await index.store.condition(epoch: "epoch") == .foreign)
            let staged = StagedUpload(record: upload.record, parts: [part(0)], markers: [])
            _ = try applied(try await index.store.restore(staged))
            try await index.store.adopt(epoch: "epoch")
            _ = try applied(try await index.store.cancel(upload.id))
        }
    }

    @Test("Scripts that the server forgot are sent again")
    func scriptsFlushed() async throws {
        try await withPrivateIndex { own in
            let index = own.index
            let redis = own.redis
            let upload = try await index.received()
            try await redis.scriptFlush()
            #expect(
                try applied(try await index.store.complete(upload.id, size: 30, digest: nil)).upload.state == .shipping
            )
        }
    }

    @Test("A full Redis takes nothing new, but ends and frees things")
    func full() async throws {
        try await withPrivateIndex(configuration: ["maxmemory-policy noeviction"]) { own in
            let index = own.index
            let redis = own.redis
            let store = index.store
            let (committing, fence) = try await index.committing()
            let merging = try await index.merging()
            let shipping = try await index.completed()
            let receiving = try await index.received()
            let generation = try await index.begun(shipping.id)
            _ = try await redis.send("CONFIG", ["SET", "maxmemory", "1"])
            let record = try index.record()
            await #expect(throws: StoreError.full) { try await store.create(record) }
            await #expect(throws: StoreError.full) { try await store.receive(part(30), of: receiving.id) }
            await #expect(throws: StoreError.full) { try await store.requeueShips(of: shipping.id, from: 0, limit: 9) }
            #expect(try await store.upload(receiving.id) == receiving)
            #expect(try await store.parts(of: receiving.id).count == 3)
            #expect(try await store.uploads(UploadQuery(owner: nil)).uploads.count == 4)
            #expect(try await store.condition(epoch: "epoch") == .current)

            let done = try applied(try await store.finish(committing.id, fence: fence, atomic: true))
            try await store.confirm(done.entries)
            try await store.cleaned(committing.id)
            #expect(try await index.ship(shipping.id, [0, 10, 20], in: generation)?.state == .merging)
            let claim = try await index.claimed(merging.id)
            _ = try applied(try await store.renew(merging.id, fence: claim, for: .seconds(9)))
            try await store.release(merging.id, fence: claim)
            let due = try await store.dueEntries(of: target(), limit: 9)
            #expect(due.map(\.job) == [.merge(merging.id)])
            try await store.postpone(due, by: .seconds(9))
            _ = try applied(try await store.cancel(merging.id))
            _ = try applied(try await store.fail(receiving.id, fence: nil, failure: Failure(.diskFull, "")))
            _ = try applied(try await store.replay(receiving.id, overwrite: nil))
            #expect(try await index.leases.acquire("relay", holder: "w", for: .seconds(9)))
            _ = try await redis.send("CONFIG", ["SET", "maxmemory", "0"])
            try await index.created(record)
        }
    }

    @Test("After a restart changes wait until somebody has compared it with staging")
    func restarted() async throws {
        try await withPrivateIndex(configuration: ["appendfsync always"]) { own in
            let index = own.index
            let server = own.server
            let redis = own.redis
            let attachment = own.attachment
            let upload = try await index.received()
            var losses = attachment.losses().makeAsyncIterator()
            try await server.kill()
            await #expect(throws: StoreError.self) { try await index.store.cancel(upload.id) }
            try await server.restart()
            await losses.next()
            try await eventually("it answers again") { try await index.store.upload(upload.id) == upload }
            await #expect(throws: StoreError.rebuilding) { try await index.store.cancel(upload.id) }
            #expect(try await index.store.condition(epoch: "epoch") == .restarted)
            await #expect(throws: StoreError.rebuilding) { try await index.store.cancel(upload.id) }
            try await index.store.adopt(epoch: "epoch")
            _ = try applied(try await index.store.cancel(upload.id))

            // A connection that merely broke changes nothing.
            _ = try? await redis.send("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "no"])
            // What is sent just as it breaks gets no answer.
            try await eventually("it answers again") { try await index.store.upload(upload.id) != nil }
            let other = try await index.received()
            _ = try applied(try await index.store.cancel(other.id))
        }
    }

    @Test("What cannot be read is said, not guessed")
    func unreadable() async throws {
        try await withPrivateIndex { own in
            let index = own.index
            let redis = own.redis
            let upload = try await index.received()
            for (field, value) in [
                ("state", "gone"), ("v", "2"), ("shippedBytes", ""), ("path", "../up"), ("metadata", "{"),
            ] {
                let before = try await redis.hget("ferry:u:\(upload.id)", field)
                try await redis.hset("ferry:u:\(upload.id)", field, RedisArgument(value))
                await #expect("\(field)") { try await index.store.upload(upload.id) } throws: {
                    if case .unreadable = $0 as? StoreError { true } else { false }
                }
                if let before {
                    try await redis.hset("ferry:u:\(upload.id)", field, RedisArgument(before))
                } else {
                    try await redis.hdel("ferry:u:\(upload.id)", [field])
                }
            }
            try await redis.hset("ferry:u:\(upload.id):parts", "0", "short")
            await #expect { try await index.store.parts(of: upload.id) } throws: {
                if case .unreadable = $0 as? StoreError { true } else { false }
            }
            // A field of a newer program is left alone.
            let other = try await index.received()
            try await redis.hset("ferry:u:\(other.id)", "colour", "blue")
            #expect(try applied(try await index.store.cancel(other.id)).upload.state == .cancelled)
            #expect(try await redis.hget("ferry:u:\(other.id)", "colour") == "blue")
        }
    }
}

private func sha256(_ text: String) throws -> String {
    let hasher = try SHA256Hasher()
    var text = text
    try text.withUTF8 { try hasher.update(UnsafeRawBufferPointer($0)) }
    return try hasher.finish().hex
}
