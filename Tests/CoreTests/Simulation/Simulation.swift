// One simulated history: a whole Ferry lives through its plan, is healed, and is then held to what it promised.

import Core
import CoreTesting
import Synchronization

/// Lives through the history of a seed.
final class Simulation: Sendable {
    /// What a history ended in.
    struct Verdict: Sendable {
        /// Broken promises; none when all is well.
        var violations: [String] = []
        /// Every crossing of every process, in order.
        var trace: [String] = []
        var acknowledged = 0
        var deadLetters = 0
    }

    private struct State: Sendable {
        var apis: [WorldProcess] = []
        var told: [Acknowledged]
        var violations: [String] = []
        var renames = 0
        var staged: Set<UploadID> = []
        var trace: [String] = []
        var snapshot: InMemoryIndex?
    }

    private let seed: UInt64
    let plan: SimulationPlan
    let world: World
    private let state: Mutex<State>

    init(seed: UInt64, isCalm: Bool = false, sabotage: Set<Sabotage> = []) {
        self.seed = seed
        plan = SimulationPlan(seed: seed, isCalm: isCalm)
        world = World(seed: seed, sabotage: sabotage, sendsAtOnce: true)
        state = Mutex(State(told: plan.sends.map { _ in Acknowledged() }))
    }

    /// Lives through it.
    func run() -> Verdict {
        world.observe { self.look() }
        do {
            try world.run { try await self.live() }
        } catch {
            state.withLock { $0.violations.append("ended by \(error)") }
        }
        return state.withLock { state in
            for api in state.apis { api.gate.watch(nil) }
            state.apis = []
            let complete = state.told.count { $0.isComplete && !$0.isCancelled }
            return Verdict(violations: state.violations, trace: state.trace, acknowledged: complete)
        }
    }

    private func violated(_ what: String) { state.withLock { $0.violations.append(what) } }

    // MARK: Living

    private func live() async throws {
        try await startAPI()
        try await startAPI()
        try await world.startWorker(slots: 2, planned: trace, succession: { self.trace($0) })
        try await world.startWorker(slots: 1, planned: trace, succession: { self.trace($0) })
        world.startJanitor()
        let clients = plan.sends.indices.map { number in client(number) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, client) in clients.enumerated() {
                group.addTask {
                    try await client.run { change in self.state.withLock { change(&$0.told[number]) } }
                }
            }
            group.addTask { try await self.strike() }
            try await group.waitForAll()
        }
        try await heal()
        try await world.settle(within: .seconds(600))
        try await settleDeadLetters(clients)
        try await giveUpTheRest()
        await judge()
    }

    private func client(_ number: Int) -> SimulatedClient {
        SimulatedClient(world: world, plan: plan.sends[number], key: "\(number)") { [self] in
            let alive = state.withLock { $0.apis.filter { !$0.gate.isDead } }
            return alive[Int(world.random() % UInt64(alive.count))]
        }
    }

    private func trace(_ gate: Gate) {
        gate.watch { name in self.state.withLock { $0.trace.append(name) } }
    }

    private func startAPI() async throws {
        let api = try await world.process("api")
        trace(api.gate)
        state.withLock { $0.apis.append(api) }
        world.background { await api.relay.run() }
    }

    /// Does what goes wrong, when it does.
    private func strike() async throws {
        var passed = Duration.zero
        for (time, fault) in plan.faults {
            try await world.clock.sleep(time - passed)
            passed = time
            try await strike(fault)
            let now = world.server.index
            state.withLock { $0.snapshot = now }
        }
    }

    private func strike(_ fault: SimulationPlan.Fault) async throws {
        let alive = world.workers.filter { !$0.gate.isDead }
        let worker = alive.isEmpty ? nil : alive[Int(world.random() % UInt64(alive.count))]
        let apis = state.withLock { $0.apis.filter { !$0.gate.isDead } }
        let api = apis[Int(world.random() % UInt64(apis.count))]
        // Within the next operations, wherever that is.
        let soon = Int(world.random() % 12)
        switch fault {
        case .killWorker: worker?.gate.planSoon(.dies, in: soon)
        case .stopWorker(let time): worker?.gate.planSoon(.stops(time), in: soon)
        case .failWorker: worker?.gate.planSoon(.fails, in: soon)
        case .drainWorker: worker?.gate.planSoon(.isCancelled, in: soon)
        case .killAPI:
            // Another is there first: clients always find one.
            try await startAPI()
            api.gate.planSoon(.dies, in: soon % 4)
        case .stopAPI(let time): api.gate.planSoon(.stops(time), in: soon % 4)
        case .failAPI:
            api.gate.planSoon(.fails, in: soon % 4)
            // Power failed with it: what was not flushed is gone.
            if world.sabotage.contains(.noFsync) { world.staging.uploadIDs.forEach(world.staging.loseParts) }
        case .wipeIndex: world.server.wipe()
        case .restartIndex: world.server.restart()
        case .setIndexBack:
            if let snapshot = state.withLock({ $0.snapshot }) { world.server.rollBack(to: snapshot) }
        case .fullIndex(let time): during(time) { self.world.server.setFull($0) }
        case .brokerAway(let time): during(time) { self.world.queue.behaviour = $0 ? .isAway : .takes }
        case .brokerRefuses(let time): during(time) { self.world.queue.behaviour = $0 ? .refuses("full") : .takes }
        case .brokerLosesConfirms(let time):
            during(time) { self.world.queue.behaviour = $0 ? .losesConfirms : .takes }
        case .brokerWiped: world.queue.wipe()
        case .duplicates: for delivery in world.queue.waiting { world.queue.put(delivery) }
        case .flipStagedByte: world.staging.damageSome(Int(world.random() % 16))
        case .losePartFile:
            let files = world.target.partFiles.keys.sorted { $0.name < $1.name }
            if let file = files.first { world.target.partFiles[file] = nil }
        case .fullTarget(let time): during(time) { self.world.target.room = $0 ? 2_000 : .max }
        case .strangerMakesFile: world.target.files[path("a")] = InMemoryTarget.File(bytes: [9, 9], modified: 3)
        case .strangerTakesFile: world.target.files[path("a")] = nil
        }
    }

    private func during(_ time: Duration, _ set: @escaping @Sendable (Bool) -> Void) {
        set(true)
        world.background {
            try? await self.world.clock.sleep(time)
            set(false)
        }
    }

    /// Everything is well again.
    private func heal() async throws {
        try await world.clock.sleep(SimulationPlan.end)
        world.server.setFull(false)
        world.queue.behaviour = .takes
        world.target.room = .max
        for process in world.workers + state.withLock({ $0.apis }) { process.gate.forgetPlans() }
        // What the broker lost is noticed after a while without a move.
        try await world.clock.sleep(TendTarget.idle + .seconds(10))
    }

    // MARK: Looking

    /// After every step: what lies at a final path came there whole, and staging lets go only of what has ended.
    private func look() {
        let renames = world.target.renames
        let staged = world.staging.uploadIDs
        state.withLock { state in
            if renames.count > state.renames {
                for path in renames[state.renames...] {
                    let found = world.target.files[path]?.bytes
                    let isWhole = plan.sends.contains { $0.path == path.description && $0.bytes == found }
                    if !isWhole, found != nil { state.violations.append("a wrong file appeared at \(path)") }
                }
                state.renames = renames.count
            }
            guard staged != state.staged else { return }
            for id in state.staged.subtracting(staged) {
                let known = world.server.index.uploads.first { $0.id == id }
                if let known, !known.state.isEnded {
                    state.violations.append("staging let go of \(id), \(known.state)")
                }
            }
            state.staged = staged
        }
    }

    // MARK: Judging

    /// Replays what waits; what was damaged is sent again by its client.
    private func settleDeadLetters(_ clients: [SimulatedClient]) async throws {
        let operations = Principal(owner: require(Owner("olga")), roles: [.operator])
        for _ in 0..<3 {
            let failed = world.server.index.uploads.filter { $0.state == .failed }
            guard !failed.isEmpty else { return }
            let api = try await world.process("operations")
            world.background { await api.relay.run() }
            let letters = DeadLetters(api.intake) { _ in true }
            for upload in failed {
                do throws(IntakeError) { _ = try await letters.replay(upload.id, for: operations) } catch {
                    guard case .partsMissing(let numbers) = error else { continue }
                    let told = state.withLock { $0.told }
                    for (number, client) in clients.enumerated() where told[number].id == upload.id {
                        try await client.putAgain(numbers, of: upload.id)
                    }
                }
            }
            try await world.settle(within: .seconds(600))
        }
    }

    /// Cancels what no client finished, so that nothing but leftovers can be left over.
    private func giveUpTheRest() async throws {
        let told = state.withLock { $0.told }
        let promised = Set(told.filter { $0.isComplete && !$0.isCancelled }.compactMap(\.id))
        let api = try await world.process("operations")
        world.background { await api.relay.run() }
        for upload in world.server.index.uploads where !upload.state.isEnded {
            if promised.contains(upload.id), !mayFail(upload) {
                violated("\(upload.id) is \(upload.state) \(String(describing: upload.failure))")
            }
            _ = try? await api.intake.cancel(upload.id, for: Principal(owner: upload.record.owner, roles: [.uploader]))
        }
        try await world.settle(within: .seconds(600))
    }

    /// Whether somebody else is to blame for a dead letter that no replay helps.
    private func mayFail(_ upload: Upload) -> Bool {
        guard upload.state == .failed, let reason = upload.failure?.reason else { return false }
        let isShared = plan.sends.count { $0.path == upload.record.path.description } > 1
        return (reason == .targetExists || reason == .commitUnknown) && (plan.hasStranger || isShared)
    }

    private func judge() async {
        // A record that its creation could not take back is discarded once it can be in nobody's hands any more.
        world.clock.advance(by: TendStaging.strayAge + .seconds(1))
        if let janitor = try? await world.process("janitor") { _ = try? await TendStaging(janitor.ports).reconcile() }
        let uploads = world.server.index.uploads
        for (number, told) in state.withLock({ $0.told }).enumerated() {
            let send = plan.sends[number]
            let found = world.target.files[path(send.path)]?.bytes
            let rivals = plan.sends.count { $0.path == send.path } > 1
            guard let id = told.id else { continue }
            let upload = uploads.first { $0.id == id }
            if told.isComplete, !told.isCancelled {
                // Its record may have gone with the index; its file may not.
                if let upload, upload.state != .done, !mayHaveFailed(upload) {
                    violated("\(id) was acknowledged and is \(upload.state)")
                }
                let isReplaced = rivals || plan.hasStranger
                if upload?.state != .cancelled, found != send.bytes, !isReplaced {
                    violated("the file of \(id) is not there")
                }
            } else if told.isCancelled, found == send.bytes, !send.bytes.isEmpty, upload?.state == .cancelled {
                violated("\(id) was cancelled and its file is there")
            }
        }
        for leftover in (try? await world.leftovers()) ?? ["leftovers cannot be told"] { violated("left: \(leftover)") }
    }

    /// Given up in the end because somebody else was in its way.
    private func mayHaveFailed(_ upload: Upload) -> Bool {
        upload.state == .cancelled
            && (plan.hasStranger || plan.sends.count { $0.path == upload.record.path.description } > 1)
    }
}
