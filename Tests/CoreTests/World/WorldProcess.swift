// One process of a world: its own way to the shared servers, and the use cases on it.

import Core
import CoreTesting
import Synchronization

/// A process: an API, a worker, or both.
final class WorldProcess: Sendable {
    let name: String
    let gate: Gate
    let store: InMemoryUploadStore
    let leases: InMemoryLeaseStore
    let relay: OutboxRelay
    let events: ProgressEvents
    let intake: UploadIntake
    let keeper: IndexKeeper
    let ship: ShipPart
    let merge: MergeUpload
    let clean: CleanUpload
    let ports: WorkPorts
    private let world: World
    private let running = Mutex<[Int: UploadID]>([:])

    init(_ name: String, in world: World) {
        self.name = name
        self.world = world
        gate = Gate(clock: world.clock, delay: { world.delay() })
        store = InMemoryUploadStore(world.server, faults: PortFaults(intercept: Gate.store))
        leases = InMemoryLeaseStore(world.server, faults: PortFaults(intercept: Gate.leases))
        relay = OutboxRelay(store: store, queue: world.queue)
        events = ProgressEvents(bus: world.bus, surroundings: world.surroundings)
        intake = UploadIntake(
            store: store,
            staging: world.staging,
            queue: world.queue,
            relay: relay,
            events: events,
            surroundings: world.surroundings,
            limits: world.limits,
            targets: [World.targetID]
        )
        keeper = IndexKeeper(
            store: store,
            leases: leases,
            staging: world.staging,
            relay: relay,
            surroundings: world.surroundings,
            holder: name
        )
        let target = world.target
        ports = WorkPorts(
            store: store,
            leases: leases,
            staging: world.staging,
            target: { $0 == World.targetID ? target : nil },
            relay: relay,
            events: events,
            surroundings: world.surroundings,
            policy: RetryPolicy(maximum: .seconds(5)),
            worker: name
        )
        ship = ShipPart(ports)
        merge = MergeUpload(ports)
        clean = CleanUpload(ports)
    }

    /// Whether the index is staging's, after whatever had to be done for that.
    func finds() async -> Bool {
        do throws(IntakeError) { return try await keeper.check() != .waiting } catch { return false }
    }

    /// Nothing is being worked on.
    var isIdle: Bool { running.withLock { $0.isEmpty } }

    /// What is being worked on.
    var uploads: [UploadID] { running.withLock { Array($0.values) } }

    /// Takes jobs, in an order that the world's chance decides, until the process dies.
    func work(slot: Int) async {
        while !gate.isDead, !Task.isCancelled {
            let count = world.queue.waiting.count
            guard count > 0, let delivery = world.queue.take(at: Int(world.random() % UInt64(count))) else {
                if count == 0 { await world.arrivals.wait() }
                guard (try? await world.pause()) != nil else { return }
                continue
            }
            running.withLock { $0[slot] = delivery.job.upload }
            // A task of its own, so that it can be cancelled while the worker lives.
            let task = Gate.$current.withValue(gate) {
                Task(executorPreference: world.executor) { await self.perform(delivery) }
            }
            gate.setWork(task, in: slot)
            await task.value
            gate.setWork(nil, in: slot)
            running.withLock { $0[slot] = nil }
        }
    }

    /// Does what one delivery asks for. Not acknowledged, because the process died or nothing could be recorded, it
    /// goes back to the queue.
    func perform(_ delivery: InMemoryJobQueue.Delivery) async {
        let outcome: JobOutcome
        switch delivery.job {
        case .ship(let id, let offset): outcome = await ship.perform(id, offset: offset)
        case .clean(let id): outcome = await clean.perform(id)
        case .merge(let id):
            switch await merge.claim(id) {
            case .nothing: outcome = .done
            case .later(let pause): outcome = .later(pause)
            case .claimed(let upload, let fence):
                // Acknowledged here; from now on the outbox brings it back.
                guard !gate.isDead else {
                    outcome = .later(.zero)
                    break
                }
                await merge.run(upload, fence: fence)
                return
            }
        }
        if world.sabotage.contains(.acknowledgesFirst) { return }
        if case .later(let pause) = outcome {
            if !gate.isDead { try? await world.clock.sleep(pause) }
            world.queue.put(delivery)
        } else if gate.isDead {
            world.queue.put(delivery)
        }
    }
}
