// The strategies that put parts together, and the servers that allow them.

import Core
import CoreTesting
import Foundation
import Harness
import Synchronization
import Testing

@testable import Adapters

/// A strategy on a kind of server.
struct AssemblyCase: Hashable, Sendable, CustomTestStringConvertible {
    let strategy: MergeStrategy
    /// Nil for the target in memory.
    let server: SFTPServerKind?

    var testDescription: String { "\(strategy.rawValue) on \(server.map { "\($0)" } ?? "memory")" }

    /// The servers that allow a strategy. Parts in place are what the other suites are about.
    private static let servers: [(MergeStrategy, [SFTPServerKind])] = [
        (.copy, [.openSSH, .chrooted]),
        (.script, [.openSSH, .fewCommands, .fewCommandsAndFlock, .bashWithoutLocks]),
        (.relay, [.openSSH, .chrooted, .withoutExtensions, .proFTPD, .appending]),
        (.stream, [.openSSH, .chrooted, .withoutExtensions, .proFTPD, .gateway, .publishingGateway]),
    ]
    static let onServers = servers.flatMap { strategy, kinds in
        kinds.filter(\.isAvailable).map { AssemblyCase(strategy: strategy, server: $0) }
    }
    static let apartOnServers = onServers.filter { $0.strategy.keepsPartsApart }
    static let all = onServers + MergeStrategy.allCases.map { AssemblyCase(strategy: $0, server: nil) }

    /// How what is made of parts of a size is proven there.
    func verification(ofSize size: Int) -> Verification {
        // A gateway does not flush.
        if server == .gateway || server == .publishingGateway || server == .appending { return .readback }
        return server.map(TargetKind.server)?.verification(ofSize: size) ?? .digest
    }

    /// Runs a test on an empty target that builds in this way.
    ///
    /// - Parameter root: a name below the server's root, for targets that are used one after the other.
    func withTarget(
        root: String? = nil,
        verify: SFTPTargetOptions.Verify = .auto,
        recordedEvery: Int64 = 0,
        reached: @escaping AssemblyWatch = { _ in },
        _ body: (TargetUnderTest) async throws -> Void
    ) async throws {
        guard let server else {
            let memory = InMemoryTarget(strategy: strategy, digest: { digest(Bytes($0)) })
            let place = TargetUnderTest.Place.memory(memory)
            return try await body(
                TargetUnderTest(kind: .memory, session: memory, place: place, clientRoot: "/nowhere")
            )
        }
        try await SharedServers.sftp(server).withTarget(
            kind: .server(server),
            root: root,
            verify: verify,
            merge: strategy,
            recordedEvery: recordedEvery,
            reached: reached,
            body
        )
    }

    /// Whether a file there has the mode and the time that it is given.
    var keepsAttributes: Bool { server != .gateway && !isUnseen }

    /// Whether a file is written under its final name, and shown by its closing.
    var isUnseen: Bool { server == .publishingGateway }

    /// The name of a new directory below the server's root.
    func makeRoot() async throws -> String {
        let name = UUID().uuidString
        guard let server else { return name }
        let path = try await SharedServers.sftp(server).path(name)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return name
    }

    func file(_ path: String = "in/film.mov", generation: UInt64 = 7, claim: UInt64 = 9) throws -> PartFile {
        let sample = try PartFile.sample(path, generation: generation)
        return PartFile(
            upload: sample.upload,
            generation: sample.generation,
            path: sample.path,
            strategy: strategy
        ).claimed(by: Fence(claim))
    }
}

/// Bytes cut into parts.
struct Cut: Sendable {
    let whole: Bytes
    let readers: [BytesReader]

    var parts: [Part] { readers.map(\.part) }

    init(_ sizes: [Int], seed: UInt64 = 1) {
        var whole: [UInt8] = []
        var readers: [BytesReader] = []
        for (index, size) in sizes.enumerated() {
            let bytes = Bytes.seeded(seed &* 100 &+ UInt64(index), count: size)
            readers.append(BytesReader(bytes, at: Int64(whole.count)))
            whole += bytes.array
        }
        (self.whole, self.readers) = (Bytes(whole), readers)
    }

    /// Opens a part as staging would.
    var open: @Sendable (Part) async throws(StagingError) -> any PartReader {
        { [readers] part throws(StagingError) in
            guard let reader = readers.first(where: { $0.part == part }) else { throw .notFound }
            return reader
        }
    }
}

extension TargetUnderTest {
    /// Makes room and ships all parts.
    func shipAll(_ cut: Cut, into file: PartFile) async throws {
        try await session.prepare(file, size: Int64(cut.whole.count))
        for reader in cut.readers { _ = try await session.ship(reader, into: file) }
    }

    /// Puts all parts together.
    func assemble(_ file: PartFile, _ cut: Cut) async throws(TargetError) -> Verification? {
        try await session.assemble(file, of: cut.parts, from: cut.open)
    }

    /// Makes the final file, as a merge does once the parts are together.
    func commit(_ file: PartFile, size: Int) async throws -> RenameResult {
        let sealed = try await session.seal(file, size: Int64(size), modified: 1_700_000_001)
        #expect(sealed.isUntouched)
        do {
            let result = try await session.rename(file, overwrite: .never)
            await sealed.close()
            return result
        } catch {
            await sealed.close()
            throw error
        }
    }
}

/// What ends an assembly as a kill does.
struct Killed: Error {}

/// Notes the steps of assemblies, and ends one after a step.
final class StepCounter: Sendable {
    private let noted = Mutex([AssemblyStep]())
    private let end: AssemblyStep?

    /// - Parameter end: the step after which it ends; nil for none.
    init(endingAt end: AssemblyStep? = nil) { self.end = end }

    var steps: [AssemblyStep] { noted.withLock { $0 } }

    var watch: AssemblyWatch {
        { step in
            self.noted.withLock { $0.append(step) }
            if step == self.end { throw Killed() }
        }
    }
}
