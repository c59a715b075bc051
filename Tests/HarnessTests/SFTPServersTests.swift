// The SFTP servers of all kinds, seen by OpenSSH's own clients: what each refuses, and what it does with the bytes.

import Foundation
import Glibc
import Harness
import Testing

@Suite(.serialized) struct SFTPServersTests {
    /// Those that carry a file whole.
    private static let honest = SFTPServerKind.available.filter {
        switch $0 {
        case .losing, .shortWrites, .wrongRequestIDs, .oversizedPackets: false
        default: true
        }
    }

    private static let content: Data = {
        var random = SeededGenerator(seed: 4)
        return Data((0..<300_000).map { _ in UInt8.random(in: 0...255, using: &random) })
    }()

    /// Runs a test on a server of its own, with a file of 300,000 bytes to send.
    private func with(
        _ kind: SFTPServerKind,
        _ body: (_ server: any SFTPServer, _ file: String) async throws -> Void
    ) async throws {
        let place = try TemporaryDirectory("files")
        defer { place.remove() }
        try Self.content.write(to: URL(fileURLWithPath: place.path("file")))
        try await body(kind.start(), place.path("file"))
    }

    private func bytes(_ path: String) -> Data? { FileManager.default.contents(atPath: path) }

    // MARK: All

    @Test(arguments: honest) func carriesFilesAndComesBackWithThem(kind: SFTPServerKind) async throws {
        try await with(kind) { server, file async throws in
            #expect(server.hostKeyFingerprint.hasPrefix("SHA256:"))
            let there = server.clientPath("film")
            let put = try await server.sftp("put \"\(file)\" \"\(there)\"")
            #expect(put.isSuccess, "\(put.errors)")
            #expect(bytes(server.path("film")) == Self.content)
            try await server.restart()
            let get = try await server.sftp("get \"\(there)\" \"\(file)-back\"")
            #expect(get.isSuccess, "\(get.errors)")
            #expect(bytes(file + "-back") == Self.content)
        }
    }

    @Test(arguments: SFTPServerKind.available) func endsWithItsOwner(kind: SFTPServerKind) async throws {
        let (processes, places) = try await startedAndReleased(kind)
        for place in places { #expect(!FileManager.default.fileExists(atPath: place), "\(place)") }
        try await eventually("all processes of the server are gone") { processes.allSatisfy { kill($0, 0) == -1 } }
    }

    /// A server with an open connection, released: the processes and directories that it had.
    private func startedAndReleased(_ kind: SFTPServerKind) async throws -> ([Int32], [String]) {
        let server = try await kind.start()
        let place = try TemporaryDirectory("client")
        defer { place.remove() }
        let arguments = server.clientOptions + ["-v", "-N", "-p", String(server.port), "\(server.user)@127.0.0.1"]
        let client = try ChildProcess("ssh", arguments, output: place.path("log"))
        try await eventually("the client is in") { client.output.contains("Authenticated to") }
        let pid = try #require(server.pid)
        #expect(client.isRunning)
        if !(server is AsyncSSHServer) { #expect(!server.sessions.isEmpty) }
        for place in [server.directory, server.rootOnDisk] {
            #expect(FileManager.default.fileExists(atPath: place))
        }
        return ([pid] + server.sessions, [server.directory, server.rootOnDisk])
    }

    // MARK: OpenSSH

    @Test(.enabled(if: SFTPServerKind.chrooted.isAvailable, "only root can start an sshd that changes its root"))
    func aChrootedAccountSeesItsDirectoryAndRunsNothing() async throws {
        try await with(.chrooted) { server, file async throws in
            let look = try await server.sftp("ls -1 /", "-ls /etc", "put \"\(file)\" /incoming/film")
            #expect(look.isSuccess, "\(look.errors)")
            #expect(look.output.contains("\n/incoming\n"))
            #expect(look.errors.contains("\"/etc\" not found"))
            #expect(bytes(server.path("film")) == Self.content)
            #expect(try await !server.ssh("echo was-run").output.contains("was-run"))
        }
    }

    @Test func aServerWithoutExtensionsHasNone() async throws {
        let extensions = ["df", "ln one three", "cp one four", "rename one two"]
        for kind in [SFTPServerKind.openSSH, .withoutExtensions] {
            try await with(kind) { server, file async throws in
                let put = try await server.sftp(
                    "put \"\(file)\" \"\(server.clientPath("one"))\"",
                    "put \"\(file)\" \"\(server.clientPath("two"))\""
                )
                #expect(put.isSuccess, "\(put.errors)")
                for command in extensions {
                    let report = try await server.sftp("cd \"\(server.root)\"", command)
                    #expect(report.isSuccess == (kind == .openSSH), "\(kind): \(command): \(report.errors)")
                }
                let wasRun = try await server.ssh("echo was-run").output.contains("was-run")
                #expect(wasRun == (kind == .openSSH))
            }
        }
    }

    @Test func fewCommandsAreFew() async throws {
        let question = "for name in python3 flock openssl sha256sum; do command -v $name && echo has-$name; done; :"
        let few = try await SFTPServerKind.fewCommands.start().ssh(question)
        let all = try await SFTPServerKind.openSSH.start().ssh(question)
        #expect(few.isSuccess && all.isSuccess, "\(few.errors)\(all.errors)")
        for name in ["python3", "flock", "openssl"] {
            #expect(!few.output.contains("has-\(name)"))
            #expect(all.output.contains("has-\(name)"))
        }
        #expect(few.output.contains("has-sha256sum"))
        let sums = try await SFTPServerKind.fewCommands.start().ssh("echo bytes | dd 2>&1 | tail -n 1 | sha256sum")
        #expect(sums.isSuccess && sums.output.contains("  -"), "\(sums.errors)")
    }

    @Test func shellsAndLocksDiffer() async throws {
        let question =
            "command -v flock >/dev/null && flock -n 9 9>>\"$HOME/lock\" && echo locks; sh -c 'echo ${BASH_VERSION:-none}'"
        let some = try await SFTPServerKind.fewCommandsAndFlock.start().ssh(question)
        #expect(some.output.contains("locks"), "\(some.errors)")
        let bash = try await SFTPServerKind.bashWithoutLocks.start().ssh(question)
        #expect(bash.isSuccess && !bash.output.contains("locks") && !bash.output.contains("none"), "\(bash.output)")
        let none = try await SFTPServerKind.fewCommands.start().ssh(question)
        #expect(!none.output.contains("locks"))
    }

    @Test(arguments: [SFTPServerKind.rsaHostKey, .encryptThenMAC])
    func oneAlgorithmOnlyIsOffered(kind: SFTPServerKind) async throws {
        let server = try await kind.start()
        let (others, complaint) =
            kind == .rsaHostKey
            ? (["-o", "HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256"], "no matching host key type found")
            : (["-o", "MACs=hmac-sha2-256,hmac-sha2-512"], "no matching MAC found")
        #expect(try await server.sftp("pwd").isSuccess)
        let refused = try await server.sftp("pwd", options: others)
        #expect(refused.errors.contains(complaint), "\(refused.errors)")
    }

    // MARK: Others

    @Test func proFTPDRunsNoCommands() async throws {
        try await with(.proFTPD) { server, _ async throws in
            let report = try await server.ssh("echo was-run", options: ["-v"])
            #expect(report.errors.contains("remote software version mod_sftp"))
            #expect(!report.isSuccess && !report.output.contains("was-run"))
        }
    }

    @Test(arguments: [SFTPServerKind.gateway, .publishingGateway])
    func aGatewayWritesFilesOnce(kind: SFTPServerKind) async throws {
        try await with(kind) { server, file async throws in
            try Self.content.prefix(1_000).write(to: URL(fileURLWithPath: file + "-begun"))
            let put = try await server.sftp("put \"\(file)-begun\" /one", "put \"\(file)\" /two", "mkdir /made")
            #expect(put.isSuccess, "\(put.errors)")
            for command in ["reput \"\(file)\" /one", "rename /one /two", "chmod 600 /one", "ln -s /one /link"] {
                #expect(try await !server.sftp(command).isSuccess, "\(command)")
            }
            #expect(bytes(server.path("one")) == Self.content.prefix(1_000))
            #expect(bytes(server.path("two")) == Self.content)
            #expect(try await server.sftp("rename /one /free").isSuccess == (kind == .gateway))
            #expect(try await server.sftp("put \"\(file)\" /one").isSuccess)
            #expect(bytes(server.path("one")) == Self.content)
            #expect(try await !server.ssh("echo was-run").output.contains("was-run"))
        }
    }

    @Test func aSlowServerTakesItsTime() async throws {
        let server = try await SFTPServerKind.slow.start()
        let begin = ContinuousClock.now
        // The working directory is asked for first, then each of these.
        #expect(try await server.sftp("mkdir /one", "mkdir /two", "mkdir /three").isSuccess)
        #expect(begin.duration(to: .now) > .seconds(4 * SFTPServerKind.slowSeconds))
    }

    @Test func aLosingServerKeepsWhatCameThrough() async throws {
        try await with(.losing(afterBytes: 100_000)) { server, file async throws in
            for (round, command) in ["put", "reput", "reput"].enumerated() {
                let report = try await server.sftp("\(command) \"\(file)\" /film")
                #expect(!report.isSuccess)
                #expect(bytes(server.path("film")) == Self.content.prefix(100_000 * (round + 1)))
            }
            // The third was cut, too, right after the last byte.
            #expect(try await server.sftp("ls /film").isSuccess)
        }
    }

    @Test func aShortWriteIsReportedAsDone() async throws {
        try await with(.shortWrites) { server, file async throws in
            #expect(try await server.sftp("put \"\(file)\" /film").isSuccess)
            let found = try #require(bytes(server.path("film")))
            #expect(found.count < Self.content.count)
            #expect(found.prefix(16_384) == Self.content.prefix(16_384))
        }
    }

    @Test(arguments: [
        (SFTPServerKind.wrongRequestIDs, "Can't find request for ID"),
        (.oversizedPackets, "Received message too long 536870912"),
    ])
    func aLyingServerIsFoundOut(kind: SFTPServerKind, complaint: String) async throws {
        try await with(kind) { server, file async throws in
            #expect(try await server.sftp("pwd", "mkdir /made", "ls /").isSuccess)
            let report = try await server.sftp("put \"\(file)\" /film")
            #expect(!report.isSuccess)
            #expect(report.errors.contains(complaint), "\(report.errors)")
        }
    }
}
