// The programs of the merge script run here, in a directory, by one shell or another, told line by line.

import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import Testing

@testable import Adapters

/// Who runs the program.
enum MergeShell: String, Hashable, Sendable, CaseIterable {
    case dash, bash, busybox
    /// bash under the name `sh`, which makes it keep to POSIX.
    case bashAsSh
    /// Any shell, where Python is installed.
    case python

    /// Those that are installed here.
    static let available = allCases.filter { find($0.program) != nil }
    /// Those without Python.
    static let shells = available.filter { $0 != .python }

    /// The program that is to be installed.
    var program: String {
        switch self {
        case .dash, .busybox: rawValue
        case .bash, .bashAsSh: "bash"
        case .python: "python3"
        }
    }

    /// Where a program is.
    static func find(_ name: String) -> String? {
        ["/usr/bin", "/bin"].map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// What the program calls; more than it finds on some targets.
    static let commands = [
        "cat", "cut", "dd", "find", "ls", "mkdir", "mv", "rm", "rmdir", "sleep", "sync", "touch", "tr", "wc",
    ]

    /// Fills a directory with what its PATH is to have.
    func fill(_ directory: String) throws {
        let manager = FileManager.default
        func link(_ name: String, to program: String) throws {
            let path = try #require(Self.find(program), "\(program) is not installed")
            try manager.createSymbolicLink(atPath: "\(directory)/\(name)", withDestinationPath: path)
        }
        for name in Self.commands { try link(name, to: self == .busybox ? "busybox" : name) }
        switch self {
        case .dash: try link("sh", to: "dash")
        case .busybox: try link("sh", to: "busybox")
        case .bashAsSh: try link("sh", to: "bash")
        case .bash: try Self.write("exec bash \"$@\"", to: "\(directory)/sh", then: { try link("bash", to: "bash") })
        case .python:
            try link("sh", to: "dash")
            try link("python3", to: "python3")
        }
    }

    /// Writes a program for a shell.
    static func write(_ text: String, to path: String, then: () throws -> Void = {}) throws {
        try? FileManager.default.removeItem(atPath: path)
        try Data("#!/bin/sh\n\(text)\n".utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        try then()
    }
}

/// An answer of the program; what does not read as one fails the test.
struct MergeAnswer: Decodable, Equatable {
    var length: Int64?
    var next: Int64?
    var size: Int64?
    var error: String?
    var detail: String?

    static func begun(length: Int64 = 0, next: Int64 = 0, size: Int64 = 0) -> Self {
        Self(length: length, next: next, size: size)
    }
    static func done(_ next: Int64, _ size: Int64) -> Self { Self(next: next, size: size) }
}

/// A part file and its parts in a directory of their own, with the commands that the program finds.
final class MergePlace: Sendable {
    /// The sizes of the parts.
    static let sizes = [70_000, 1, 300_001, 4_097]
    static let cut = Cut(sizes)
    static var whole: Bytes { cut.whole }
    static var ends: [Int64] { cut.parts.map(\.end) }

    let directory: TemporaryDirectory
    let shell: MergeShell
    /// The directory on whose file system all lies.
    private let root: String
    private let name: String

    /// - Parameters:
    ///   - name: the part file's; nothing is at it until `makePart`.
    ///   - root: where it is to lie; a directory of its own by default.
    init(_ shell: MergeShell, name: String = ".ferry-1.part", root: String? = nil) throws {
        self.shell = shell
        self.name = name
        directory = try TemporaryDirectory("merge")
        self.root = try root ?? directory.makeDirectory("root")
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
        try shell.fill(bin)
    }

    var bin: String { directory.path("bin") }
    var part: String { "\(root)/\(name)" }
    var parts: String { "\(root)/\(name)s" }
    var content: Bytes? { FileManager.default.contents(atPath: part).map { Bytes($0) } }
    var record: String? {
        FileManager.default.contents(atPath: path("record")).map { String(decoding: $0, as: UTF8.self) }
    }
    var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: root).sorted() } }

    /// Something in the directory of the parts.
    func path(_ name: String) -> String { "\(parts)/\(name)" }
    func path(ofPart index: Int) -> String { path(PartsDirectory.name(of: Self.cut.parts[index])) }

    /// Makes the part file, with what it has, and the parts.
    func make(_ content: Bytes = Bytes([])) throws {
        try FileManager.default.createDirectory(atPath: parts, withIntermediateDirectories: true)
        try write(content, part)
        for (index, reader) in Self.cut.readers.enumerated() { try write(reader.bytes, path(ofPart: index)) }
    }

    func write(_ bytes: Bytes, _ path: String) throws { try Data(bytes.array).write(to: URL(fileURLWithPath: path)) }
    func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
    func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }

    /// Puts a program of a test's own in a command's place.
    func replace(_ command: String, by text: String) throws { try MergeShell.write(text, to: "\(bin)/\(command)") }

    /// Adds a command as it is installed here.
    func add(_ command: String) throws {
        let program = try #require(MergeShell.find(command), "\(command) is not installed")
        try FileManager.default.createSymbolicLink(atPath: "\(bin)/\(command)", withDestinationPath: program)
    }

    /// Starts the program as a server does.
    ///
    /// - Parameter hidesProc: whether it is kept from finding what Linux has and others have not.
    func start(flushes: Bool = true, hidesProc: Bool = false) throws -> RunningMerge {
        let lines = MergeScriptProgram.lines.map {
            hidesProc ? $0.replacingOccurrences(of: "/proc/", with: "/no-proc/") : $0
        }
        return try RunningMerge(in: self, lines: lines + [part, parts, flushes ? "1" : "0"])
    }
}

/// A program that is running.
final class RunningMerge: Sendable {
    private let child: ChildProcess
    private let input: FileHandle
    private let place: MergePlace

    fileprivate init(in place: MergePlace, lines: [String]) throws {
        self.place = place
        let id = UUID().uuidString
        let pipe = place.directory.path("input-\(id)")
        guard mkfifo(pipe, 0o600) == 0 else { throw HarnessError("no pipe") }
        // Open for both, so that neither end waits for the other.
        let descriptor = open(pipe, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw HarnessError("the pipe cannot be opened") }
        input = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        child = try ChildProcess(
            "/bin/sh",
            ["-c", "exec <\"$1\"; eval \"$2\"", "login", pipe, MergeScriptProgram.command],
            environment: ["PATH": place.bin],
            output: place.directory.path("output-\(id)"),
            errors: place.directory.path("errors-\(id)")
        )
        try input.write(contentsOf: Data(lines.map { $0 + "\n" }.joined().utf8))
    }

    var isRunning: Bool { child.isRunning }

    func tell(_ line: String) throws { try input.write(contentsOf: Data("\(line)\n".utf8)) }

    /// Tells it of a part.
    func tell(part index: Int) throws {
        let part = MergePlace.cut.parts[index]
        try tell("part \(index) \(part.offset) \(part.size) \(PartsDirectory.name(of: part)) \(part.end)")
    }

    /// Its answer of a number; the first is the one about its beginning.
    func answer(_ index: Int, within: Duration = .seconds(20)) async throws -> MergeAnswer {
        let line = try await eventuallyValue("answer \(index): \(child.errors)", within: within) {
            let lines = child.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            return lines.count > index + 1 ? lines[index + 1] : nil
        }
        return try JSONDecoder().decode(MergeAnswer.self, from: Data(line.utf8))
    }

    /// Tells it of parts, and expects them to be done.
    func place(_ indices: Range<Int>, firstAnswer: Int = 1) async throws {
        for index in indices {
            try tell(part: index)
            let answer = try await answer(firstAnswer + index - indices.lowerBound)
            #expect(answer == .done(Int64(index + 1), MergePlace.ends[index]))
        }
    }

    /// Ends its input, and waits for its end; it has said nothing more than these many answers.
    func end(after count: Int) async throws {
        try input.close()
        #expect(try await child.wait(within: .seconds(20)) == .status(0), "\(child.errors)")
        #expect(child.output.split(separator: "\n").count == count + 1, "\(child.output)")
    }

    /// Waits for its end, which is to come with an error, after so many answers, without the end of its input.
    func fails(_ error: String, after count: Int, within: Duration = .seconds(20)) async throws {
        let answer = try await answer(count, within: within)
        #expect(answer.error == error, "\(answer)")
        #expect(try await child.wait(within: .seconds(20)) == .status(0), "\(child.errors)")
        #expect(child.output.split(separator: "\n").count == count + 2, "\(child.output)")
    }
}
