// Whole merges on real targets: Core's use cases with an index, staging and a broker in memory, by workers that end at
// whatever step a test says.

import Core
import CoreTesting
import Foundation
import Synchronization

@testable import Adapters

/// A worker's life: it is counted after every operation of every port, and ends or stands still after one of them.
final class Life: Sendable {
    enum End: Hashable, Sendable {
        /// Nothing that it does from then on has any effect.
        case dies
        /// It stands still until `goOn`.
        case stops
    }

    /// The worker whose task this is; nil for one that meets nothing.
    @TaskLocal static var current: Life?

    private let state = Mutex((steps: [String](), isOver: false))
    private let end: (End, after: Int)?
    private let isCounted: @Sendable (String) -> Bool
    private let stopped = AsyncStream.makeStream(of: Void.self)
    private let released = AsyncStream.makeStream(of: Void.self)

    /// - Parameters:
    ///   - end: what happens after how many steps; nil for nothing.
    ///   - isCounted: which steps are counted.
    init(_ end: (End, after: Int)? = nil, counting isCounted: @escaping @Sendable (String) -> Bool = { _ in true }) {
        self.end = end
        self.isCounted = isCounted
    }

    /// The steps that were counted.
    var steps: [String] { state.withLock { $0.steps } }

    /// Whether it is dead.
    var isOver: Bool { state.withLock { $0.isOver } }

    /// Passes on the way into an operation, or out of it; false for the dead.
    static func pass(_ name: String, _ moment: FaultMoment) async -> Bool {
        guard let life = current else { return true }
        guard moment == .after, life.isCounted(name) else { return !life.isOver }
        let end = life.state.withLock { state -> End? in
            state.steps.append(name)
            guard let end = life.end, end.after == state.steps.count - 1 else { return nil }
            if end.0 == .dies { state.isOver = true }
            return end.0
        }
        if end == .stops {
            life.stopped.continuation.yield()
            for await _ in life.released.stream { break }
        }
        return !life.isOver
    }

    /// Waits until it stands still, or `isDone` was said.
    func standsStill() async { for await _ in stopped.stream { break } }

    /// It will not stand still any more.
    func isDone() { stopped.continuation.finish() }

    /// Lets it go on.
    func goOn() { released.continuation.finish() }

    /// What the assemblies of a target are watched with.
    static let watch: AssemblyWatch = { step in
        guard await pass("assembly \(step)", .after) else { throw TargetError(.interrupted, "cut off") }
    }
}

/// A target that only the living reach.
struct MortalTarget: TargetSession {
    let base: any TargetSession

    private func pass<Answer: Sendable>(
        _ name: String = #function,
        _ body: () async throws(TargetError) -> Answer
    ) async throws(TargetError) -> Answer {
        guard await Life.pass(name, .before) else { throw TargetError(.interrupted, "cut off") }
        let answer = try await body()
        guard await Life.pass(name, .after) else { throw TargetError(.interrupted, "cut off") }
        return answer
    }

    private struct Sealed: SealedPartFile {
        let base: any SealedPartFile
        let target: MortalTarget

        var facts: FileFacts { base.facts }
        var isUntouched: Bool { base.isUntouched }
        func settle() async throws(TargetError) {
            try await target.pass("settle()") { () throws(TargetError) in try await base.settle() }
        }
        func renameAndSettle(overwrite: Overwrite) async throws(TargetError) -> SettledRename? {
            try await target.pass("renameAndSettle(overwrite:)") { () throws(TargetError) in
                try await base.renameAndSettle(overwrite: overwrite)
            }
        }
        func close() async { await base.close() }
    }

    func facts(of path: TargetPath) async throws(TargetError) -> FileFacts? {
        try await pass("facts(of:) path") { () throws(TargetError) in try await base.facts(of: path) }
    }

    func facts(of file: PartFile) async throws(TargetError) -> FileFacts? {
        try await pass { () throws(TargetError) in try await base.facts(of: file) }
    }

    func strategy() async throws(TargetError) -> MergeStrategy {
        try await pass { () throws(TargetError) in try await base.strategy() }
    }

    func prepare(_ file: PartFile, size: Int64?) async throws(TargetError) {
        try await pass { () throws(TargetError) in try await base.prepare(file, size: size) }
    }

    func ship(_ reader: any PartReader, into file: PartFile) async throws(TargetError) -> Verification {
        try await pass { () throws(TargetError) in try await base.ship(reader, into: file) }
    }

    func assemble(
        _ file: PartFile,
        of parts: [Part],
        from open: @escaping @Sendable (Part) async throws(StagingError) -> any PartReader
    ) async throws(TargetError) -> Verification? {
        try await pass { () throws(TargetError) in try await base.assemble(file, of: parts, from: open) }
    }

    func build(
        _ file: PartFile,
        of part: Part,
        _ bytes: any ByteChunk,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> BuiltPartFile {
        let built: BuiltPartFile = try await pass { () throws(TargetError) in
            try await base.build(file, of: part, bytes, modified: modified, attributes: attributes)
        }
        return BuiltPartFile(sealed: Sealed(base: built.sealed, target: self), verification: built.verification)
    }

    func prove(_ part: Part, in file: PartFile) async throws(TargetError) {
        try await pass { () throws(TargetError) in try await base.prove(part, in: file) }
    }

    func seal(
        _ file: PartFile,
        size: Int64,
        modified: Int64,
        attributes: FinalAttributes
    ) async throws(TargetError) -> any SealedPartFile {
        let sealed: any SealedPartFile = try await pass { () throws(TargetError) in
            try await base.seal(file, size: size, modified: modified, attributes: attributes)
        }
        return Sealed(base: sealed, target: self)
    }

    func rename(_ file: PartFile, overwrite: Overwrite) async throws(TargetError) -> RenameResult {
        try await pass { () throws(TargetError) in try await base.rename(file, overwrite: overwrite) }
    }

    func digest(of path: TargetPath, size: Int64) async throws(TargetError) -> SHA256Digest? {
        try await pass { () throws(TargetError) in try await base.digest(of: path, size: size) }
    }

    func settle(_ file: PartFile, found: FileFacts, attributes: FinalAttributes) async throws(TargetError) {
        try await pass { () throws(TargetError) in
            try await base.settle(file, found: found, attributes: attributes)
        }
    }

    func removeBackup(of file: PartFile) async throws(TargetError) -> Bool {
        try await pass { () throws(TargetError) in try await base.removeBackup(of: file) }
    }

    // The dead free nothing.
    func giveUp(_ file: PartFile) async { if await Life.pass("giveUp", .before) { await base.giveUp(file) } }

    func remove(_ file: PartFile) async throws(TargetError) {
        try await pass { () throws(TargetError) in try await base.remove(file) }
    }

    func removePartFiles(
        of upload: UploadID,
        beside path: TargetPath,
        before generation: Generation?
    ) async throws(TargetError) -> Int {
        try await pass { () throws(TargetError) in
            try await base.removePartFiles(of: upload, beside: path, before: generation)
        }
    }

    var breaker: BreakerState { base.breaker }

    func inspect() async throws(TargetError) -> [String: String] { try await base.inspect() }
}

/// What all workers of a test share, and the time that it moves on by itself.
final class MergeUnderTest: Sendable {
    static let target = TargetID("t")
    /// Parts that are proven in different ways.
    static let partSize: Int64 = 70_000
    private static let owner = Owner("alice")
    /// What all files are to have.
    static let attributes = FinalAttributes(
        mode: FileMode(octal: "0440"),
        modifiedAt: Timestamp(microseconds: 1_000_000_000_000_000)
    )

    let staging: InMemoryStaging
    private let server: InMemoryIndexServer
    private let queue = InMemoryJobQueue()
    private let ahead: Clock

    /// The real time, set ahead.
    private final class Clock: Sendable {
        private let ahead = Mutex(Duration.zero)

        var now: Timestamp {
            Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) + ahead.withLock { $0 }
        }
        func advance(by duration: Duration) { ahead.withLock { $0 += duration } }
    }

    init() {
        let clock = Clock()
        ahead = clock
        staging = InMemoryStaging(
            faults: PortFaults { operation, moment in
                await Life.pass("staging \(operation)", moment) ? nil : .failed("cut off")
            },
            now: { clock.now },
            digest: { digest(Bytes($0)) }
        )
        server = InMemoryIndexServer(clock: { clock.now })
    }

    /// Lets the lease of whoever is dead, or stands still, run out.
    func waitForLeases() { ahead.advance(by: MergeUpload.lease + .seconds(1)) }

    func upload(_ id: UploadID) -> Upload? { server.index.uploads.first { $0.id == id } }

    /// One process.
    struct Worker: Sendable {
        let name: String
        let intake: UploadIntake
        let ship: ShipPart
        let merge: MergeUpload
        let clean: CleanUpload
    }

    func worker(_ name: String, on target: any TargetSession) async throws -> Worker {
        let clock = ahead
        let surroundings = Surroundings(
            now: { clock.now },
            sleep: { duration in
                if let life = Life.current, life.isOver { throw CancellationError() }
                try await Task.sleep(for: duration)
            },
            random: { UInt64.random(in: .min ... .max) }
        )
        let store = InMemoryUploadStore(
            server,
            faults: PortFaults { operation, moment in
                await Life.pass("store \(operation)", moment) ? nil : .unavailable("cut off")
            }
        )
        let leases = InMemoryLeaseStore(
            server,
            faults: PortFaults { _, moment in await Life.pass("leases", moment) ? nil : .unavailable("cut off") }
        )
        let relay = OutboxRelay(store: store, queue: queue)
        let events = ProgressEvents(bus: InMemoryEventBus(), surroundings: surroundings)
        let keeper = IndexKeeper(
            store: store,
            leases: leases,
            staging: staging,
            relay: relay,
            surroundings: surroundings,
            holder: name
        )
        guard let id = Self.target else { throw CancellationError() }
        _ = try await keeper.check()
        let session = MortalTarget(base: target)
        let ports = WorkPorts(
            store: store,
            leases: leases,
            staging: staging,
            target: { $0 == id ? session : nil },
            relay: relay,
            events: events,
            surroundings: surroundings,
            policy: RetryPolicy(),
            worker: name
        )
        return Worker(
            name: name,
            intake: UploadIntake(
                store: store,
                staging: staging,
                queue: queue,
                relay: relay,
                events: events,
                surroundings: surroundings,
                limits: UploadLimits(partSize: Self.partSize),
                targets: [id]
            ),
            ship: ShipPart(ports),
            merge: MergeUpload(ports),
            clean: CleanUpload(ports)
        )
    }

    /// Sends a file and ships its parts: what is left is the merge.
    func send(_ file: Bytes, to path: String, overwrite: Overwrite, by worker: Worker) async throws -> UploadID {
        guard let owner = Self.owner else { throw CancellationError() }
        let client = Principal(owner: owner, roles: [.uploader])
        let id = try await worker.intake.create(
            CreateRequest(
                target: "t",
                path: path,
                size: Int64(file.count),
                partSize: Self.partSize,
                digest: digest(file),
                overwrite: overwrite,
                attributes: Self.attributes
            ),
            for: client
        ).upload.id
        let offsets = Array(stride(from: 0, to: Int64(file.count), by: Int64.Stride(Self.partSize)))
        for (index, offset) in offsets.enumerated() {
            let bytes = Bytes(Array(file.array[Int(offset)..<min(Int(offset + Self.partSize), file.count)]))
            let part = try await worker.intake.beginPart(
                Int64(index + 1),
                of: id,
                length: Int64(bytes.count),
                digest: nil,
                for: client
            )
            try await part.write(bytes)
            _ = try await part.finish()
        }
        _ = try await worker.intake.complete(id, digest: nil, for: client)
        try await ship(id, by: worker)
        return id
    }

    /// Sends a small file in one request.
    func submit(_ file: Bytes, to path: String, overwrite: Overwrite, by worker: Worker) async throws -> UploadID {
        guard let owner = Self.owner else { throw CancellationError() }
        let taken = try await worker.intake.submit(
            CreateRequest(
                target: "t",
                path: path,
                size: Int64(file.count),
                partSize: Self.partSize,
                overwrite: overwrite,
                attributes: Self.attributes,
                isWhole: true
            ),
            file,
            for: Principal(owner: owner, roles: [.uploader])
        )
        guard let taken else { throw CancellationError() }
        return taken.id
    }

    /// Takes the jobs of parts that have to be shipped.
    func ship(_ id: UploadID, by worker: Worker) async throws {
        let size = upload(id)?.record.size ?? 0
        for offset in stride(from: 0, to: size, by: Int64.Stride(Self.partSize)) {
            _ = await worker.ship.perform(id, offset: offset)
        }
    }

    /// Sends what failed on its way again, as an operator does.
    func replay(_ id: UploadID, by worker: Worker) async throws {
        guard let owner = Owner("olga") else { throw CancellationError() }
        let letters = DeadLetters(worker.intake) { _ in true }
        _ = try await letters.replay(id, for: Principal(owner: owner, roles: [.operator]))
        try await ship(id, by: worker)
    }
}

extension MergeUnderTest.Worker {
    /// Merges, if the merge is to be had.
    func merge(_ id: UploadID, in life: Life = Life()) async {
        await Life.$current.withValue(life) {
            guard case .claimed(let upload, let fence) = await merge.claim(id) else { return }
            await merge.run(upload, fence: fence)
        }
        life.isDone()
    }
}
