// Sends ship jobs that are done already on their way: out of the outbox, through the broker, to a worker that runs.
//
//   EmptyJobs prepare --config FILE --jobs N                  makes an upload whose parts are shipped; prints its id
//   EmptyJobs send --config FILE --jobs N --upload ID         prints the seconds until the last one is off the queue

import AMQP
import Adapters
import Assembly
import Core
import Logging
import NIOPosix
import Redis
import Service

struct Refused: Error, CustomStringConvertible { let description: String }

func option(_ name: String) throws -> String {
    guard let index = CommandLine.arguments.firstIndex(of: "--\(name)"), index + 1 < CommandLine.arguments.count else {
        throw Refused(description: "missing --\(name)")
    }
    return CommandLine.arguments[index + 1]
}

/// The least that the native protocol allows.
let partSize: Int64 = 4_096
/// What one script takes at once.
let batch = OutboxRelay.batch

func offsets(_ count: Int) -> [Int64] { (0..<Int64(count)).map { $0 * partSize } }

extension Array {
    func inBatches() -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: batch).map { self[$0..<Swift.min($0 + batch, count)] }
    }
}

/// The index takes no changes until it is known to be staging's.
func awaitIndex(_ store: RedisUploadStore) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
        do {
            _ = try await store.knows(UploadID(high: 0, low: 0))
            return
        } catch {
            guard ContinuousClock.now < deadline else { throw error }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

/// An upload all of whose parts are in the index, and shipped in its generation. Nothing of it is in staging.
func prepare(_ backend: Backend, _ target: TargetID, count: Int) async throws -> UploadID {
    let now = Surroundings.system.now()
    let id = UploadID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    guard let owner = Owner("bench"), let digest = SHA256Digest(bytes: [UInt8](repeating: 7, count: 32)) else {
        throw Refused(description: "no owner or digest")
    }
    let record = UploadRecord(
        id: id,
        owner: owner,
        target: target,
        path: try TargetPath("bench/empty-\(id).bin"),
        size: Int64(count) * partSize,
        partSize: partSize,
        createdAt: now,
        expiresAt: now + .seconds(86_400)
    )
    guard case .created = try await backend.store.create(record) else { throw Refused(description: "not created") }
    guard let generation = try await backend.store.nextGeneration(of: id)?.generation,
        case .applied = try await backend.store.startGeneration(generation, of: id, replacing: nil, by: .inPlace)
    else { throw Refused(description: "no generation") }
    for some in offsets(count).inBatches() {
        try await withThrowingTaskGroup(of: [OutboxEntry].self) { group in
            for offset in some {
                group.addTask {
                    let part = Part(offset: offset, size: partSize, digest: digest)
                    guard case .applied(_, let entries) = try await backend.store.receive(part, of: id),
                        case .applied = try await backend.store.shipped(
                            offset: offset,
                            of: id,
                            in: generation,
                            verification: .size
                        )
                    else { throw Refused(description: "the part at \(offset) was refused") }
                    return entries
                }
            }
            // Nobody else is to send them.
            try await backend.store.confirm(try await group.reduce(into: []) { $0 += $1 })
        }
    }
    return id
}

/// Records the jobs, then sends them as after any change, and waits until the broker has handed out the last one.
func send(
    _ id: UploadID,
    _ target: TargetID,
    count: Int,
    over backend: Backend,
    _ redis: RedisClient,
    asking queue: AMQPJobQueue
) async throws -> Double {
    // So late that no janitor takes them for left over.
    let due = Timestamp(microseconds: Surroundings.system.now().microseconds + 86_400_000_000)
    let entries = offsets(count).map { OutboxEntry(job: .ship(id, offset: $0), target: target, due: due) }
    let outbox = "ferry:outbox:\(target)"
    for some in entries.inBatches() {
        try await redis.zadd(outbox, some.map { (Double(due.microseconds), $0.job.description) })
    }
    let clock = ContinuousClock()
    let begin = clock.now
    for some in entries.inBatches() {
        guard await backend.relay.send(Array(some)) == some.count else {
            throw Refused(description: "a job was refused")
        }
    }
    let deadline = clock.now + .seconds(120)
    while await queue.depths(of: target)?[.ship]?.messages != 0 {
        guard clock.now < deadline else { throw Refused(description: "jobs are still in the queue after 120 s") }
        try await Task.sleep(for: .milliseconds(5))
    }
    let elapsed = begin.duration(to: clock.now)
    guard try await redis.zcard(outbox) == 0 else { throw Refused(description: "jobs are still in the outbox") }
    return elapsed / .seconds(1)
}

let configuration = try FerryConfiguration.load(path: try option("config"), environment: [:])
guard let target = configuration.targetIDs.first, let count = Int(try option("jobs")), count > 0 else {
    throw Refused(description: "no target, or no number of jobs")
}
let logger = Logger(label: "empty-jobs", factory: { _ in SwiftLogNoOpLogHandler() })
let backend = try await Backend.open(try configuration.backend(name: "empty-jobs"), logger: logger)
let redis = RedisClient(
    configuration: try configuration.index(name: "empty-jobs"),
    eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
    logger: logger
)
// The backend's own keeps a depth for a second.
var fresh = AMQPJobQueue.Options()
fresh.depthLifetime = .zero
let broker = try configuration.broker(name: "empty-jobs-depths")
let depths = AMQPJobQueue(configuration: broker, targets: [target], options: fresh, logger: logger)
let answer = try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await backend.run() }
    group.addTask { try await redis.run() }
    group.addTask { try await depths.run() }
    defer { group.cancelAll() }
    try await awaitIndex(backend.store)
    try await backend.queue.waitUntilConnected()
    try await depths.waitUntilConnected()
    if CommandLine.arguments.dropFirst().first == "prepare" {
        return try await prepare(backend, target, count: count).description
    }
    guard let id = UploadID(try option("upload")) else { throw Refused(description: "--upload is no upload") }
    return String(try await send(id, target, count: count, over: backend, redis, asking: depths))
}
print(answer)
