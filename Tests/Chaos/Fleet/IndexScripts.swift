// The names by which Redis knows the index's scripts, computed from their sources as the programs put them together.

import Foundation
import Harness

/// Which script an `EVALSHA` runs.
struct IndexScripts: Sendable {
    private let names: [String: String]

    init() throws {
        let directory = ProjectRoot.path("Sources/Shared/Adapters/Scripts")
        func text(_ file: String) throws -> String {
            try String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)
        }
        let common = try text("common.lua")
        // Some scripts are guarded and some are not; no two texts are the same, so each may be known by both names.
        let preambles = [common, common + (try text("guard.lua"))]
        var names: [String: String] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: directory) where file.hasSuffix(".lua") {
            let script = try text(file)
            let lines = script.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let body = lines.count > 1 ? lines[1] : ""
            let name = String(file.dropLast(4))
            names[Digest.sha1Hex(script.utf8)] = name
            for preamble in preambles { names[Digest.sha1Hex("\(lines[0])\n\(preamble)\n\(body)".utf8)] = name }
        }
        self.names = names
    }

    /// The script that a command runs; nil for any other command.
    func name(of frame: TrafficFrame) -> String? {
        switch frame.name {
        case "EVALSHA": names[frame.text(0)]
        case "EVAL": frame.words.first.flatMap { names[Digest.sha1Hex($0)] }
        default: nil
        }
    }
}

extension TrafficFrame {
    /// The upload that a Redis command or a job is about.
    var identifier: String? {
        for index in words.indices {
            let text = text(index)
            if name == "publish" || name == "deliver" {
                if let found = Self.digits(in: text, after: "\"upload\":\"") { return found }
            } else if text.hasPrefix("ferry:u:") {
                return String(text.dropFirst(8).prefix(32))
            }
        }
        return nil
    }

    private static func digits(in text: String, after mark: String) -> String? {
        guard let range = text.firstRange(of: mark) else { return nil }
        return String(text[range.upperBound...].prefix(32))
    }
}
