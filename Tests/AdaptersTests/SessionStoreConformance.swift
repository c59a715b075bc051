// What every store of sign-ins does.

import Adapters
import Core
import CoreTesting
import Foundation
import Testing

@Suite("Session store")
struct SessionStoreConformance {
    private struct Subject {
        let store: any SessionStore
        let pass: @Sendable (Duration) async throws -> Void
    }

    private static func subject(_ kind: StoreUnderTest) async throws -> Subject {
        switch kind {
        case .memory:
            let clock = SteppingClock()
            return Subject(store: InMemorySessionStore(now: { clock.now }), pass: { clock.advance(by: $0) })
        case .redis:
            let redis = try await RedisUnderTest.sharedClient()
            let prefix = "sessions-\(UInt64.random(in: 0 ... .max)):"
            return Subject(
                store: RedisSessionStore(redis, prefix: prefix),
                pass: { try await Task.sleep(for: $0) }
            )
        }
    }

    private static func digest(_ text: String) -> SHA256Digest { SHA256.digest(Array(text.utf8)) }

    @Test("A session stands for its token until it is closed", arguments: StoreUnderTest.allCases)
    func standsForItsToken(_ kind: StoreUnderTest) async throws {
        let store = try await Self.subject(kind).store
        let (one, other, token) = (Self.digest("one"), Self.digest("other"), Self.digest("token"))
        #expect(try await store.use(one, idle: .seconds(60)) == nil)
        try await store.open(one, for: token, idle: .seconds(60))
        try await store.open(other, for: token, idle: .seconds(60))
        #expect(try await store.use(one, idle: .seconds(60)) == token)
        try await store.close(one)
        try await store.close(one)
        #expect(try await store.use(one, idle: .seconds(60)) == nil)
        #expect(try await store.use(other, idle: .seconds(60)) == token)
    }

    @Test("It ends when nobody uses it, and not while somebody does", arguments: StoreUnderTest.allCases)
    func endsWithoutUse(_ kind: StoreUnderTest) async throws {
        let subject = try await Self.subject(kind)
        let (session, token) = (Self.digest("session"), Self.digest("token"))
        try await subject.store.open(session, for: token, idle: .milliseconds(400))
        // What it is used with counts from then on.
        #expect(try await subject.store.use(session, idle: .seconds(30)) == token)
        try await subject.pass(.milliseconds(600))
        #expect(try await subject.store.use(session, idle: .milliseconds(1)) == token)
        try await subject.pass(.milliseconds(50))
        #expect(try await subject.store.use(session, idle: .seconds(30)) == nil)
    }
}
