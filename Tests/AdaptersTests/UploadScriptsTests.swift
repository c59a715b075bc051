// The scripts themselves: that each says what it takes, and that their table of states is the domain's.

import Core
import Foundation
import Harness
import Redis
import Testing

@testable import Adapters

@Suite("Upload scripts")
struct UploadScriptsTests {
    private func files() throws -> [URL] {
        let folder = URL(filePath: ProjectRoot.path("Sources/Shared/Adapters/Scripts"))
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "lua" }
    }

    @Test("Each script's head states keys, arguments and returns")
    func heads() throws {
        let files = try files()
        #expect(files.count > 30)
        for file in files {
            let name = file.deletingPathExtension().lastPathComponent
            var lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")[...]
            if name != "common", name != "guard" {
                let flags = lines.removeFirst()
                #expect(["#!lua", "#!lua flags=allow-oom", "#!lua flags=no-writes"].contains(flags), "\(name)")
                #expect(lines.first?.hasPrefix("-- \(name): ") == true, "\(name)")
            }
            let head = lines.prefix { $0.hasPrefix("--") }
            for part in ["-- KEYS    ", "-- ARGV    ", "-- RETURNS "] {
                #expect(head.contains { $0.hasPrefix(part) }, "\(name) lacks \(part)")
            }
        }
    }

    @Test("Scripts move uploads as the domain says")
    func transitions() async throws {
        let redis = try await RedisUnderTest.sharedClient()
        let ask = "#!lua\n\(UploadScripts.common)\nreturn transitions[ARGV[1]][ARGV[2]]"
        let script = RedisScript(name: "transitions", source: ask)
        for transition in Transition.allCases {
            for state in UploadState.allCases {
                let arguments = [RedisArgument("\(transition)"), RedisArgument(state.rawValue)]
                let answer = try await redis.run(script, keys: ["x:epoch"], arguments: arguments).string
                #expect(answer == state.after(transition)?.rawValue, "\(transition) from \(state)")
            }
        }
        // The scripts' sets of states, too.
        for (name, rule) in [
            ("active", \UploadState.isActive), ("ended", \.isEnded), ("shippable", \.isShippable),
        ] as [(String, KeyPath<UploadState, Bool> & Sendable)] {
            let ask = "#!lua\n\(UploadScripts.common)\nreturn \(name)[ARGV[1]]"
            for state in UploadState.allCases {
                let answer = try await redis.run(
                    RedisScript(name: name, source: ask),
                    keys: ["x:epoch"],
                    arguments: [RedisArgument(state.rawValue)]
                )
                #expect((answer.integer == 1) == state[keyPath: rule], "\(name) \(state)")
            }
        }
    }
}
