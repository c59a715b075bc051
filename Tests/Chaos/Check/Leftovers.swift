// What an upload that has ended must not leave: part files, staging directories, keys of the index.

import Foundation
import Harness

/// Looks for leftovers.
struct Leftovers: Sendable {
    let fleet: Fleet

    /// All there are, each in a few words.
    func find() async throws -> [String] {
        var found: [String] = []
        for target in fleet.targets {
            let names = FileManager.default.enumerator(atPath: target.root.path)?.compactMap { $0 as? String } ?? []
            found += names.filter { $0.split(separator: "/").last?.hasPrefix(".ferry-") == true }
                .map { "\(target.name): \($0)" }
        }
        found += staged()
        found += try await keys()
        return found
    }

    private func staged() -> [String] {
        let manager = FileManager.default
        var found: [String] = []
        for prefix in (try? manager.contentsOfDirectory(atPath: fleet.staging.path)) ?? [] {
            guard prefix.count == 2 || prefix == "trash" else {
                if prefix != "epoch" && prefix != ".ballast" { found.append("staging: \(prefix)") }
                continue
            }
            let names = (try? manager.contentsOfDirectory(atPath: fleet.staging.path(prefix))) ?? []
            found += names.filter { !(prefix == "trash" && isFreshEnd(fleet.staging.path("trash/\($0)"))) }.map {
                "staging: \(prefix)/\($0)"
            }
        }
        return found
    }

    /// Whether nothing is left there but the end of an upload, and that not for long: a minute and two rounds.
    private func isFreshEnd(_ path: String) -> Bool {
        var facts = stat()
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path), stat(path, &facts) == 0 else {
            return false
        }
        let endings: Set = ["cancelled", "expired", "done"]
        let others = Set(names).subtracting(endings)
        return others.count < names.count && others.isSubset(of: ["upload.json", "complete"])
            && Date().timeIntervalSince1970 - Double(facts.st_ctim.tv_sec) < 80
    }

    private func keys() async throws -> [String] {
        let script = """
            local found = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
                found[#found + 1] = redis.call('TTL', key) .. ' ' .. key
            end
            return found
            """
        return try await fleet.redis.cli("--raw", "EVAL", script, "0").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let lifetime = Int(words[0]) else { return nil }
            let key = String(words[1])
            return Checker.mayStay(key: key, lifetime: lifetime) ? nil : "index: \(key)"
        }
    }
}
