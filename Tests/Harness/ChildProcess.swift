// One program run by a test: started, watched, signalled, and never left behind.

import Foundation
import Glibc
import Synchronization

/// A running program in a process group of its own, which ends with this value or with the test process.
public final class ChildProcess: Sendable {
    /// How a program ended.
    public enum Exit: Sendable, Equatable {
        /// It returned this status.
        case status(Int32)
        /// This signal ended it.
        case signal(Int32)
    }

    /// Its process id, and its process group's.
    public let pid: Int32
    /// The file that holds its standard output.
    public let outputFile: String
    /// The file that holds its standard error; the same file unless another was given.
    public let errorFile: String

    private let name: String
    private let ended = Mutex<Exit?>(nil)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - program: a path, or a name that is looked up in PATH.
    ///   - environment: added to this process's own; a nil value removes a variable.
    ///   - directory: its working directory; this process's own by default.
    ///   - output: file to which standard output is appended.
    ///   - errors: file for standard error; the same as `output` by default.
    public init(
        _ program: String,
        _ arguments: [String] = [],
        environment: [String: String?] = [:],
        directory: String? = nil,
        output: String = "/dev/null",
        errors: String? = nil
    ) throws {
        var variables = ProcessInfo.processInfo.environment
        for (name, value) in environment { variables[name] = value }
        name = program
        outputFile = output
        errorFile = errors ?? output
        pid = try ProcessSpawner.spawn(
            ProcessSpawner.Request(
                program: program,
                arguments: arguments,
                environment: variables,
                directory: directory,
                output: output,
                errors: errors ?? output
            )
        )
    }

    deinit {
        killNow()
    }

    /// What it has written to standard output so far.
    public var output: String { (try? String(contentsOfFile: outputFile, encoding: .utf8)) ?? "" }

    /// What it has written to standard error so far.
    public var errors: String { (try? String(contentsOfFile: errorFile, encoding: .utf8)) ?? "" }

    /// How it ended; nil while it runs.
    public var exit: Exit? {
        ended.withLock { ended in
            if ended == nil { ended = Self.reap(pid) }
            return ended
        }
    }

    /// Whether it has not ended yet; a stopped process runs.
    public var isRunning: Bool { exit == nil }

    /// Sends a signal to the process itself; false if it has ended.
    @discardableResult
    public func signal(_ signal: Int32) -> Bool {
        // Under the lock nobody reaps it, so the pid cannot have become somebody else's.
        ended.withLock { ended in
            if ended == nil { ended = Self.reap(pid) }
            return ended == nil && kill(pid, signal) == 0
        }
    }

    /// Waits for its end.
    public func wait(within: Duration = .seconds(10)) async throws -> Exit {
        try await eventuallyValue("the end of \(name) (pid \(pid))", within: within, every: .milliseconds(5)) { exit }
    }

    /// Asks it to end (SIGTERM), kills it with all its descendants when it does not in time.
    @discardableResult
    public func stop(within: Duration = .seconds(10)) async -> Exit? {
        let family = ProcessTree.descendants(of: pid)
        signal(SIGTERM)
        signal(SIGCONT)
        _ = try? await wait(within: within)
        killNow(family)
        return exit
    }

    /// Kills it and all its descendants, and returns when it is gone.
    public func killNow() {
        guard isRunning else { return }
        killNow(ProcessTree.descendants(of: pid))
    }

    private func killNow(_ family: [Int32]) {
        let grown = isRunning ? ProcessTree.descendants(of: pid) : []
        signal(SIGKILL)
        for member in Set(family + grown) where ProcessTree.parent(of: member) != nil { kill(member, SIGKILL) }
        // A killed process ends at once; the bound is for one that hangs in the kernel.
        for _ in 0..<400 where isRunning { usleep(5_000) }
    }

    private static func reap(_ pid: Int32) -> Exit? {
        var status: Int32 = 0
        let found = waitpid(pid, &status, WNOHANG)
        if found == 0 || (found < 0 && errno == EINTR) { return nil }
        guard found == pid else { return .status(-1) }
        let signal = status & 0x7f
        return signal == 0 ? .status((status >> 8) & 0xff) : .signal(signal)
    }
}

extension ChildProcess {
    /// What a program that ran to its end left.
    public struct Report: Sendable {
        /// How it ended.
        public let exit: Exit
        /// All of its standard output.
        public let output: String
        /// All of its standard error.
        public let errors: String
        /// Whether it returned 0.
        public var isSuccess: Bool { exit == .status(0) }
    }

    /// Runs a program to its end, or kills it after `within` and throws.
    public static func run(
        _ program: String,
        _ arguments: [String] = [],
        environment: [String: String?] = [:],
        directory: String? = nil,
        within: Duration = .seconds(30)
    ) async throws -> Report {
        let place = try TemporaryDirectory("run")
        let child = try ChildProcess(
            program,
            arguments,
            environment: environment,
            directory: directory,
            output: place.path("output"),
            errors: place.path("errors")
        )
        let exit = try await child.wait(within: within)
        return Report(exit: exit, output: child.output, errors: child.errors)
    }
}
