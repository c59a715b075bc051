// A whole Ferry in memory: Core's real use cases, in processes that can die, on ports that can fail, in time that only
// passes when everybody waits. The same seed gives the same history.

import Core
import CoreTesting
import Synchronization

/// What ended a world before its story did.
enum WorldError: Error, Hashable {
    /// Everybody waits, and for nothing.
    case deadlock
    /// Work was left after a long time.
    case stuck(String)
}

/// A guarantee that is switched off, to show that its loss is noticed.
enum Sabotage: Hashable, Sendable, CaseIterable {
    /// Jobs are not recorded together with the change that makes them necessary, and nobody looks after what stands
    /// still.
    case noOutbox
    /// A delivery is acknowledged before its work, and nobody looks after what stands still.
    case acknowledgesFirst
    /// Parts are acknowledged before they are durable.
    case noFsync
    /// A claim that another has followed can still change its upload.
    case noFence
}

/// The servers that all processes share, and the thread and time in which they run.
final class World: Sendable {
    private struct State: Sendable {
        var random: SeededRandom
        var background: [Task<Void, Never>] = []
        var workers: [WorldProcess] = []
        var started = 0
        var rebuilds = 0
        var observe: (@Sendable () -> Void)?
    }

    let executor: SeededExecutor
    let clock = VirtualClock()
    let server: InMemoryIndexServer
    let staging: InMemoryStaging
    let target: InMemoryTarget
    let queue: InMemoryJobQueue
    let bus = InMemoryEventBus()
    /// Rings when a job arrives at the broker.
    let arrivals = Bell()
    let limits: UploadLimits
    let sabotage: Set<Sabotage>
    /// Whether jobs are sent as soon as they are recorded, and not only when the relay looks.
    let sendsAtOnce: Bool
    /// Whether operations take time, so that what goes wrong finds everybody in the middle of something.
    let takesTime: Bool
    private let state: Mutex<State>
    let promises = Promises()

    static let targetID = require(TargetID("t"))
    static let owner = Principal(owner: require(Owner("alice")), roles: [.uploader])
    static let stranger = Principal(owner: require(Owner("mallory")), roles: [.uploader])

    init(
        seed: UInt64 = 1,
        stagingLimit: Int64 = .max,
        limits: UploadLimits = UploadLimits(partSize: 4_096),
        sabotage: Set<Sabotage> = [],
        sendsAtOnce: Bool = false,
        takesTime: Bool = false,
        strategy: MergeStrategy = .inPlace,
        probe: (@Sendable (TargetPath) -> Bool?)? = nil
    ) {
        let clock = clock
        let promises = promises
        executor = SeededExecutor(seed: seed)
        state = Mutex(State(random: SeededRandom(seed: ~seed)))
        self.sabotage = sabotage
        self.sendsAtOnce = sendsAtOnce
        self.takesTime = takesTime
        server = InMemoryIndexServer(
            clock: { clock.now },
            recordsJobs: !sabotage.contains(.noOutbox),
            checksFences: !sabotage.contains(.noFence),
            overtaken: { promises.note($0) }
        )
        staging = InMemoryStaging(
            limit: stagingLimit,
            faults: PortFaults(intercept: Gate.staging),
            now: { clock.now },
            digest: World.digest
        )
        let target = InMemoryTarget(
            strategy: strategy,
            faults: PortFaults(intercept: Gate.target),
            piece: 1_500,
            digest: World.digest
        )
        self.target = target
        let arrivals = arrivals
        queue = InMemoryJobQueue(
            arrived: { arrivals.ring() },
            answerProbe: { path, _ in
                if let probe { return probe(path) }
                return target.files[path] != nil
            }
        )
        self.limits = limits
    }

    /// Stands for SHA-256: as wide, and quick.
    static let digest: @Sendable ([UInt8]) -> SHA256Digest = { bytes in
        var words: [UInt64] = [1, 2, 3, UInt64(bytes.count)]
        bytes.withUnsafeBytes { memory in
            var (first, second) = (words[0], words[1])
            var position = 0
            while position + 8 <= memory.count {
                let word = memory.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                first = (first ^ word) &* 0x100_0000_01B3
                second = (second &+ word) &* 0x9E37_79B9_7F4A_7C15
                position += 8
            }
            while position < memory.count {
                first = (first ^ UInt64(memory[position])) &* 0x100_0000_01B3
                position += 1
            }
            (words[0], words[1], words[2]) = (first, second, first ^ second >> 7)
        }
        let result = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
        return require(SHA256Digest(bytes: result))
    }

    /// A random number of the world's own.
    func random() -> UInt64 { state.withLock { $0.random.next() } }

    var surroundings: Surroundings {
        Surroundings(
            now: { [clock] in clock.now },
            sleep: { [clock] in try await clock.sleep($0) },
            random: { self.random() }
        )
    }

    // MARK: Running

    /// Runs a story to its end, and then ends all that runs beside it.
    func run<Value: Sendable>(_ story: @escaping @Sendable () async throws -> Value) throws -> Value {
        let told = Told<Value>()
        Task(executorPreference: executor) {
            do { told.end(.success(try await story())) } catch { told.end(.failure(error)) }
        }
        defer { endBackground() }
        let observe = state.withLock { $0.observe }
        while true {
            if told.isOver, let result = told.result { return try result.get() }
            clock.tick()
            observe?()
            if !executor.step(), !clock.wakeNext() { throw WorldError.deadlock }
        }
    }

    private func endBackground() {
        for task in state.withLock({ $0.background }) { task.cancel() }
        state.withLock { $0.background = [] }
        while executor.step() || clock.wakeNext() {}
        // Processes hold their world: without this, no world would ever be freed.
        state.withLock { state in
            for worker in state.workers { worker.gate.watch(nil) }
            state.workers = []
            state.observe = nil
        }
    }

    /// Is called before every step of `run`.
    func observe(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.observe = body } }

    /// Runs something beside the story, until the story ends, or the process of which it is a part.
    func background(of process: WorldProcess? = nil, _ work: @escaping @Sendable () async -> Void) {
        let task = Task(executorPreference: executor) { await work() }
        state.withLock { $0.background.append(task) }
        process?.gate.ends(task)
    }

    /// How long an operation takes: every fourth some time, as chance has it.
    func delay() -> Duration? {
        guard takesTime else { return nil }
        let number = random()
        return number % 4 == 0 ? .milliseconds(Int64((number >> 8) % 400)) : nil
    }

    /// How long it takes to notice something: up to 200 ms, as chance has it.
    func pause() async throws { try await clock.sleep(.microseconds(Int64(random() % 200_000))) }

    /// A process that has found the index to be staging's, and keeps looking.
    func process(_ name: String) async throws -> WorldProcess {
        let process = WorldProcess(name, in: self)
        // An index that is full or away is asked again, as one that somebody else reads anew is.
        while await !process.finds() { try await clock.sleep(.milliseconds(100)) }
        background(of: process) {
            await process.keeper.run(losses: AsyncStream { _ in }) { outcome in
                if case .success(.rebuilt) = outcome { self.state.withLock { $0.rebuilds += 1 } }
            }
        }
        return process
    }

    /// Starts a worker that takes jobs until it dies; one that died is followed by another.
    ///
    /// - Parameter succession: plans the fates of those that follow.
    func startWorker(
        slots: Int = 1,
        planned: (Gate) -> Void = { _ in },
        succession: @escaping @Sendable (Gate) -> Void = { _ in }
    ) async throws {
        let number = state.withLock { state in
            state.started += 1
            return state.started
        }
        let worker = try await process("worker-\(number)")
        planned(worker.gate)
        if sendsAtOnce { background(of: worker) { await worker.relay.run() } }
        if number == 1 {
            background { [queue] in
                // The outbox. What the broker has taken is not sent again, so it may look often.
                while (try? await self.clock.sleep(.milliseconds(500))) != nil {
                    guard self.server.isDue(World.targetID), queue.isAvailable else { continue }
                    let alive = self.workers.first { !$0.gate.isDead }
                    _ = try? await (alive ?? worker).relay.relayDue(of: World.targetID)
                }
            }
        }
        state.withLock { $0.workers.append(worker) }
        for slot in 0..<slots { background { await worker.work(slot: slot) } }
        background {
            if !worker.gate.isDead { await worker.gate.death.wait() }
            guard (try? await self.pause()) != nil else { return }
            try? await self.startWorker(slots: slots, planned: succession, succession: succession)
        }
    }

    /// Looks after what stands still and what was left over, as a janitor that never dies.
    func startJanitor() {
        guard sabotage.isDisjoint(with: [.noOutbox, .acknowledgesFirst]) else { return }
        background {
            guard let janitor = try? await self.process("janitor") else { return }
            self.background { await janitor.relay.run() }
            let tend = TendTarget(janitor.ports, queue: self.queue, target: World.targetID)
            while (try? await self.clock.sleep(.seconds(5))) != nil {
                try? await janitor.store.announce(self.presence(), lifetime: .seconds(15))
                _ = try? await tend.revive()
                _ = try? await tend.sweep()
                _ = try? await TendStaging(janitor.ports).forget()
            }
        }
    }

    /// What all workers work on, told by one.
    private func presence() -> WorkerPresence {
        let now = clock.now
        let alive = workers.filter { !$0.gate.isDead }
        return WorkerPresence(
            name: "all",
            host: "h",
            process: 1,
            version: "1",
            targets: [World.targetID],
            jobs: alive.count,
            uploads: Array(Set(alive.flatMap(\.uploads))),
            startedAt: now,
            seenAt: now
        )
    }

    /// The workers that were started, dead ones too.
    var workers: [WorldProcess] { state.withLock { $0.workers } }

    /// How often the index was read anew by a process that was there already.
    var rebuilds: Int { state.withLock { $0.rebuilds } }

    /// Waits until no job is left anywhere, for longer than it takes to notice that an index was lost; where an upload
    /// stands still halfway, for longer than the janitor lets it stand.
    func settle(within limit: Duration = .seconds(1_800)) async throws {
        let deadline = clock.now + limit
        var quietRounds = 0
        var isHalfway = false
        while quietRounds < (isHalfway ? 50 : 8) {
            let index = server.index
            isHalfway = index.uploads.contains { [.shipping, .merging, .committing].contains($0.state) }
            let isQuiet =
                index.outboxEntries.isEmpty && queue.waiting.isEmpty && workers.allSatisfy { $0.isIdle }
            quietRounds = isQuiet ? quietRounds + 1 : 0
            guard clock.now < deadline else {
                throw WorldError.stuck("outbox \(index.outboxEntries), waiting \(queue.waiting)")
            }
            try await clock.sleep(.seconds(1))
        }
    }

    /// What is left of anything: nothing, when all uploads have ended well.
    func leftovers() async throws -> [String] {
        let index = server.index
        return target.partFiles.keys.map { "part file \($0.name)" }
            + target.partDirectories.keys.map { "directory \($0.directoryName)" }
            + index.heldPaths.map { "path \($0.path)" }
            + index.outboxEntries.map { "outbox \($0.job)" }
            + queue.waiting.map { "queue \($0.job)" }
            + (try await staging.uploads(after: nil, touchedSince: nil, limit: 100)).map { "staging \($0)" }
            + index.uploads.filter { !$0.state.isEnded }.map {
                "upload \($0.id) \($0.state) \(String(describing: $0.failure))"
            }
    }
}

/// What was promised and not kept, in the words of who noticed it.
final class Promises: Sendable {
    private let list = Mutex<[String]>([])

    var broken: [String] { list.withLock { $0 } }

    func note(_ what: String) { list.withLock { $0.append(what) } }
}

/// The end of a story.
private final class Told<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, any Error>?>(nil)
    private let over = Atomic(false)

    /// Asked at every step.
    var isOver: Bool { over.load(ordering: .acquiring) }

    var result: Result<Value, any Error>? { outcome.withLock { $0 } }

    func end(_ result: Result<Value, any Error>) {
        outcome.withLock { $0 = result }
        over.store(true, ordering: .releasing)
    }
}

/// A literal of a test that is known to be well-formed.
func require<Value>(_ value: Value?) -> Value {
    guard let value else { preconditionFailure("a test's literal is malformed") }
    return value
}

/// A literal path.
func path(_ text: String) -> TargetPath { require(try? TargetPath(text)) }
