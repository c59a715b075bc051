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
        /// What went wrong, and what became of it.
        var census = Census()
    }

    private struct State: Sendable {
        var apis: [WorldProcess] = []
        var told: [Acknowledged]
        var renames = 0
        var turnover = 0
        var staged: Set<UploadID> = []
        var census = Census()
        var trace: [String] = []
    }

    private let seed: UInt64
    let plan: SimulationPlan
    private let building: BuildingPlan
    let world: World
    private let state: Mutex<State>

    /// - Parameters:
    ///   - takesTime: whether operations take time.
    ///   - strategy: how files are built; nil leaves it to the seed.
    init(
        seed: UInt64,
        isCalm: Bool = false,
        sabotage: Set<Sabotage> = [],
        takesTime: Bool = false,
        strategy: MergeStrategy? = nil
    ) {
        self.seed = seed
        plan = SimulationPlan(seed: seed, isCalm: isCalm)
        building = BuildingPlan(seed: seed, only: strategy)
        world = World(
            seed: seed,
            sabotage: sabotage,
            sendsAtOnce: true,
            takesTime: takesTime,
            strategy: building.first
        )
        state = Mutex(State(told: plan.sends.map { _ in Acknowledged() }))
    }

    /// Lives through it.
    func run() -> Verdict {
        world.observe { self.look() }
        do {
            try world.run { try await self.live() }
        } catch {
            violated("ended by \(error)")
        }
        return state.withLock { state in
            for api in state.apis { api.gate.watch(nil) }
            state.apis = []
            return Verdict(violations: world.promises.broken, trace: state.trace, census: state.census)
        }
    }

    private func violated(_ what: String) { world.promises.note(what) }

    private func count(_ what: String, _ number: Int = 1) { state.withLock { $0.census.count(what, number) } }

    /// Counts what only the end shows.
    private func conclude() {
        let (told, apis) = state.withLock { ($0.told, $0.apis) }
        var census = Census()
        for worker in world.workers { census.count("worker", worker.gate.met) }
        for api in apis { census.count("api", api.gate.met) }
        for event in world.bus.events { census.count(event.kind.rawValue) }
        for upload in world.server.index.uploads {
            census.count("ended \(upload.state)")
            if upload.state == .done, let strategy = upload.strategy { census.count("built \(strategy.rawValue)") }
        }
        census.count("index read anew", world.rebuilds)
        census.count("files", world.target.renames.count)
        census.count("acknowledged as complete", told.count { $0.isComplete && !$0.isCancelled })
        census.count("acknowledged as cancelled", told.count { $0.isCancelled })
        state.withLock { $0.census.add(census) }
    }

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
            group.addTask {
                try await self.world.clock.sleep(self.building.at)
                self.world.target.nextStrategy = self.building.then
            }
            try await group.waitForAll()
        }
        try await heal()
        try await world.settle(within: .seconds(600))
        try await sendAgain(clients)
        try await settleDeadLetters(clients)
        try await giveUpTheRest()
        await judge()
        conclude()
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
        world.background(of: api) { await api.relay.run() }
    }

    /// Does what goes wrong, when it does.
    private func strike() async throws {
        var passed = Duration.zero
        for (time, fault) in plan.faults {
            try await world.clock.sleep(time - passed)
            passed = time
            try await strike(fault)
        }
    }

    private func strike(_ fault: SimulationPlan.Fault) async throws {
        let alive = world.workers.filter { !$0.gate.isDead }
        let worker = alive.isEmpty ? nil : alive[Int(world.random() % UInt64(alive.count))]
        let apis = state.withLock { $0.apis.filter { !$0.gate.isDead } }
        let api = apis[Int(world.random() % UInt64(apis.count))]
        // Within the next operations, wherever that is.
        let soon = Int(world.random() % 12)
        count("fault \(fault.kind)")
        switch fault.kind {
        case .killWorker: worker?.gate.planSoon(.dies, in: soon)
        case .stopWorker: worker?.gate.planSoon(.stops(fault.lasts), in: soon)
        case .failWorker: worker?.gate.planSoon(.fails, in: soon)
        case .drainWorker: worker?.gate.planSoon(.isCancelled, in: soon)
        case .killAPI:
            // Another is there first: clients always find one.
            try await startAPI()
            api.gate.planSoon(.dies, in: soon % 4)
        case .stopAPI: api.gate.planSoon(.stops(fault.lasts), in: soon % 4)
        case .failAPI:
            api.gate.planSoon(.fails, in: soon % 4)
            // Power failed with it: what was not flushed is gone.
            if world.sabotage.contains(.noFsync) { world.staging.uploadIDs.forEach(world.staging.loseParts) }
        case .wipeIndex: world.server.wipe()
        case .restartIndex: world.server.restart()
        case .setIndexBack:
            let earlier = world.server.index
            world.background {
                try? await self.world.clock.sleep(fault.lasts)
                self.world.server.rollBack(to: earlier)
                self.count("index set back")
            }
        case .fullIndex: during(fault.lasts) { self.world.server.setFull($0) }
        case .brokerAway: during(fault.lasts) { self.world.queue.behaviour = $0 ? .isAway : .takes }
        case .brokerRefuses: during(fault.lasts) { self.world.queue.behaviour = $0 ? .refuses("full") : .takes }
        case .brokerLosesConfirms: during(fault.lasts) { self.world.queue.behaviour = $0 ? .losesConfirms : .takes }
        case .brokerWiped:
            count("jobs lost by the broker", world.queue.waiting.count)
            world.queue.wipe()
        case .duplicates:
            // Those that are being worked on, or were, too.
            let again = world.queue.sent.suffix(4)
            count("jobs delivered twice", again.count)
            for delivery in again { world.queue.put(delivery) }
        case .flipStagedByte:
            if world.staging.damageSome(Int(world.random() % 16)) { count("staged bytes flipped") }
        case .losePartFile:
            let files = world.target.partFiles.keys.sorted { $0.name < $1.name }
            if let file = files.first {
                world.target.partFiles[file] = nil
                count("part files lost")
            }
        case .flipTargetByte: world.background { await self.flipTargetByte() }
        case .fullTarget: during(fault.lasts) { self.world.target.room = $0 ? 2_000 : .max }
        case .strangerMakesFile: world.target.files[path("a")] = InMemoryTarget.File(bytes: [9, 9], modified: 3)
        case .strangerTakesFile: world.target.files[path("a")] = nil
        }
    }

    /// Waits a while for a part file that is whole and in nobody's hands, and changes a byte of it.
    ///
    /// Where a part may be shipped once more after that, it is one that changes while others still arrive, and that is
    /// not promised to be noticed.
    private func flipTargetByte() async {
        guard plan.faults.allSatisfy({ ![.flipStagedByte, .setIndexBack].contains($0.fault.kind) }) else { return }
        for _ in 0..<1_000 where (try? await world.clock.sleep(.milliseconds(10))) != nil {
            let busy = Set(world.workers.filter { !$0.gate.isDead }.flatMap(\.uploads))
            let idle = world.server.index.uploads.filter { $0.state == .merging && !busy.contains($0.id) }
            for upload in idle {
                guard let file = upload.partFile, damage(file) else { continue }
                return count("bytes flipped on the target")
            }
        }
    }

    /// Changes a byte of a part file, or of a part that lies apart.
    private func damage(_ file: PartFile) -> Bool {
        if world.target.damage(file, at: 0) { return true }
        guard let name = world.target.partDirectories[file]?.keys.min(),
            world.target.partDirectories[file]?[name]?.isEmpty == false
        else { return false }
        world.target.partDirectories[file]?[name]?[0] ^= 1
        return true
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

    /// After every step: what lies at a final path came there whole, and staging lets go only of what has ended. Where
    /// neither has changed there is nothing to look at.
    private func look() {
        let (count, turnover) = (world.target.renameCount, world.staging.turnover)
        let seen = state.withLock { state in
            defer { (state.renames, state.turnover) = (count, turnover) }
            return (renames: state.renames, turnover: state.turnover)
        }
        if count > seen.renames {
            for path in world.target.renames[seen.renames...] {
                let found = world.target.files[path]?.bytes
                let isWhole = plan.sends.contains { $0.path == path.description && $0.bytes == found }
                if !isWhole, found != nil { violated("a wrong file appeared at \(path)") }
            }
        }
        guard turnover != seen.turnover else { return }
        let staged = world.staging.uploadIDs
        for id in state.withLock({ $0.staged }).subtracting(staged).sorted() {
            // An index that was set back meanwhile learns of the end from what is kept of it; of a creation that was
            // refused, nobody was told.
            guard let known = world.server.index.uploads.first(where: { $0.id == id }), !known.state.isEnded,
                known.received.parts > 0 || known.isComplete, !world.staging.keepsEnd(of: id)
            else { continue }
            violated("staging let go of \(id), \(known.state)")
        }
        state.withLock { $0.staged = staged }
    }

    // MARK: Judging

    /// Replays what waits; what was damaged is sent again by its client.
    private func settleDeadLetters(_ clients: [SimulatedClient]) async throws {
        let operations = Principal(owner: require(Owner("olga")), roles: [.operator])
        for _ in 0..<3 {
            let failed = world.server.index.uploads.filter { $0.state == .failed }
            guard !failed.isEmpty else { return }
            let api = try await world.process("operations")
            world.background(of: api) { await api.relay.run() }
            let letters = DeadLetters(api.intake) { _ in true }
            for upload in failed {
                count("dead letters of \(upload.failure?.reason.rawValue ?? "nothing")")
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

    /// What was acknowledged and is receiving again: one part was struck, and then the index was lost, with the dead letter
    /// that asked for it. Its client finds a part missing, and sends it again.
    private func sendAgain(_ clients: [SimulatedClient]) async throws {
        let kinds = Set(plan.faults.map(\.fault.kind))
        guard kinds.contains(.flipStagedByte), !kinds.isDisjoint(with: [.wipeIndex, .setIndexBack]) else { return }
        let receiving = Set(world.server.index.uploads.filter { $0.state == .receiving }.map(\.id))
        for (number, told) in state.withLock({ $0.told }).enumerated() where told.isComplete && !told.isCancelled {
            guard let id = told.id, receiving.contains(id) else { continue }
            try await clients[number].sendAgain(id)
            count("sent again")
        }
        try await world.settle(within: .seconds(600))
    }

    /// Cancels what no client finished, so that nothing but leftovers can be left over.
    private func giveUpTheRest() async throws {
        let told = state.withLock { $0.told }
        let promised = Set(told.filter { $0.isComplete && !$0.isCancelled }.compactMap(\.id))
        let api = try await world.process("operations")
        world.background(of: api) { await api.relay.run() }
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
        // A part file that a late worker made after the end is looked for a minute later.
        if !world.target.partFiles.isEmpty || !world.target.partDirectories.isEmpty {
            try? await world.clock.sleep(.seconds(70))
        }
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
            } else if told.isCancelled, found == send.bytes, !send.bytes.isEmpty, upload?.state == .cancelled,
                plan.sends.count(where: { $0.path == send.path && $0.bytes == send.bytes }) == 1
            {
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
