// What a final file has beside its bytes, on every kind of server; and that no refusal keeps a file from arriving.

import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import Logging
import Synchronization
import Testing

@testable import Adapters

/// What was logged, as `attribute: reason`.
private final class Notices: LogHandler, Sendable {
    private let lines = Mutex<[String]>([])

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .notice }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        guard event.message == "Attributes not set", let metadata = event.metadata else { return }
        #expect(metadata["upload"] != nil && metadata["path"] != nil && event.level == .notice)
        lines.withLock { $0.append("\(metadata["attributes"] ?? "?"): \(metadata["reason"] ?? "?")") }
    }

    /// What was not set, and why.
    var all: [String] { lines.withLock { $0 } }
    /// What was not set.
    var attributes: [String] { all.map { String($0.prefix { $0 != ":" }) } }
    var logger: Logger { Logger(label: "test") { _ in self } }
}

/// What a file on the disk has.
private struct Seen: Hashable {
    var mode: UInt32
    var modified: Int64
    var owner: UInt32
    var group: UInt32

    func has(mode: UInt32, modified: Int64) -> Bool { self.mode == mode && self.modified == modified }
    func belongs(to owner: UInt32, _ group: UInt32) -> Bool { self.owner == owner && self.group == group }
}

extension OnTargets {
    @Suite struct TargetAttributeTests {
        private let bytes = Bytes.seeded(1, count: 100_000)
        private static let sealed: Int64 = 1_700_000_001
        private static let asked: Int64 = 1_000_000_000
        private static let readOnly = FinalAttributes(
            mode: FileMode(octal: "0440"),
            modifiedAt: Timestamp(microseconds: asked * 1_000_000 + 900_000)
        )

        private func shipped(_ test: TargetUnderTest) async throws -> PartFile {
            let file = try PartFile.sample()
            try await test.session.prepare(file, size: nil)
            _ = try await test.session.ship(BytesReader(bytes), into: file)
            return file
        }

        private func sealed(
            _ test: TargetUnderTest,
            _ file: PartFile,
            _ attributes: FinalAttributes
        ) async throws -> any SealedPartFile {
            try await test.session.seal(file, size: 100_000, modified: Self.sealed, attributes: attributes)
        }

        /// What a file has, itself and not what it leads to.
        private func look(_ test: TargetUnderTest, _ relative: String) throws -> Seen {
            var status = stat()
            guard lstat(test.path(relative), &status) == 0 else { throw HarnessError("lstat \(relative): \(errno)") }
            return Seen(
                mode: status.st_mode & 0o7777,
                modified: Int64(status.st_mtim.tv_sec),
                owner: status.st_uid,
                group: status.st_gid
            )
        }

        // MARK: Mode and time

        @Test(arguments: TargetKind.servers) func theModeIsThereBeforeTheFileAndTheTimeAfter(
            kind: TargetKind
        ) async throws {
            try await withTarget(kind) { test async throws in
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, Self.readOnly)
                let before = try look(test, "in/" + file.name)
                #expect(before.has(mode: 0o640, modified: Self.sealed))
                #expect(sealed.facts.modified == Self.sealed && sealed.isUntouched)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                try await sealed.settle()
                await sealed.close()
                let after = try look(test, "in/film.mov")
                #expect(after.has(mode: 0o440, modified: Self.asked))
                #expect(test.content(file.path) == bytes)
            }
        }

        @Test(arguments: TargetKind.servers) func aReadOnlyFileIsTakenOverAtAnyMoment(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try await shipped(test)
                for _ in 0..<2 { await (try await sealed(test, file, Self.readOnly)).close() }
                let found = try #require(try await test.session.facts(of: file))
                #expect(found.modified == Self.sealed)
                #expect(try await test.session.rename(file, overwrite: .never) == .renamed(atomic: true))
                try await test.session.settle(file, found: found, attributes: Self.readOnly)
                let after = try look(test, "in/film.mov")
                #expect(after.has(mode: 0o440, modified: Self.asked))
                // What was set already is known by its content, and is set once more.
                let set = try #require(try await test.session.facts(of: file.path))
                #expect(set.modified == Self.asked)
                #expect(try await test.session.digest(of: file.path, size: 100_000) == digest(bytes))
                try await test.session.settle(file, found: set, attributes: Self.readOnly)
                #expect(try look(test, "in/film.mov").modified == Self.asked)
            }
        }

        @Test func theConfiguredModeIsForThoseWhoAskForNone() async throws {
            let server = try await SharedServers.sftp(.openSSH)
            try await server.withTarget(adjust: { $0.mode = FileMode(octal: "0600") }) { test async throws in
                for (attributes, mode) in [(FinalAttributes(), UInt32(0o600)), (Self.readOnly, 0o440)] {
                    let file = try await shipped(test)
                    let sealed = try await sealed(test, file, attributes)
                    _ = try await test.session.rename(file, overwrite: .replace)
                    try await sealed.settle()
                    await sealed.close()
                    #expect(try look(test, "in/film.mov").mode == mode)
                }
            }
        }

        // MARK: What is not the own file

        @Test(arguments: TargetKind.servers) func aLinkAtTheFinalNameIsNotFollowed(kind: TargetKind) async throws {
            let notices = Notices()
            guard case .server(let server) = kind else { return }
            try await SharedServers.sftp(server).withTarget(kind: kind, logger: notices.logger) { test async throws in
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, Self.readOnly)
                await sealed.close()
                _ = try await test.session.rename(file, overwrite: .never)
                let found = try #require(try await test.session.facts(of: file.path))
                // As like as can be, but for being elsewhere.
                try test.write(bytes, "in/theirs", modified: Self.sealed)
                try FileManager.default.removeItem(atPath: test.path("in/film.mov"))
                try test.link("in/film.mov", to: "theirs")
                try await test.session.settle(file, found: found, attributes: Self.readOnly)
                let theirs = try look(test, "in/theirs")
                #expect(theirs.mode != 0o440 && theirs.modified == Self.sealed)
                #expect(notices.all == ["all: something else is at its path now"])
            }
        }

        @Test(arguments: TargetKind.allCases) func aStrangersFileKeepsWhatItHas(kind: TargetKind) async throws {
            try await withTarget(kind) { test async throws in
                let file = try PartFile.sample()
                try test.put(bytes, file.path, modified: 77)
                let found = FileFacts(kind: .file, size: 100_000, modified: Self.sealed)
                try await test.session.settle(file, found: found, attributes: Self.readOnly)
                #expect(try await test.session.facts(of: file.path)?.modified == 77)
            }
        }

        // MARK: Owner and group

        private static let isRoot = geteuid() == 0

        @Test(
            .enabled(if: isRoot, "only root can give files to any group"),
            arguments: [SFTPServerKind.openSSH, .proFTPD]
        )
        func theGroupIsSetBeforeTheFileIsSeen(kind: SFTPServerKind) async throws {
            let notices = Notices()
            let server = try await SharedServers.sftp(kind)
            try await server.withTarget(
                kind: .server(kind),
                adjust: { $0.group = 12_345 },
                logger: notices.logger
            ) { test async throws in
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, Self.readOnly)
                #expect(try look(test, "in/" + file.name).belongs(to: geteuid(), 12_345))
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(try look(test, "in/film.mov").belongs(to: geteuid(), 12_345))
                #expect(try look(test, "in/film.mov").has(mode: 0o440, modified: Self.asked))
                #expect(notices.all == [])
            }
        }

        /// ProFTPD lets accounts give files away, and then not open them.
        @Test(.enabled(if: isRoot, "only root can give files away"), arguments: [SFTPServerKind.openSSH, .proFTPD])
        func theOwnerIsSetUnlessTheAccountLosesTheFile(kind: SFTPServerKind) async throws {
            let notices = Notices()
            let server = try await SharedServers.sftp(kind)
            try await server.withTarget(
                kind: .server(kind),
                adjust: { ($0.owner, $0.group) = (12_345, 12_346) },
                logger: notices.logger
            ) { test async throws in
                let file = try await shipped(test)
                let isLost = kind == .proFTPD
                let (owner, group) = isLost ? (geteuid(), getegid()) : (12_345, 12_346)
                for _ in 0..<2 { await (try await sealed(test, file, Self.readOnly)).close() }
                let sealed = try await sealed(test, file, Self.readOnly)
                #expect(try look(test, "in/" + file.name).belongs(to: owner, group))
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(try look(test, "in/film.mov").belongs(to: owner, group))
                #expect(try look(test, "in/film.mov").has(mode: 0o440, modified: Self.asked))
                #expect(notices.attributes == (isLost ? ["owner", "owner", "owner"] : []), "\(notices.all)")
            }
        }

        @Test(.enabled(if: isRoot, "only root can give files away"))
        func aFileThatADeadWorkerGaveAwayIsBuiltAnew() async throws {
            let server = try await SharedServers.sftp(.proFTPD)
            try await server.withTarget(kind: .server(.proFTPD), adjust: { $0.owner = 12_345 }) { test async throws in
                let file = try await shipped(test)
                #expect(chown(test.path(file), 12_345, 12_345) == 0)
                let error = await failure { _ = try await sealed(test, file, Self.readOnly) }
                #expect(error?.kind == .partFileLost, "\(String(describing: error))")
            }
        }

        // MARK: Refusals

        /// An account that may set mode and time of its own files, but not give them to a group that is not its own.
        @Test(.enabled(if: isRoot, "the account of others is wanted")) func oneRefusalLeavesTheRest() async throws {
            let notices = Notices()
            let dropped = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/openssh/sftp-server"
            let server = try await SSHServer.start(sftp: .command(dropped))
            // The checkout may lie where that account cannot go.
            let place = try TemporaryDirectory("attributes", in: .system)
            #expect(chmod(place.path, 0o777) == 0)
            try await server.withTarget(
                adjust: { ($0.root, $0.mode, $0.group) = (place.path, FileMode(octal: "0600"), 12_345) },
                logger: notices.logger
            ) { elsewhere async throws in
                let test = TargetUnderTest(
                    kind: elsewhere.kind,
                    session: elsewhere.session,
                    place: .disk(root: place.path),
                    clientRoot: place.path
                )
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, FinalAttributes(modifiedAt: Self.readOnly.modifiedAt))
                #expect(sealed.facts.modified == Self.sealed && sealed.isUntouched)
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(try look(test, "in/film.mov").has(mode: 0o600, modified: Self.asked))
                #expect(try look(test, "in/film.mov").belongs(to: 65_534, 65_534))
                #expect(notices.attributes == ["owner"], "\(notices.all)")
            }
        }

        @Test(arguments: [FinalAttributes(), readOnly]) func aServerThatRefusesAllStillGetsItsFile(
            attributes: FinalAttributes
        ) async throws {
            let notices = Notices()
            let server = try await SSHServer.start(sftp: .internal(flags: "-P fsetstat"))
            try await server.withTarget(logger: notices.logger) { test async throws in
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, attributes)
                #expect(sealed.isUntouched)
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(test.content(file.path) == bytes)
                #expect(try look(test, "in/film.mov").mode == 0o600)
                // Of what nobody asked for, nothing is said.
                #expect(notices.attributes == (attributes.mode == nil ? [] : ["mode", "time"]), "\(notices.all)")
            }
        }

        /// ProFTPD refuses each request twice in one packet.
        @Test(.enabled(if: isRoot, "a file of another owner is wanted"))
        func aServerThatAnswersTwiceStillGetsItsFile() async throws {
            let notices = Notices()
            let server = try await SharedServers.sftp(.proFTPD)
            try await server.withTarget(kind: .server(.proFTPD), logger: notices.logger) { test async throws in
                let file = try await shipped(test)
                #expect(chown(test.path(file), 12_345, 12_345) == 0 && chmod(test.path(file), 0o666) == 0)
                let sealed = try await sealed(test, file, Self.readOnly)
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(test.content(file.path) == bytes)
                #expect(try look(test, "in/film.mov").mode == 0o666)
                #expect(notices.attributes == ["mode", "time"], "\(notices.all)")
            }
        }

        @Test(arguments: [SFTPServerKind.gateway, .publishingGateway])
        func aGatewayThatKeepsNoAttributesStillGetsItsFile(kind: SFTPServerKind) async throws {
            let notices = Notices()
            let server = try await SharedServers.sftp(kind)
            try await server.withTarget(kind: .server(kind), merge: .stream, logger: notices.logger) {
                test async throws in
                let file = try AssemblyCase(strategy: .stream, server: kind).file()
                let cut = Cut([70_000, 30_000])
                try await test.shipAll(cut, into: file)
                _ = try await test.assemble(file, cut)
                let sealed = try await sealed(test, file, Self.readOnly)
                _ = try await test.session.rename(file, overwrite: .never)
                try await sealed.settle()
                await sealed.close()
                #expect(test.content(file.path) == cut.whole)
                #expect(notices.attributes == ["mode", "time"], "\(notices.all)")
                // Whoever takes over finds the same.
                let found = try #require(try await test.session.facts(of: file.path))
                try await test.session.settle(file, found: found, attributes: Self.readOnly)
                #expect(test.content(file.path) == cut.whole)
            }
        }

        @Test func whatAppearsByItsClosingHasAllBefore() async throws {
            // Not every server that shows a file at the end refuses attributes: OpenSSH stands for one that does not.
            let server = try await SharedServers.sftp(.openSSH)
            try await server.withTarget(merge: .stream) { test async throws in
                let target = try #require(test.session as? SFTPTarget)
                let file = try AssemblyCase(strategy: .stream, server: .openSSH).file()
                let cut = Cut([70_000, 30_000])
                try await test.session.prepare(file, size: nil)
                _ = try await target.streamUnseen(cut.parts, into: file, from: cut.open)
                let sealed = try await sealed(test, file, Self.readOnly)
                #expect(try await test.session.rename(file, overwrite: .replace) == .renamed(atomic: true))
                await sealed.close()
                #expect(try look(test, "in/film.mov").has(mode: 0o440, modified: Self.asked))
                #expect(test.content(file.path) == cut.whole)
            }
        }

        // MARK: Cancelled

        @Test func aCancelledMergeStillSetsWhatItHasBegunToShow() async throws {
            try await withTarget(.openSSH) { test async throws in
                let file = try await shipped(test)
                let sealed = try await sealed(test, file, Self.readOnly)
                _ = try await test.session.rename(file, overwrite: .never)
                let task = Task {
                    while !Task.isCancelled { await Task.yield() }
                    try await sealed.settle()
                }
                task.cancel()
                try await task.value
                await sealed.close()
                #expect(try look(test, "in/film.mov").has(mode: 0o440, modified: Self.asked))
            }
        }
    }
}
