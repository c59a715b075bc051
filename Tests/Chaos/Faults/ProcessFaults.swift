// Processes that die or stand still between two of their steps.

import Foundation
import Glibc
import Harness

/// The point between two steps at which a process is caught.
enum StepPoint: String, Sendable, CaseIterable {
    case midShip = "mid-ship"
    case beforeRename = "before-rename"
    case beforeRecord = "before-record"
    case beforeAck = "before-ack"

    var words: String {
        switch self {
        case .midShip: "in the middle of a ship"
        case .beforeRename: "between beginCommit and rename"
        case .beforeRecord: "between rename and record"
        case .beforeAck: "between record and ack"
        }
    }

    /// Waits until a worker is at this point, and keeps it there as far as that is possible from outside.
    func reach(_ scene: Scene) async throws -> (member: Member, proxy: FaultProxy?, hold: Hold?) {
        let fleet = scene.fleet
        let workers = fleet.workers.filter(\.isRunning)
        switch self {
        case .midShip:
            let before = workers.map { $0.targets.map { $0.bytes(.toServer) }.reduce(0, +) }
            let amount = scene.draw(100_000...900_000)
            let member = try await eventuallyValue("a worker ships", within: .seconds(20), every: .milliseconds(1)) {
                zip(workers, before).first { worker, before in
                    worker.targets.map { $0.bytes(.toServer) }.reduce(0, +) > before + amount
                }?.0
            }
            return (member, nil, nil)
        case .beforeRename, .beforeRecord:
            let trap =
                self == .beforeRename
                ? fleet.trap("commit", .after, on: workers) : fleet.trap("finish", .before, on: workers)
            let caught = try await trap.next()
            let member = try fleet.member(caught.owner)
            return (member, member.index, caught.hold)
        case .beforeAck:
            let trap = fleet.trapAMQP("ack", .before, on: workers)
            let caught = try await trap.next()
            let member = try fleet.member(caught.owner)
            return (member, member.broker, caught.hold)
        }
    }
}

/// kill -9 of a worker at a point, twice.
struct WorkerKilled: Fault {
    let point: StepPoint
    var name: String { "worker-killed-\(point.rawValue)" }
    var words: String { "kill -9 of a worker \(point.words), twice" }
    /// What it was working on is done by others.
    var figure: Duration? { .seconds(15) }

    func inject(_ scene: Scene) async throws {
        for _ in 0..<2 {
            try await scene.pause(100...700)
            let (member, _, _) = try await point.reach(scene)
            try await member.kill()
            scene.mark()
            try await scene.pause(100...600)
            try member.start()
        }
    }
}

/// SIGSTOP of a worker at a point for longer than its lease, then SIGCONT.
struct WorkerStopped: Fault {
    let point: StepPoint
    var name: String { "worker-stopped-\(point.rawValue)" }
    var words: String { "SIGSTOP of a worker \(point.words), past its lease of 10 s, then SIGCONT" }

    func inject(_ scene: Scene) async throws {
        try await scene.pause(100...1_500)
        let (member, proxy, hold) = try await point.reach(scene)
        try member.suspend()
        try await Task.sleep(for: .milliseconds(17_000))
        try member.proceed()
        // What it was about to say is said late.
        if let proxy, let hold { try proxy.release(hold) }
    }
}

/// kill -9 of an API process whose bytes are durable and not yet known to the index.
struct APIKilledBeforeScript: Fault {
    let name = "api-killed-before-script"
    let words = "kill -9 of an API process between fsync and script, twice"

    func inject(_ scene: Scene) async throws {
        for _ in 0..<2 {
            try await scene.pause(100...700)
            let trap = scene.fleet.trap("receive", .before, on: scene.fleet.apis.filter(\.isRunning))
            let member = try scene.fleet.member(try await trap.next().owner)
            try await member.kill()
            try await scene.pause(100...600)
            try member.start()
        }
    }
}

/// kill -9 of whoever waits for a confirm.
struct PublisherKilledBeforeConfirm: Fault {
    let name = "publisher-killed-before-confirm"
    let words = "kill -9 of an API process and a worker between publish and confirm"

    func inject(_ scene: Scene) async throws {
        for members in [scene.fleet.apis, scene.fleet.workers] {
            try await scene.pause(100...500)
            let trap = scene.fleet.trapAMQP("confirm", .before, on: members)
            let member = try scene.fleet.member(try await trap.next().owner)
            try await member.kill()
            try await scene.pause(100...600)
            try member.start()
        }
    }
}

/// kill -9 of whichever worker ships one certain part, three times.
struct PoisonJob: Fault {
    let name = "poison-job"
    let words = "a job that takes its worker down: kill -9 of whoever begins it, three times"

    func inject(_ scene: Scene) async throws {
        let fleet = scene.fleet
        // All workers wait, so that the first ship is seen.
        for worker in fleet.workers { try worker.suspend() }
        let upload = scene.plan(parts: 1)
        let identifier = try await scene.begin(upload)
        try await scene.complete(upload, identifier)
        // By then a worker has begun the job, and has not ended it.
        let trap = fleet.trap("shipped", .before, on: fleet.workers, times: 3, of: identifier)
        for worker in fleet.workers { try worker.proceed() }
        for _ in 0..<3 {
            let member = try fleet.member(try await trap.next(within: .seconds(30)).owner)
            try await member.kill()
            try member.start()
        }
        trap.disarm()
        try await scene.wait(identifier, for: "failed", "done", within: .seconds(40))
        let state = try await scene.state(identifier)
        let reason = (state.json["error"] as? [String: Any])?["reason"] as? String ?? "none"
        scene.note("the upload was \(state.text("state")), reason \(reason)")
    }
}

/// Every process ended and started anew, one after the other.
struct RollingRestart: Fault {
    let name = "rolling-restart"
    let words = "all workers and API processes restarted one after the other"

    func inject(_ scene: Scene) async throws {
        for member in scene.fleet.workers + scene.fleet.apis {
            try await scene.pause(50...400)
            await member.stop()
            try member.start()
        }
    }
}

/// No descriptor is left for anything new.
struct OutOfDescriptors: Fault {
    let name = "out-of-descriptors"
    let words = "an API process and a worker without a free file descriptor"

    func inject(_ scene: Scene) async throws {
        let members = [try scene.pick(scene.fleet.apis), try scene.pick(scene.fleet.workers)]
        try await scene.pause(300...900)
        for member in members {
            guard let pid = member.pid else { throw HarnessError("\(member.name) does not run") }
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
            try await Self.limit(pid, "\(max(8, open / 2)):")
        }
        try await scene.pause(4_000...5_000)
    }

    func heal(_ scene: Scene) async throws {
        for member in scene.fleet.members {
            if let pid = member.pid { try await Self.limit(pid, "4096:") }
        }
    }

    private static func limit(_ pid: Int32, _ limit: String) async throws {
        let report = try await ChildProcess.run("prlimit", ["--pid", String(pid), "--nofile=\(limit)"])
        guard report.isSuccess else { throw HarnessError("prlimit: \(report.errors)") }
    }
}

extension Faults {
    static let processes: [any Fault] =
        StepPoint.allCases.map { WorkerKilled(point: $0) } + StepPoint.allCases.map { WorkerStopped(point: $0) } + [
            APIKilledBeforeScript(), PublisherKilledBeforeConfirm(), PoisonJob(), RollingRestart(), OutOfDescriptors(),
        ]
}
