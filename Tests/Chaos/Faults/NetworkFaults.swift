// Networks that drop, delay and mislead.

import Foundation
import Harness

/// Bytes go one way only, between one process and everything else.
struct OneWayPartition: Fault {
    let name = "one-way-partition"
    let words = "nothing comes back to a worker, and nothing goes out of an API process, for 12 s"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(300...1_500)
        let worker = try scene.pick(scene.fleet.workers)
        let api = try scene.pick(scene.fleet.apis)
        for proxy in worker.proxies { try proxy.pause([.toClient]) }
        for proxy in api.proxies { try proxy.pause([.toServer]) }
        try await Task.sleep(for: .seconds(12))
    }
}

/// Connections are reset, again and again, each for itself.
struct Resets: Fault {
    let name = "resets"
    let words = "connections to all servers reset at random for 5 s"

    func inject(_ scene: Scene) async throws {
        let proxies = scene.fleet.members.flatMap(\.proxies)
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            try scene.pick(proxies).cut(.reset)
            try await scene.pause(50...200)
        }
    }
}

/// A long way to everything.
struct Latency: Fault {
    let name = "latency"
    let words = "200 ms latency with jitter of 80 ms on every connection"
    let load = LoadShape(largest: 1_024)

    func inject(_ scene: Scene) async throws {
        for proxy in scene.fleet.members.flatMap(\.proxies) {
            try proxy.delay(.milliseconds(200), jitter: .milliseconds(80))
        }
        try await Task.sleep(for: .seconds(10))
    }
}

/// A narrow way to the target.
struct SlowLink: Fault {
    let name = "slow-link"
    let words = "64 KiB a second to the targets for 10 s"

    func inject(_ scene: Scene) async throws {
        for proxy in scene.fleet.workers.flatMap(\.targets) { try proxy.limit(bytesPerSecond: 65_536) }
        try await Task.sleep(for: .seconds(10))
    }
}

/// One end of every connection of a worker is gone and the other does not hear of it.
struct HalfOpen: Fault {
    let name = "half-open"
    let words = "all servers close a worker's connections, and it hears nothing of it for 22 s"

    func inject(_ scene: Scene) async throws {
        try await scene.pause(500...1_500)
        let worker = try scene.pick(scene.fleet.workers)
        for proxy in worker.proxies { try proxy.pause() }
        // The servers' ends: every worker and API loses theirs, this one alone without knowing.
        _ = try await scene.fleet.redis.cli("CLIENT", "KILL", "TYPE", "normal")
        try await scene.fleet.control("close_all_connections", "chaos")
        for target in scene.fleet.targets { target.server.killSessions() }
        try await Task.sleep(for: .seconds(22))
    }
}

/// One target is away; another must not notice.
struct TargetUnreachable: Fault {
    let name = "target-unreachable"
    let words = "one target refuses and cuts all connections for 60 s; the other must not notice"
    let load = LoadShape(window: 8_000, cancelShare: 0, targets: 2)

    func inject(_ scene: Scene) async throws {
        try await scene.pause(200...800)
        for worker in scene.fleet.workers {
            try worker.targets[0].refuse()
            try worker.targets[0].cut()
        }
        let end = ContinuousClock.now + .seconds(60)
        try await Task.sleep(for: .seconds(9))
        // All of the load is in: what goes to the other target must arrive now.
        try await eventually("the uploads to the other target arrive", within: .seconds(15)) {
            try scene.ledger.promises.filter { $0.upload.target == scene.fleet.targets[1].name }.allSatisfy { promise in
                guard promise.isAcknowledged else { return false }
                let path = scene.fleet.targets[1].root.path(promise.upload.path)
                return Digest.sha256Hex(try Data(contentsOf: URL(fileURLWithPath: path))) == promise.sha256
            }
        }
        try await Task.sleep(until: end)
    }
}

extension Faults {
    static let network: [any Fault] = [
        OneWayPartition(), Resets(), Latency(), SlowLink(), HalfOpen(), TargetUnreachable(),
    ]
}
