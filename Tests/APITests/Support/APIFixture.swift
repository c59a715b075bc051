// A whole API on in-memory ports, served over real HTTP on loopback.

import Core
import CoreMetrics
import CoreTesting
import Foundation
import Harness
import Hummingbird
import Logging
import ServiceLifecycle
import Testing

@testable import API

/// What publishes goes to the hub, as it does through the broker.
struct HubBus: EventBus {
    let hub: EventHub
    let isLossy: Bool
    func publish(_ event: Event) { if !isLossy { hub.deliver(event) } }
}

/// The ports and the pieces of one API.
struct APIFixture: Sendable {
    static let alice = "alice-token"
    static let bob = "bob-token"
    static let operations = "operations-token"
    static let both = "both-token"

    let index: InMemoryIndexServer
    let store: InMemoryUploadStore
    let staging: InMemoryStaging
    let queue: InMemoryJobQueue
    let sessions: InMemorySessionStore
    let hub: EventHub
    let intake: UploadIntake
    let relay: OutboxRelay
    let progress: ProgressEvents
    var services: APIServices
    let tokensFile: String
    private let directory: TemporaryDirectory

    init(
        stagingLimit: Int64 = .max,
        limits: UploadLimits = UploadLimits(partSize: 4_096),
        losesEvents: Bool = false,
        isOpen: Bool = false,
        chunks: ChunkAssumptions = ChunkAssumptions(size: 65_536, patience: .milliseconds(100)),
        existing: Set<String> = [],
        storeFaults: PortFaults<InMemoryUploadStore.Operation, StoreError> = PortFaults()
    ) async throws {
        directory = try TemporaryDirectory()
        tokensFile = directory.path + "/tokens"
        try Self.write(Self.tokens, to: tokensFile)
        let now: @Sendable () -> Timestamp = {
            Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
        }
        let surroundings = Surroundings(
            now: now,
            sleep: { try await Task.sleep(for: $0) },
            random: { .random(in: .min ... .max) }
        )
        index = InMemoryIndexServer(clock: now)
        store = InMemoryUploadStore(index, faults: storeFaults)
        staging = InMemoryStaging(limit: stagingLimit, now: now)
        try await store.adopt(epoch: staging.epoch())
        queue = InMemoryJobQueue(answerProbe: { path, _ in existing.contains(path.description) })
        sessions = InMemorySessionStore(now: now)
        hub = EventHub(surroundings: surroundings)
        relay = OutboxRelay(store: store, queue: queue)
        progress = ProgressEvents(bus: HubBus(hub: hub, isLossy: losesEvents), surroundings: surroundings)
        let targets = ["web-1", "web-2"].compactMap { TargetID($0) }
        intake = UploadIntake(
            store: store,
            staging: staging,
            queue: queue,
            relay: relay,
            events: progress,
            surroundings: surroundings,
            limits: limits,
            targets: Set(targets)
        )
        let file = TokensFile(path: tokensFile, logger: Self.quiet)
        let everybody = try #require(Authenticator.everybody)
        services = APIServices(
            intake: intake,
            store: store,
            staging: staging,
            queue: queue,
            targets: targets,
            roots: Dictionary(uniqueKeysWithValues: targets.map { ($0, TargetRoot("/srv/incoming")) }),
            chunks: chunks,
            authenticator: Authenticator(
                mode: isOpen ? .none(everybody) : .tokens(file),
                sessions: sessions,
                sha256: { SHA256.digest($0) },
                now: now
            ),
            compress: { Array($0.reversed()) },
            hub: hub,
            metrics: RequestMetrics(factory: NOOPMetricsHandler.instance),
            renderMetrics: { "# TYPE ferry_up gauge\nferry_up 1\n" }
        )
    }

    static var quiet: Logger { Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() } }

    static var tokens: String {
        func line(_ token: String, _ rest: String) -> String { "\(SHA256.digest(Array(token.utf8)).hex) \(rest)\n" }
        return "# tokens of the tests\n" + line(alice, "alice uploader") + line(bob, "bob uploader")
            + line(operations, "olga operator") + line(both, "bert uploader,operator")
            + line("old-token", "alice uploader 2020-01-01T00:00:00Z")
    }

    static func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// Serves while `body` runs, as the program does. Its end is a graceful shutdown, which must not hang.
    func serve<Value: Sendable>(
        _ limits: ServerLimits = ServerLimits(),
        _ body: @escaping @Sendable (Client) async throws -> Value
    ) async throws -> Value {
        let (ports, listening) = AsyncStream<Int>.makeStream()
        let application = try HTTPServer.make(
            APIRouter.make(services),
            host: "localhost",
            port: 0,
            limits: limits,
            logger: Self.quiet
        ) { listening.yield($0) }
        let server = ServiceGroup(services: [application], logger: Self.quiet)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await progress.run() }
            group.addTask { await relay.run() }
            defer { group.cancelAll() }
            async let served: Void = {
                // Where it cannot serve, nobody waits for its port.
                defer { listening.finish() }
                try await server.run()
            }()
            let result: Result<Value, any Error>
            do {
                guard let port = await ports.first(where: { _ in true }) else {
                    try await served
                    throw CancellationError()
                }
                result = .success(try await body(Client(port: port)))
            } catch {
                result = .failure(error)
            }
            await server.triggerGracefulShutdown()
            try await served
            return try result.get()
        }
    }
}

/// Sends whole requests. Every answer is held against the API document.
struct Client: Sendable {
    let port: Int

    func request(
        _ method: String,
        _ target: String,
        token: String? = APIFixture.alice,
        fields: [String: String] = [:],
        body: [UInt8]? = nil
    ) async throws -> Answer {
        let answer = try await RawConnection.with(port: port) { connection in
            var head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            if let token { head += "Authorization: Bearer \(token)\r\n" }
            if let body, fields["Content-Length"] == nil { head += "Content-Length: \(body.count)\r\n" }
            for (name, value) in fields { head += "\(name): \(value)\r\n" }
            try await connection.send(Array((head + "\r\n").utf8) + (body ?? []))
            return try await connection.answer()
        }
        try OpenAPIDocument.check(answer, method, target)
        return answer
    }

    func json(
        _ method: String,
        _ target: String,
        _ document: String,
        token: String? = APIFixture.alice,
        fields: [String: String] = [:]
    ) async throws -> Answer {
        try await request(method, target, token: token, fields: fields, body: Array(document.utf8))
    }

    /// Creates an upload and answers its identifier.
    func create(
        _ path: String = "a.bin",
        size: Int? = nil,
        partSize: Int = 4_096,
        more: String = "",
        token: String = APIFixture.alice
    ) async throws -> String {
        let sizeMember = size.map { #","size":\#($0)"# } ?? ""
        let document = #"{"target":"web-1","path":"\#(path)","partSize":\#(partSize)\#(sizeMember)\#(more)}"#
        let answer = try await json("POST", "/v1/uploads", document, token: token)
        #expect(answer.status == 201, "\(answer.text)")
        return try #require(try answer.json()["id"]?.text)
    }

    func part(
        _ id: String,
        _ number: Int,
        _ bytes: [UInt8],
        token: String = APIFixture.alice,
        fields: [String: String] = [:]
    ) async throws -> Answer {
        try await request("PUT", "/v1/uploads/\(id)/parts/\(number)", token: token, fields: fields, body: bytes)
    }
}

/// Bytes that differ from place to place.
func sample(_ count: Int, seed: UInt64 = 1) -> [UInt8] { Bytes.seeded(seed, count: count).array }
