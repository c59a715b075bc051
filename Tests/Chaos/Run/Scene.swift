// Where a fault takes place: the fleet, its clients' ledger, and the fault's own random numbers.

import Foundation
import Harness
import NIOHTTP1
import Synchronization

/// What a fault has at hand.
final class Scene: Sendable {
    let fleet: Fleet
    let sender: Sender
    /// The directory on the targets that is this fault's own.
    let directory: String

    private let random: Mutex<SeededGenerator>
    private let notes = Mutex<[String]>([])
    private let number: Mutex<Int>
    private let kept = Mutex<[Task<Void, Never>]>([])
    private let moment = Mutex<ContinuousClock.Instant?>(nil)

    init(_ fleet: Fleet, directory: String, plan: LoadPlan, random: SeededGenerator) {
        self.fleet = fleet
        self.directory = directory
        self.random = Mutex(random)
        number = Mutex(plan.uploads.count)
        sender = Sender(clients: fleet.owners, ledger: Ledger())
    }

    var ledger: Ledger { sender.ledger }
    var target: TargetServer { fleet.target }

    // MARK: What the seed decides

    func draw(_ range: ClosedRange<Int>) -> Int { random.withLock { Int.random(in: range, using: &$0) } }

    func pick<Value>(_ values: [Value]) throws -> Value {
        guard !values.isEmpty else { throw HarnessError("nothing to pick from") }
        return values[draw(0...values.count - 1)]
    }

    /// Lets the load run for so many milliseconds.
    func pause(_ milliseconds: ClosedRange<Int>) async throws {
        try await Task.sleep(for: .milliseconds(draw(milliseconds)))
    }

    /// Goes on once so many uploads have been acknowledged, or the load has had its time.
    func untilAcknowledged(_ count: Int, within: Duration = .seconds(15)) async throws {
        try await eventually("\(count) uploads are acknowledged", within: within) {
            ledger.promises.count { $0.isAcknowledged } >= count
        }
    }

    // MARK: What is said

    func note(_ text: String) { notes.withLock { $0.append(text) } }

    var said: [String] { notes.withLock { $0 } }

    /// From now on the time counts in which all must be well again.
    func mark() { moment.withLock { $0 = .now } }

    var marked: ContinuousClock.Instant? { moment.withLock { $0 } }

    // MARK: What goes on until all is checked

    func keep(_ task: Task<Void, Never>) { kept.withLock { $0.append(task) } }

    func endKept() async {
        let tasks = kept.withLock { $0 }
        for task in tasks {
            task.cancel()
            await task.value
        }
    }

    // MARK: Uploads of the fault's own

    /// An upload in parts of 256 KiB, besides the load.
    func plan(
        parts: Int,
        path: String? = nil,
        owner: PlannedUpload.Owner = .alice,
        target: String? = nil
    ) -> PlannedUpload {
        let own = number.withLock { number in
            defer { number += 1 }
            return number
        }
        let partSize = 262_144
        let size = parts * partSize - (parts > 0 ? draw(0...1_000) : 0)
        return PlannedUpload(
            number: own,
            owner: owner,
            target: target ?? fleet.target.name,
            path: path ?? "\(directory)/own-\(own).bin",
            size: size,
            partSize: partSize,
            contentSeed: random.withLock { $0.next() },
            way: .parts(order: Array(1..<parts + 1))
        )
    }

    /// Sends one to its end, as any client does.
    func send(_ upload: PlannedUpload) async {
        ledger.open(upload)
        await sender.send(upload)
    }

    func client(_ upload: PlannedUpload) -> FerryClient { fleet.client(upload.owner.rawValue) }

    /// Where a path lies on this machine.
    func onTarget(_ upload: PlannedUpload) -> String { target.root.path(upload.path) }

    /// Creates an upload and sends all its parts, but does not complete it; answers its identifier.
    func begin(_ upload: PlannedUpload) async throws -> String {
        ledger.open(upload)
        let bytes = upload.bytes
        let client = client(upload)
        let identifier = try await sender.create(upload, client, bytes)
        for number in 1..<upload.partCount + 1 {
            try await sender.put(number, of: upload, identifier, client, bytes)
        }
        return identifier
    }

    func complete(_ upload: PlannedUpload, _ identifier: String) async throws {
        try await sender.complete(upload, identifier, client(upload), upload.bytes)
    }

    /// Sends an upload to its end, and holds the worker that is at a script of the index about it.
    func caught(
        _ upload: PlannedUpload,
        _ place: Trap.Place,
        _ script: String
    ) async throws -> (identifier: String, Trap.Catch) {
        let identifier = try await begin(upload)
        let trap = fleet.trap(script, place, on: fleet.workers, of: identifier)
        try await complete(upload, identifier)
        return (identifier, try await trap.next())
    }

    /// What the interface says of an upload.
    func state(_ identifier: String) async throws -> HTTPAnswer {
        try await fleet.operations.send(.GET, "/v1/uploads/\(identifier)")
    }

    func wait(_ identifier: String, for states: String..., within: Duration = .seconds(30)) async throws {
        try await eventually("\(identifier) is \(states)", within: within, every: .milliseconds(50)) {
            let answer = try await self.state(identifier)
            guard states.contains(answer.text("state")) else {
                throw HarnessError("it is \(answer.status) \(answer.text("state")) \(answer.json["error"] ?? "")")
            }
            return true
        }
    }
}
