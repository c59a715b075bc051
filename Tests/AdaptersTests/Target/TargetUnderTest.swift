// The targets that the conformance suite runs on, and what a test may see and do there from outside.

import Core
import CoreTesting
import Foundation
import Harness
import Logging
import SFTP
import Testing

@testable import Adapters

/// Which implementation, and on which kind of server.
enum TargetKind: Hashable, Sendable, CaseIterable, CustomTestStringConvertible {
    /// In memory.
    case memory
    /// Over SFTP.
    case server(SFTPServerKind)

    static let openSSH = Self.server(.openSSH)
    static let withoutExtensions = Self.server(.withoutExtensions)

    /// The servers on which parts can be written in place and a file be renamed.
    static let servers: [TargetKind] = SFTPServerKind.available
        .filter { [.openSSH, .chrooted, .withoutExtensions, .fewCommands, .proFTPD].contains($0) }
        .map(TargetKind.server)
    static let allCases = [.memory] + servers

    var testDescription: String {
        switch self {
        case .memory: "memory"
        case .server(let kind): "\(kind)"
        }
    }

    /// Whether digests can be taken there by commands.
    var runsCommands: Bool {
        [.openSSH, .fewCommands, .fewCommandsAndFlock, .bashWithoutLocks].map(TargetKind.server).contains(self)
    }
    /// Whether it flushes, replaces in one step and tells its space.
    var hasExtensions: Bool { self != .withoutExtensions }

    /// How a part of a size is proven there.
    func verification(ofSize size: Int) -> Verification {
        if self == .memory { return .digest }
        if size <= 65_536 { return .readback }
        if runsCommands { return .digest }
        return size <= 1 << 20 || !hasExtensions ? .readback : .size
    }
}

/// A target with the hands of somebody who sits at the machine.
struct TargetUnderTest: Sendable {
    enum Place: Sendable {
        case memory(InMemoryTarget)
        case disk(root: String)
    }

    let kind: TargetKind
    let session: any TargetSession
    let place: Place
    /// The root as the server's account names it; for tests of servers.
    let clientRoot: String

    /// A path on this machine; tests of servers only.
    func path(_ relative: String) -> String {
        switch place {
        case .memory: "/nowhere/\(relative)"
        case .disk(let root): "\(root)/\(relative)"
        }
    }

    func path(_ file: PartFile) -> String { path((file.path.directory + [file.name]).joined(separator: "/")) }

    /// Puts a stranger's file there.
    func put(_ bytes: Bytes, _ path: TargetPath, modified: Int64 = 1_000_000_000) throws {
        switch place {
        case .memory(let memory): memory.files[path] = .init(bytes: bytes.array, modified: modified)
        case .disk: try write(bytes, path.description, modified: modified)
        }
    }

    func write(_ bytes: Bytes, _ relative: String, modified: Int64 = 1_000_000_000) throws {
        let url = URL(fileURLWithPath: path(relative))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes.array).write(to: url)
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: TimeInterval(modified))],
            ofItemAtPath: url.path
        )
    }

    /// What is there; nil for nothing.
    func content(_ path: TargetPath) -> Bytes? {
        switch place {
        case .memory(let memory): memory.files[path].map { Bytes($0.bytes) }
        case .disk: content(at: path.description)
        }
    }

    func content(_ file: PartFile) -> Bytes? {
        switch place {
        case .memory(let memory): memory.partFiles[file].map { Bytes($0.bytes) }
        case .disk: content(at: (file.path.directory + [file.name]).joined(separator: "/"))
        }
    }

    func content(at relative: String) -> Bytes? {
        FileManager.default.contents(atPath: path(relative)).map { Bytes($0) }
    }

    func damage(_ file: PartFile, at offset: Int) throws {
        switch place {
        case .memory(let memory): memory.damage(file, at: offset)
        case .disk:
            var bytes = content(file)?.array ?? []
            bytes[offset] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: path(file)))
        }
    }

    /// The names in a directory below the root, hidden ones too; tests of servers only.
    func names(in directory: String = "") throws -> [String] {
        try names(atPath: path(directory))
    }

    func names(atPath directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    }

    func mode(_ relative: String) throws -> Int? {
        let attributes = try FileManager.default.attributesOfItem(atPath: path(relative))
        return (attributes[.posixPermissions] as? NSNumber)?.intValue
    }

    func link(_ relative: String, to destination: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path(relative), withDestinationPath: destination)
    }

    /// A new directory beside the root: where it is on this machine, and how the server's account names it. Its name
    /// begins with the root's.
    func makeDirectoryOutside() throws -> (path: String, clientPath: String) {
        guard case .disk(let root) = place else { throw HarnessError("nothing lies beside memory") }
        try FileManager.default.createDirectory(atPath: root + "-outside", withIntermediateDirectories: true)
        return (root + "-outside", clientRoot + "-outside")
    }

    func removeDirectory(_ relative: String) throws { try FileManager.default.removeItem(atPath: path(relative)) }

    func makeDirectory(_ relative: String) throws {
        try FileManager.default.createDirectory(atPath: path(relative), withIntermediateDirectories: true)
    }
}

/// One after the other: many servers at once would leave other tests no processor.
@Suite(.serialized) enum OnTargets {}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

extension SFTPServer {
    var account: SSHConfiguration {
        SSHConfiguration(
            host: host,
            port: port,
            user: user,
            credentials: .key(file: keyFile),
            hostKeys: [hostKeyFingerprint]
        )
    }

    /// Runs a test on a target of this server, below a new directory unless a name below the server's root is given.
    func withTarget(
        kind: TargetKind = .openSSH,
        root name: String? = nil,
        verify: SFTPTargetOptions.Verify = .auto,
        merge: MergeStrategy? = nil,
        change: (inout SSHConfiguration) -> Void = { _ in },
        adjust: (inout SFTPTargetOptions) -> Void = { _ in },
        logger: Logger = silent,
        recordedEvery: Int64 = 0,
        reached: @escaping AssemblyWatch = { _ in },
        _ body: (TargetUnderTest) async throws -> Void
    ) async throws {
        let directory = name ?? UUID().uuidString
        if name == nil {
            try FileManager.default.createDirectory(atPath: path(directory), withIntermediateDirectories: true)
        }
        var account = account
        change(&account)
        var options = SFTPTargetOptions(root: clientPath(directory), verify: verify, merge: merge)
        adjust(&options)
        let target = SFTPTarget(
            account,
            options: options,
            sessions: 2,
            logger: logger,
            recordedEvery: recordedEvery,
            reached: reached
        )
        let test = TargetUnderTest(
            kind: kind,
            session: target,
            place: .disk(root: path(directory)),
            clientRoot: clientPath(directory)
        )
        do {
            try await body(test)
            await target.shutdown()
        } catch {
            await target.shutdown()
            throw error
        }
    }
}

/// Runs a test on an empty target of a kind.
func withTarget(
    _ kind: TargetKind,
    verify: SFTPTargetOptions.Verify = .auto,
    _ body: (TargetUnderTest) async throws -> Void
) async throws {
    switch kind {
    case .memory:
        let memory = InMemoryTarget(digest: { digest(Bytes($0)) })
        try await body(TargetUnderTest(kind: kind, session: memory, place: .memory(memory), clientRoot: "/nowhere"))
    case .server(let server):
        try await SharedServers.sftp(server).withTarget(kind: kind, verify: verify, body)
    }
}

extension TargetSession {
    /// Seals a file that is to have nothing out of the ordinary.
    func seal(_ file: PartFile, size: Int64, modified: Int64) async throws(TargetError) -> any SealedPartFile {
        try await seal(file, size: size, modified: modified, attributes: FinalAttributes())
    }
}

/// A part in memory. It may lie: its bytes need not be what its digest promises.
struct BytesReader: PartReader {
    let part: Part
    let bytes: Bytes
    let beforeRead: @Sendable (Int64) async -> Void

    init(
        _ bytes: Bytes,
        at offset: Int64 = 0,
        promising promised: Bytes? = nil,
        beforeRead: @escaping @Sendable (Int64) async -> Void = { _ in }
    ) {
        self.bytes = bytes
        self.beforeRead = beforeRead
        part = Part(offset: offset, size: Int64(bytes.count), digest: digest(promised ?? bytes))
    }

    func read(at position: Int64, count: Int) async throws(StagingError) -> any ByteChunk {
        await beforeRead(position)
        return Bytes(bytes.array.dropFirst(Int(position)).prefix(count))
    }

    func isIntact() async throws(StagingError) -> Bool { digest(bytes) == part.digest }

    func close() async {}
}

extension PartFile {
    /// A part file for tests.
    static func sample(_ path: String = "in/film.mov", upload: UInt64 = 1, generation: UInt64 = 7) throws -> PartFile {
        PartFile(
            upload: UploadID(high: upload, low: 0xabc),
            generation: Generation(generation),
            path: try TargetPath(path)
        )
    }
}

/// The kind of a target's error; nil where none or another is thrown.
func failure(_ body: () async throws -> Void) async -> TargetError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? TargetError
    }
}
