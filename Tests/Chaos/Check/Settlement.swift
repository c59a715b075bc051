// After a fault is gone: waits until everything is as promised, replays dead letters once, and judges.

import Foundation
import Harness
import NIOHTTP1

/// What the checker found about one fault.
struct Settlement: Sendable {
    var tally = Tally()
    var arrived = 0
    var cancelled = 0
    /// Dead letters that were replayed, by reason.
    var replayed: [String: Int] = [:]
    /// Appearances of a file beyond its first.
    var duplicates = 0
    var recovery = Duration.zero
    /// What is wrong, in words.
    var problems: [String] = []
    /// What was still open after twenty seconds (a lease and what follows), where it took longer.
    var slow: [String] = []
}

/// Settles one fault's uploads.
struct Settling: Sendable {
    let fleet: Fleet
    let sender: Sender
    let watches: [TargetWatch]
    let limit: Duration
    /// Whether dead letters are replayed one by one or all at once.
    let replaysInBulk: Bool

    /// What of a run's uploads is remembered from one look to the next.
    private struct Memory {
        var replayed: [String: String] = [:]
        var isTidied: Set<String> = []
        var digests: [String: (stamp: FileStamp, digest: String)] = [:]
        var refusals: [String: String] = [:]
    }

    private struct FileStamp: Hashable {
        var inode: UInt64
        var size: UInt64
        var modified: Double
    }

    /// Waits until all is settled, at most for the limit.
    func settle() async -> Settlement {
        let began = ContinuousClock.now
        var memory = Memory()
        var slow: [String] = []
        while true {
            await act(&memory)
            var settlement = await look(&memory, since: began)
            if slow.isEmpty, settlement.recovery > .seconds(20) { slow = settlement.problems }
            settlement.slow = slow
            if settlement.tally.isClean || ContinuousClock.now - began > limit { return settlement }
            // Nothing will move any more where replays were refused.
            let isHopeless = settlement.tally.stuck == 0 && settlement.tally.lost <= memory.refusals.count
            if isHopeless, !memory.refusals.isEmpty, settlement.recovery > .seconds(10) { return settlement }
            try? await Task.sleep(for: .milliseconds(150))
        }
    }

    // MARK: Acting, as an operator and as clients would

    private func act(_ memory: inout Memory) async {
        let promises = sender.ledger.promises
        var known: [String: Promise] = [:]
        for promise in promises { if let identifier = promise.identifier { known[identifier] = promise } }
        guard let failed = try? await list("failed") else { return }
        let fresh = failed.filter { memory.replayed[$0.id] == nil }
        if replaysInBulk, !fresh.isEmpty {
            await replay("/v1/dead-letters/replay", fresh, &memory)
        } else {
            for letter in fresh { await replay("/v1/dead-letters/\(letter.id)/replay", [letter], &memory) }
        }
        for letter in fresh where letter.reason == "part-damaged" {
            memory.replayed[letter.id] = letter.reason
            if let promise = known[letter.id] { try? await sender.mend(promise) }
        }
        await tidy(known, &memory)
    }

    private func replay(_ path: String, _ letters: [Letter], _ memory: inout Memory) async {
        let wanted = letters.filter { $0.reason != "part-damaged" }
        guard !wanted.isEmpty else { return }
        guard let answer = try? await fleet.operations.send(.POST, path, json: [:]) else { return }
        // Busy: later.
        guard ![429, 503, 507].contains(answer.status) else { return }
        for letter in wanted {
            memory.replayed[letter.id] = letter.reason
            if answer.status != 202 {
                memory.refusals[letter.id] = "replay answered \(answer.status) \(answer.problem)"
            }
        }
    }

    /// What was never acknowledged is given up, so that it leaves nothing.
    private func tidy(_ known: [String: Promise], _ memory: inout Memory) async {
        for state in ["receiving", "failed"] {
            for letter in (try? await list(state)) ?? [] where !memory.isTidied.contains(letter.id) {
                let promise = known[letter.id]
                guard promise?.isAcknowledged != true || promise?.cancel == .open else { continue }
                guard let answer = try? await fleet.operations.send(.DELETE, "/v1/uploads/\(letter.id)"),
                    answer.status == 202
                else { continue }
                memory.isTidied.insert(letter.id)
                if let promise { sender.ledger.change(promise.upload.number) { $0.cancel = .accepted } }
            }
        }
    }

    private struct Letter {
        var id: String
        var reason: String
    }

    private func list(_ state: String) async throws -> [Letter] {
        let answer = try await fleet.operations.send(.GET, "/v1/uploads?state=\(state)&limit=1000")
        guard answer.status == 200 else { throw HarnessError("list: \(answer.status)") }
        return (answer.json["uploads"] as? [[String: Any]] ?? []).compactMap { upload in
            let error = upload["error"] as? [String: Any]
            return (upload["id"] as? String).map { Letter(id: $0, reason: error?["reason"] as? String ?? "unknown") }
        }
    }

    // MARK: Looking

    private func look(_ memory: inout Memory, since began: ContinuousClock.Instant) async -> Settlement {
        var settlement = Settlement()
        for (_, reason) in memory.replayed { settlement.replayed[reason, default: 0] += 1 }
        let seen = watches.reduce(into: [String: [String]]()) { $0.merge($1.seen) { $0 + $1 } }
        for promise in sender.ledger.promises {
            let found = look(promise, &memory)
            var verdict = Checker.judge(promise, found: found, state: "shipping")
            var state = ""
            if verdict == .stuck, let identifier = promise.identifier {
                let answer = try? await fleet.operations.send(.GET, "/v1/uploads/\(identifier)")
                state = answer?.text("state") ?? "unknown"
                verdict = Checker.judge(promise, found: found, state: state)
                let error = (answer?.json["error"] as? [String: Any])?["detail"] as? String ?? ""
                state += error.isEmpty ? "" : " (\(error))"
            }
            let name = promise.upload.path.split(separator: "/").last.map(String.init) ?? ""
            let appearances = seen[name] ?? []
            let odd = appearances.filter { $0 != promise.sha256 && !promise.upload.tolerated.contains($0) }
            if !odd.isEmpty, !promise.upload.isStrangers {
                verdict = .corrupt
                state += " other bytes appeared \(odd.count) times"
            }
            settlement.duplicates += max(0, appearances.count { $0 == promise.sha256 } - 1)
            settlement.count(promise, found, verdict)
            if verdict != .kept {
                let refusal = promise.identifier.flatMap { memory.refusals[$0] } ?? ""
                settlement.problems.append(
                    "\(verdict): \(promise.identifier ?? "-") \(promise.upload.path) \(state) \(refusal)"
                )
            }
        }
        let leftovers = (try? await Leftovers(fleet: fleet).find()) ?? ["the index cannot be asked"]
        settlement.tally.leftover = leftovers.count
        settlement.problems += leftovers.map { "leftover: \($0)" }
        settlement.recovery = ContinuousClock.now - began
        return settlement
    }

    private func look(_ promise: Promise, _ memory: inout Memory) -> Found {
        guard let target = fleet.targets.first(where: { $0.name == promise.upload.target }) else { return .nothing }
        let path = target.root.path(promise.upload.path)
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return .nothing }
        let stamp = FileStamp(
            inode: (attributes[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0,
            size: (attributes[.size] as? NSNumber)?.uint64Value ?? 0,
            modified: (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
        )
        if let known = memory.digests[path], known.stamp == stamp { return .file(known.digest) }
        guard let bytes = FileManager.default.contents(atPath: path) else { return .nothing }
        let digest = Digest.sha256Hex(bytes)
        memory.digests[path] = (stamp, digest)
        return .file(digest)
    }
}

extension Settlement {
    fileprivate mutating func count(_ promise: Promise, _ found: Found, _ verdict: Verdict) {
        if promise.isAcknowledged { tally.acknowledged += 1 }
        if promise.cancel == .accepted { cancelled += 1 }
        if promise.isAcknowledged, found == .file(promise.sha256) { arrived += 1 }
        tally.count(verdict)
    }
}
