// Targets whose server dies, fills up, changes its key or does not know Ferry any more.

import Foundation
import Glibc
import Harness

/// All SSH sessions die while bytes are written.
struct SessionsKilled: Fault {
    let name = "ssh-sessions-killed"
    let words = "all SSH sessions of the target killed in the middle of writing, four times"

    func inject(_ scene: Scene) async throws {
        for _ in 0..<4 {
            try await scene.pause(200...600)
            _ = try await StepPoint.midShip.reach(scene)
            scene.target.server.killSessions()
        }
    }
}

/// The SFTP server dies in the middle of a rename: the new name is there, and so is the old one.
struct LinkWithoutUnlink: Fault {
    let name = "link-without-unlink"
    let words = "the SFTP server dies between link and unlink of its rename (strace)"
    let load = LoadShape(replaceShare: 0)

    func inject(_ scene: Scene) async throws {
        try scene.target.dieAtUnlink(true)
        scene.target.server.killSessions()
        let before = scene.target.deathsAtUnlink
        try await eventually("it died in a rename", within: .seconds(30)) {
            scene.target.deathsAtUnlink >= before + 2
        }
        scene.note("\(scene.target.deathsAtUnlink - before) deaths")
    }

    func heal(_ scene: Scene) async throws {
        try scene.target.dieAtUnlink(false)
        scene.target.server.killSessions()
    }
}

/// sshd and its sessions stand still.
struct SSHServerStopped: Fault {
    let name = "sshd-stopped"
    let words = "SIGSTOP of sshd and its sessions for 8 s"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(400...1_500)
        guard let pid = scene.target.server.pid else { throw HarnessError("sshd does not run") }
        for process in [pid] + scene.target.server.sessions { kill(process, SIGSTOP) }
        try await Task.sleep(for: .seconds(8))
    }
}

/// No room on the target.
struct TargetFull: Fault {
    let name = "target-full"
    let words = "256 KiB free on the target for 14 s, then room again"
    let load = LoadShape(window: 2_500)

    func inject(_ scene: Scene) async throws {
        guard scene.target.root.isMounted else { throw NotPossibleHere(description: "mounting a tmpfs") }
        try await scene.pause(100...500)
        try await scene.target.root.fill(leaving: 262_144, for: .seconds(14))
    }

    func heal(_ scene: Scene) async throws { scene.target.root.empty() }
}

/// No room in staging.
struct StagingFull: Fault {
    let name = "staging-full"
    let words = "nothing free in staging for 5 s, then room again"

    func inject(_ scene: Scene) async throws {
        guard scene.fleet.staging.isMounted else { throw NotPossibleHere(description: "mounting a tmpfs") }
        try await scene.pause(500...1_200)
        try await scene.fleet.staging.fill(leaving: 0, for: .seconds(5))
    }

    func heal(_ scene: Scene) async throws { scene.fleet.staging.empty() }
}

/// The disk says that it could not flush.
struct FlushFails: Fault {
    let name = "fsync-fails"
    let words = "fsync fails with EIO in an API process and a worker for 4 s (strace)"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(200...800)
        let place = try TemporaryDirectory("strace")
        var tracers: [ChildProcess] = []
        for member in [try scene.pick(scene.fleet.apis), try scene.pick(scene.fleet.workers)] {
            guard let pid = member.pid else { throw HarnessError("\(member.name) does not run") }
            let tracer = try ChildProcess(
                "strace",
                [
                    "-f", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p", String(pid),
                    "-o", place.path(member.name),
                ],
                output: place.path("out-\(member.name)")
            )
            tracers.append(tracer)
            try await eventually("strace is attached") { tracer.errors.contains("attached") }
        }
        try await Task.sleep(for: .seconds(4))
        for tracer in tracers { _ = await tracer.stop() }
        let failed = try FileManager.default.contentsOfDirectory(atPath: place.path).reduce(0) { count, name in
            let text = (try? String(contentsOfFile: place.path(name), encoding: .utf8)) ?? ""
            return count + text.split(separator: "\n").count { $0.contains("(INJECTED)") }
        }
        guard failed > 0 else { throw HarnessError("no fsync failed") }
        scene.note("\(failed) failed")
    }
}

/// The machine at the target's address shows another key.
struct HostKeyChanged: Fault {
    let name = "host-key-changed"
    let words = "another host key at the target's address for 5 s"
    let load = LoadShape(window: 3_000)

    func inject(_ scene: Scene) async throws {
        let impostor = try await SSHServer.start()
        for worker in scene.fleet.workers {
            try worker.targets[0].redirect(to: impostor.port)
            try worker.targets[0].cut()
        }
        try await Task.sleep(for: .seconds(5))
        for worker in scene.fleet.workers {
            try worker.targets[0].redirect(to: scene.target.server.port)
            try worker.targets[0].cut()
        }
        await impostor.stop()
        guard try FileManager.default.contentsOfDirectory(atPath: impostor.root).isEmpty else {
            throw HarnessError("something was written to the impostor")
        }
    }
}

/// The target lets Ferry in no more.
struct KeyRevoked: Fault {
    let name = "key-revoked"
    let words = "the public key taken out of authorized_keys for 5 s"
    let load = LoadShape(window: 3_000)

    func inject(_ scene: Scene) async throws {
        let path = scene.target.server.authorizedKeysFile
        let keys = try String(contentsOfFile: path, encoding: .utf8)
        try "".write(toFile: path, atomically: true, encoding: .utf8)
        scene.target.server.killSessions()
        try await Task.sleep(for: .seconds(5))
        try keys.write(toFile: path, atomically: true, encoding: .utf8)
    }
}

extension Faults {
    static let target: [any Fault] = [
        SessionsKilled(), LinkWithoutUnlink(), SSHServerStopped(), TargetFull(), StagingFull(), FlushFails(),
        HostKeyChanged(), KeyRevoked(),
    ]
}
