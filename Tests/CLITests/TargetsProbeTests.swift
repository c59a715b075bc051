// ferry targets --probe on real servers of every kind: the row that is printed for each.

import Foundation
import Harness
import Testing

@testable import CLI

@Suite("ferry targets --probe", .timeLimit(.minutes(2)))
struct TargetsProbeTests {
    /// What is printed for a kind of server.
    private struct Row: Sendable {
        let kind: SFTPServerKind
        var transport = "auto"
        /// The way to build files that follows, and why; nil where the target cannot be used.
        var merge: (way: String, reason: String)? = ("in-place", "writes at offsets and renames work")
        var yes = ""
        var no = ""
        var error = ""

        /// The target's name in the configuration.
        var id: String {
            let words = "\(kind)".unicodeScalars.filter { CharacterSet.alphanumerics.contains($0) }
            return "\(String(String.UnicodeScalarView(words)).lowercased())-\(transport)"
        }
    }

    private static let rows = [
        Row(
            kind: .openSSH,
            yes: "offsetWrites rename renameOver fsync copyData statvfs exec sha256sum",
            no: "checkFile"
        ),
        Row(kind: .openSSH, transport: "openssh", yes: "offsetWrites rename renameOver fsync copyData statvfs exec"),
        Row(kind: .chrooted, yes: "offsetWrites rename renameOver fsync copyData statvfs", no: "exec python3 flock"),
        Row(kind: .withoutExtensions, yes: "offsetWrites rename", no: "renameOver fsync copyData statvfs exec"),
        Row(kind: .fewCommands, yes: "offsetWrites exec sha256sum", no: "python3 flock openssl"),
        Row(kind: .proFTPD, yes: "offsetWrites rename checkFile", no: "copyData exec"),
        Row(
            kind: .gateway,
            merge: ("stream", "a file is only written from its start, once"),
            yes: "rename",
            no: "offsetWrites endWrites renameOver times fsync statvfs exec"
        ),
        Row(
            kind: .publishingGateway,
            merge: ("stream", "files cannot be renamed, but appear when they are closed"),
            yes: "appearWhenClosed",
            no: "offsetWrites rename exec"
        ),
        Row(
            kind: .appending,
            merge: ("relay", "no writes at offsets, but at a file's end"),
            yes: "endWrites rename",
            no: "offsetWrites copyData exec"
        ),
        Row(kind: .rsaHostKey, merge: nil, error: "host key algorithm"),
        Row(kind: .rsaHostKey, transport: "openssh", yes: "offsetWrites rename fsync"),
        Row(kind: .encryptThenMAC, merge: nil, error: "MAC"),
        Row(kind: .encryptThenMAC, transport: "openssh", yes: "offsetWrites rename fsync"),
    ].filter(\.kind.isAvailable)

    @Test("What each server can do, which way to build files follows, and why")
    func rows() async throws {
        let directory = try TemporaryDirectory("probe")
        let config = directory.path("ferry.yaml")
        var servers: [any SFTPServer] = []
        var yaml = "targets:\n"
        for row in Self.rows {
            let server = try await row.kind.start()
            servers.append(server)
            yaml += """
                  \(row.id):
                    host: \(server.host)
                    port: \(server.port)
                    user: \(server.user)
                    key_file: \(server.keyFile)
                    host_keys: ["\(server.hostKeyFingerprint)"]
                    root: \(server.root)
                    transport: \(row.transport)

                """
        }
        try Data(yaml.utf8).write(to: URL(fileURLWithPath: config))
        let json = try await probe(config, "--json")
        // Some cannot be used.
        #expect(json.exit == .status(5), "\(json.errors)")
        let found = try JSONDecoder().decode(TargetsView.self, from: Data(json.output.utf8)).targets
        #expect(Set(found.map(\.id)) == Set(Self.rows.map(\.id)))
        let text = try await probe(config).output
        for row in Self.rows {
            let target = try #require(found.first { $0.id == row.id })
            let printed = text.components(separatedBy: "\n").drop { !$0.hasPrefix("\(row.id): ") }
            guard let merge = row.merge else {
                #expect(target.reachable == false && printed.first == "\(row.id): NOT USABLE")
                #expect(target.error?.contains(row.error) == true, "\(target.error ?? "")")
                #expect(target.error?.contains("transport: openssh") == true, "\(target.error ?? "")")
                continue
            }
            #expect(target.reachable == true && printed.first == "\(row.id): reachable", "\(target.error ?? row.id)")
            #expect(target.facts["merge"] == merge.way, "\(row.id)")
            #expect(target.facts["mergeReason"] == merge.reason, "\(row.id)")
            for name in row.yes.split(separator: " ") {
                #expect(target.facts[String(name)] == "yes", "\(row.id) \(name)")
            }
            for name in row.no.split(separator: " ") {
                #expect(target.facts[String(name)] == "no", "\(row.id) \(name)")
            }
            #expect(Int(target.facts["largestWrite"] ?? "").map { $0 >= 32_768 } == true, "\(row.id)")
            let end = printed.dropFirst().prefix { $0.hasPrefix("  ") }
            #expect(end.contains("  merge: \(merge.way)") && end.contains("  mergeReason: \(merge.reason)"))
        }
        for server in servers { await server.stop() }
    }

    private func probe(_ config: String, _ more: String...) async throws -> ChildProcess.Report {
        try await ChildProcess.run(
            BuiltPrograms.path("ferry"),
            ["targets", "--probe", "--config", config] + more,
            environment: ["FERRY_URL": nil, "FERRY_TOKEN": nil, "FERRY_CONFIG": nil]
        )
    }
}
