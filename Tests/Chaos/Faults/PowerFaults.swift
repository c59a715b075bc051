// The machine with the API and staging loses its power: only what was flushed in the right order is still there.

import Foundation
import Harness

/// A cut of the power, as near as it comes without one: every API process is killed, and what its calls did not flush is
/// taken out of staging.
enum PowerCut {
    /// Runs work with all API processes traced, then cuts; answers how many names were lost.
    static func after(_ scene: Scene, _ work: () async throws -> Void) async throws -> Int {
        let place = try TemporaryDirectory("strace")
        let pids = try scene.fleet.apis.flatMap { member in
            guard let pid = member.pid else { throw HarnessError("\(member.name) does not run") }
            return ["-p", String(pid)]
        }
        let options = ["-f", "-y", "-s", "4096", "-e", "trace=\(FlushLog.calls)", "-e", "signal=none"]
        let tracer = try ChildProcess(
            "strace",
            options + pids + ["-o", place.path("log")],
            output: place.path("out")
        )
        for pid in pids where pid != "-p" {
            try await eventually("strace is attached to \(pid)") { tracer.errors.contains("Process \(pid) attached") }
        }
        try await work()
        for member in scene.fleet.apis { try await member.kill() }
        _ = await tracer.stop()
        let log = FlushLog(try String(contentsOfFile: place.path("log"), encoding: .utf8))
        let names = log.lost(below: scene.fleet.staging.path, list: files)
        let lost = names.count { (try? FileManager.default.removeItem(atPath: $0)) != nil }
        return lost
    }

    private static func files(in path: String) -> [String]? {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { return nil }
        return names.filter { (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\($0)")) == nil }
    }
}

/// The power goes while clients send.
struct StagingPowerCut: Fault {
    let name = "staging-power-cut"
    let words = "the API's machine loses its power: all API processes killed, all that was not flushed gone (strace)"

    func inject(_ scene: Scene) async throws {
        let lost = try await PowerCut.after(scene) { try await scene.pause(1_000...2_500) }
        scene.note("\(lost) names lost")
    }
}

/// What would be lost if parts were acknowledged before they are flushed.
struct NoFlush: Fault {
    let name = "no-fsync-order"
    let words = "staging.fsync switched off, and the API's machine loses its power before anything is shipped"
    let load = LoadShape(maximum: 1)
    let limit = Duration.seconds(20)

    func inject(_ scene: Scene) async throws {
        for worker in scene.fleet.workers { try worker.suspend() }
        for member in scene.fleet.apis {
            await member.stop()
            try member.start(with: ["FERRY_STAGING_FSYNC": "false"])
        }
        try await scene.fleet.waitUntilReady(workers: false)
        let lost = try await PowerCut.after(scene) {
            for _ in 0..<3 { await scene.send(scene.plan(parts: 2)) }
        }
        scene.note("\(lost) names lost")
    }
}

extension Faults {
    static let power: [any Fault] = [StagingPowerCut()]
}
