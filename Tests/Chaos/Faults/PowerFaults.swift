// The machine with the API and staging loses its power: only what was flushed in the right order is still there.

import Foundation
import Harness

/// A cut of the power, as near as it comes without one: every API process is killed, and what its calls did not flush is
/// taken out of staging.
enum PowerCut {
    /// Runs work with all API processes traced, then cuts; answers how many names were lost.
    static func after(_ scene: Scene, _ work: () async throws -> Void) async throws -> Int {
        let place = try TemporaryDirectory("strace")
        var tracers: [ChildProcess] = []
        for member in scene.fleet.apis {
            guard let pid = member.pid else { throw HarnessError("\(member.name) does not run") }
            let options = ["-f", "-y", "-s", "4096", "-e", "trace=\(FlushLog.calls)", "-e", "signal=none"]
            let tracer = try ChildProcess(
                "strace",
                options + ["-p", String(pid), "-o", place.path(member.name)],
                output: place.path("out-\(member.name)")
            )
            tracers.append(tracer)
            try await eventually("strace is attached") { tracer.errors.contains("attached") }
        }
        try await work()
        for member in scene.fleet.apis { try await member.kill() }
        var lost = 0
        for (member, tracer) in zip(scene.fleet.apis, tracers) {
            _ = await tracer.stop()
            let log = FlushLog(try String(contentsOfFile: place.path(member.name), encoding: .utf8))
            for name in log.lost(below: scene.fleet.staging.path, list: files) {
                if (try? FileManager.default.removeItem(atPath: name)) != nil { lost += 1 }
            }
        }
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
