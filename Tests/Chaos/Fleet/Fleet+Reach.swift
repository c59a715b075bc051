// How faults reach into the fleet: traps, the broker's controls, messages of their own.

import Foundation
import Harness

extension Fleet {
    /// Sets a trap on a script of the index, on the way of some members.
    ///
    /// - Parameter identifier: only where the script is about this upload.
    func trap(
        _ script: String,
        _ place: Trap.Place,
        on members: [Member],
        times: Int = 1,
        of identifier: String? = nil
    ) -> Trap {
        let scripts = scripts
        let trap = Trap("\(script).lua", place, times: times) { frame in
            guard scripts.name(of: frame) == script else { return false }
            return identifier == nil || frame.identifier == identifier
        }
        for member in members { member.indexBoard.set(trap) }
        return trap
    }

    /// Sets a trap on an AMQP frame: `publish`, `deliver`, `ack`, `confirm`.
    func trapAMQP(
        _ name: String,
        _ place: Trap.Place,
        on members: [Member],
        times: Int = 1,
        where matches: @escaping @Sendable (TrafficFrame) -> Bool = { _ in true }
    ) -> Trap {
        let trap = Trap("AMQP \(name)", place, times: times) { $0.name == name && matches($0) }
        for member in members { member.brokerBoard.set(trap) }
        return trap
    }

    /// Runs `rabbitmqctl` with the virtual host of Ferry.
    @discardableResult
    func control(_ command: String, _ arguments: String..., host: Bool = true) async throws -> String {
        let report = try await ChildProcess.run(
            ProjectRoot.path("scripts/servers/rabbitmqctl"),
            [broker.directory, "-q", command] + (host ? ["-p", broker.virtualHost] : []) + arguments,
            within: .seconds(60)
        )
        guard report.isSuccess else { throw HarnessError("rabbitmqctl \(command): \(report.errors)\(report.output)") }
        return report.output
    }

    /// Runs Erlang in the broker.
    @discardableResult
    func evaluate(_ code: String) async throws -> String { try await control("eval", code, host: false) }

    /// Publishes messages from outside.
    func publish(_ bodies: [String], to routingKey: String) async throws {
        let place = try TemporaryDirectory("publish")
        try bodies.joined(separator: "\n").appending("\n").write(
            toFile: place.path("lines"),
            atomically: true,
            encoding: .utf8
        )
        let script = "exec amqp-publish --url=\"$1\" -e ferry.jobs -r \"$2\" -p -l <\"$3\""
        let report = try await ChildProcess.run(
            "sh",
            ["-c", script, "sh", broker.url, routingKey, place.path("lines")]
        )
        guard report.isSuccess else { throw HarnessError("amqp-publish: \(report.errors)\(report.output)") }
    }

    /// The body of a job.
    static func job(_ kind: String, _ identifier: String, offset: Int? = nil, version: Int = 1) -> String {
        let last = offset.map { ",\"offset\":\($0)" } ?? ""
        return "{\"v\":\(version),\"kind\":\"\(kind)\",\"upload\":\"\(identifier)\"\(last)}"
    }

    /// Where an upload's parts lie in staging.
    func stagedParts(of identifier: String) -> [String] {
        let base = staging.path("\(identifier.prefix(2))/\(identifier)/parts")
        let offsets = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        return offsets.sorted().flatMap { offset in
            ((try? FileManager.default.contentsOfDirectory(atPath: "\(base)/\(offset)")) ?? []).map {
                "\(base)/\(offset)/\($0)"
            }
        }
    }

    /// The part files of an upload on a target, whole paths.
    func partFiles(of identifier: String? = nil, below directory: String, on target: TargetServer) -> [String] {
        let base = target.root.path(directory)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        return names.filter { $0.hasPrefix(".ferry-\(identifier ?? "")") }.map { "\(base)/\($0)" }
    }

    /// Changes one byte of a file; false where there is none.
    @discardableResult
    static func flip(_ path: String, at offset: UInt64) -> Bool {
        guard let file = FileHandle(forUpdatingAtPath: path) else { return false }
        defer { try? file.close() }
        guard (try? file.seek(toOffset: offset)) != nil, let byte = try? file.read(upToCount: 1)?.first else {
            return false
        }
        guard (try? file.seek(toOffset: offset)) != nil else { return false }
        return (try? file.write(contentsOf: Data([byte ^ 0x40]))) != nil
    }
}
