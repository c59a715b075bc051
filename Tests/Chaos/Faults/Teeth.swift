// Guarantees broken from outside on purpose: the checker must report each.

import Foundation
import Harness

/// Removes every outbox entry as it appears, until cancelled.
private func emptyOutboxes(_ fleet: Fleet) -> Task<Void, Never> {
    Task {
        let keys = fleet.targets.map { "ferry:outbox:\($0.name)" }
        while !Task.isCancelled {
            _ = try? await fleet.redis.cli("DEL", keys[0], keys[1])
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// What would be lost without an outbox.
struct NoOutbox: Fault {
    let name = "no-outbox"
    let words = "every job lost on its way to RabbitMQ though it was confirmed, and the outbox emptied all the time"
    let limit = Duration.seconds(12)
    let isMended = false

    func inject(_ scene: Scene) async throws {
        scene.keep(emptyOutboxes(scene.fleet))
        // New connections, so that every message of each is dropped, and numbers stay right.
        _ = scene.fleet.trapAMQP("publish", .drop, on: scene.fleet.members, times: 1_000_000) {
            $0.text(0) == "ferry.jobs"
        }
        for member in scene.fleet.members { try member.broker.cut() }
        await scene.send(scene.plan(parts: 3))
        try await scene.untilAcknowledged(5)
    }
}

/// What would be lost if deliveries were acknowledged before the work is done.
struct AckBeforeWork: Fault {
    let name = "ack-before-work"
    let words = "a hostile consumer takes jobs and does nothing, and the outbox is emptied all the time"
    let limit = Duration.seconds(12)

    func inject(_ scene: Scene) async throws {
        let fleet = scene.fleet
        scene.keep(emptyOutboxes(fleet))
        let url = fleet.broker.url
        let thieves = Task {
            let all = try? ["ship", "merge"].map { kind in
                try ChildProcess("amqp-consume", ["--url=\(url)", "-q", "ferry.\(kind).near", "-A", "cat"])
            }
            while !Task.isCancelled { try? await Task.sleep(for: .milliseconds(50)) }
            all?.forEach { $0.killNow() }
        }
        scene.keep(thieves)
        for _ in 0..<4 { await scene.send(scene.plan(parts: 4)) }
    }
}

/// What no fence and no proof would let happen: other bytes in a final file.
struct WrongBytes: Fault {
    let name = "wrong-bytes"
    let words = "a byte flipped in a final file"
    let limit = Duration.seconds(5)

    func inject(_ scene: Scene) async throws {
        let upload = scene.plan(parts: 2)
        await scene.send(upload)
        try await scene.wait(scene.ledger.promise(upload.number)?.identifier ?? "", for: "done")
        guard Fleet.flip(scene.onTarget(upload), at: 5) else { throw HarnessError("no final file") }
    }
}

/// A final file that is gone again.
struct FileGone: Fault {
    let name = "file-gone"
    let words = "a final file removed"
    let limit = Duration.seconds(5)

    func inject(_ scene: Scene) async throws {
        let upload = scene.plan(parts: 1)
        await scene.send(upload)
        try await scene.wait(scene.ledger.promise(upload.number)?.identifier ?? "", for: "done")
        try FileManager.default.removeItem(atPath: scene.onTarget(upload))
    }
}

/// The one thing that nothing protects.
struct StagingLost: Fault {
    let name = "staging-lost"
    let words = "staging directories removed after complete, before they were shipped"
    let limit = Duration.seconds(20)

    func inject(_ scene: Scene) async throws {
        for worker in scene.fleet.workers { try worker.suspend() }
        let upload = scene.plan(parts: 3)
        let identifier = try await scene.begin(upload)
        try await scene.complete(upload, identifier)
        let path = scene.fleet.staging.path("\(identifier.prefix(2))/\(identifier)")
        try FileManager.default.removeItem(atPath: path)
    }
}

/// A part file that nobody removes.
struct PartFileLeft: Fault {
    let name = "part-file-left"
    let words = "a part file that belongs to no upload"
    let limit = Duration.seconds(5)

    func inject(_ scene: Scene) async throws {
        let name = ".ferry-\(String(repeating: "0a", count: 16)).1.part"
        try Stranger.write(scene.target.root.path("\(scene.directory)/\(name)"))
    }
}

extension Faults {
    /// Run by `FAULTS=teeth` only.
    static let teeth: [any Fault] = [
        NoOutbox(), AckBeforeWork(), NoFlush(), WrongBytes(), FileGone(), StagingLost(), PartFileLeft(),
    ]
}
