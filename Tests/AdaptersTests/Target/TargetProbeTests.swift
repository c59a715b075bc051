// What a look at a target finds, and which way to build files follows.

import Core
import CoreTesting
import Foundation
import Harness
import SFTP
import Testing

@testable import Adapters

extension OnTargets {
    @Suite struct TargetProbeTests {
        @Test("What works best of what works is chosen")
        func choice() {
            var probe = TargetProbe()
            probe.writesAtOffsets = true
            #expect(probe.choice == nil)
            probe.showsWhatIsClosed = true
            #expect(probe.choice?.strategy == .stream)
            probe.renames = true
            #expect(probe.choice?.strategy == .inPlace)
            probe.writesAtOffsets = false
            #expect(probe.choice?.strategy == .stream)
            probe.writesAtEnd = true
            #expect(probe.choice?.strategy == .relay)
            probe.copies = true
            #expect(probe.choice?.strategy == .copy)
            // Commands that see other files than SFTP are of no use.
            probe.commands = TargetProbe.Commands()
            #expect(probe.choice?.strategy == .copy)
            probe.commands?.seeFiles = true
            #expect(probe.choice?.strategy == .script)
        }

        @Test(arguments: SFTPServerKind.available.filter { expected[$0] != nil })
        func whatAServerCanDoIsFoundOut(kind: SFTPServerKind) async throws {
            let (strategy, expected) = try #require(Self.expected[kind])
            try await SharedServers.sftp(kind).withTarget(kind: .server(kind)) { test async throws in
                #expect(try await test.session.strategy() == strategy)
                let facts = try await test.session.inspect()
                for (name, value) in expected { #expect(facts[name] == value, "\(name)") }
                #expect(facts["merge"] == strategy.rawValue)
                #expect(facts["mergeReason"]?.isEmpty == false)
                // Nothing is left of it.
                #expect(try test.names() == [])
            }
        }

        /// The strategy that follows, and what is to be found out.
        static let expected: [SFTPServerKind: (strategy: MergeStrategy, facts: [String: String])] = [
            .openSSH: (
                .inPlace,
                facts(
                    yes: "offsetWrites endWrites rename renameNoClobber renameOver times fsync statvfs copyData exec "
                        + "sha256sum",
                    no: "checkFile",
                    largestWrite: 261_120
                )
            ),
            .chrooted: (
                .inPlace,
                facts(
                    yes: "offsetWrites endWrites rename renameNoClobber renameOver times fsync statvfs copyData",
                    no: "checkFile exec python3"
                )
            ),
            .withoutExtensions: (
                .inPlace,
                facts(
                    yes: "offsetWrites endWrites rename renameNoClobber times",
                    no: "renameOver fsync statvfs copyData checkFile exec",
                    largestWrite: 32_768
                )
            ),
            .fewCommands: (
                .inPlace, facts(yes: "offsetWrites rename exec sha256sum", no: "openssl python3 flock")
            ),
            .fewCommandsAndFlock: (.inPlace, facts(yes: "exec sha256sum flock", no: "openssl python3")),
            .bashWithoutLocks: (.inPlace, facts(yes: "exec sha256sum", no: "openssl python3")),
            .proFTPD: (.inPlace, facts(yes: "offsetWrites endWrites rename times checkFile", no: "copyData exec")),
            .gateway: (
                .stream,
                facts(
                    yes: "rename renameNoClobber",
                    no: "offsetWrites endWrites renameOver times fsync statvfs copyData exec"
                )
            ),
            .appending: (
                .relay, facts(yes: "endWrites rename", no: "offsetWrites renameOver fsync statvfs copyData exec")
            ),
            .publishingGateway: (.stream, facts(yes: "appearWhenClosed", no: "offsetWrites endWrites rename exec")),
        ]

        private static func facts(yes: String, no: String, largestWrite: Int? = nil) -> [String: String] {
            var facts: [String: String] = [:]
            for name in yes.split(separator: " ") { facts[String(name)] = "yes" }
            for name in no.split(separator: " ") { facts[String(name)] = "no" }
            if let largestWrite { facts["largestWrite"] = String(largestWrite) }
            return facts
        }

        @Test func whatIsSeenWhenItsConnectionIsLostIsNotUsed() async throws {
            let server = try await AsyncSSHServer.start(.carelessGateway)
            try await server.withTarget { test async throws in
                for _ in 1...2 {
                    // It may be better another time.
                    let error = await failure { _ = try await test.session.strategy() }
                    #expect(error?.kind == .failed)
                    #expect(error?.detail.contains("none would be whole") == true)
                }
                #expect(try test.names() == [])
            }
        }

        @Test func aConfiguredWayIsTakenWithoutALook() async throws {
            let server = try await SSHServer.start()
            try await server.withTarget(merge: .relay) { test async throws in
                #expect(try await test.session.strategy() == .relay)
                #expect(server.log.components(separatedBy: "Accepted publickey").count == 1)
                let facts = try await test.session.inspect()
                #expect(facts["merge"] == "relay")
                #expect(facts["mergeReason"] == "configured")
            }
        }

        @Test func manyWhoAskCauseOneLook() async throws {
            let server = try await SSHServer.start()
            try await server.withTarget { test async throws in
                try await withThrowingTaskGroup(of: MergeStrategy.self) { group in
                    for _ in 0..<10 { group.addTask { try await test.session.strategy() } }
                    for try await strategy in group { #expect(strategy == .inPlace) }
                }
                _ = try await test.session.strategy()
                #expect(server.log.components(separatedBy: "Starting session: command").count == 2)
            }
        }

        @Test func whereNothingCanBeTriedPreparingSaysWhatIsWrong() async throws {
            let server = try await SSHServer.start()
            try await server.withTarget(root: "missing") { test async throws in
                #expect(try await test.session.strategy() == .inPlace)
                let file = try PartFile.sample()
                #expect(await failure { try await test.session.prepare(file, size: nil) }?.kind == .rootMissing)
                #expect(!FileManager.default.fileExists(atPath: server.path("missing")))
            }
        }

        @Test func whatAProcessLeftWhenItWasKilledGoesInItsNextLife() async throws {
            let server = try await SSHServer.start()
            let root = server.root + "/left"
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            var options = SFTPTargetOptions(root: root)
            options.probe = "worker-1"
            for name in ["worker-1", "worker-1.2", "worker-1.3", "other"] {
                _ = FileManager.default.createFile(atPath: "\(root)/.ferry-probe.\(name)", contents: Data([1]))
            }
            let target = SFTPTarget(server.account, options: options, sessions: 1, logger: silent)
            #expect(try await target.strategy() == .inPlace)
            await target.shutdown()
            #expect(try FileManager.default.contentsOfDirectory(atPath: root) == [".ferry-probe.other"])
        }

        @Test func aTargetThatCannotBeReachedHasNoWay() async throws {
            let server = try await SSHServer.start()
            await server.stop()
            try await server.withTarget { test async throws in
                #expect(await failure { _ = try await test.session.strategy() }?.kind == .unreachable)
            }
        }
    }
}
