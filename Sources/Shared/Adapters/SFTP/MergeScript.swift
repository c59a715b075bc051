// The script strategy: one shell on the target puts the parts together, told which, one by one.

internal import Core
internal import Foundation
internal import Logging
internal import SFTP

/// Runs the program that puts parts together on a target, on an SSH session of its own.
struct MergeScript: Sendable {
    private let configuration: SSHConfiguration
    private let gate: (any ConnectionGate)?
    private let logger: Logger

    /// How many parts the program is told of before it has answered the first of them.
    private static let ahead = 64
    /// What a part may take at the least, and so many seconds more a byte: 10 MB a second.
    private static func patience(_ size: Int64) -> Duration { .seconds(60 + size / 10_000_000) }

    /// - Parameter gate: where its sessions are counted.
    init(configuration: SSHConfiguration, gate: (any ConnectionGate)?, logger: Logger) {
        self.configuration = configuration
        self.gate = gate
        self.logger = logger
    }

    /// An answer of the program.
    private struct Answer: Decodable {
        var length: Int64?
        var next: Int?
        var size: Int64?
        var error: String?
        var detail: String?
    }

    /// Puts parts in their places in the part file, from where the record says.
    func place(
        _ parts: [Part],
        in target: SFTPTarget,
        _ file: PartFile,
        reached: AssemblyWatch
    ) async throws(TargetError) {
        let (name, directory) = (target.absolute(file), target.partsDirectory(file))
        guard !"\(name)\(directory)".utf8.contains(UInt8(ascii: "\n")) else {
            throw TargetError(.pathRefused, "a path with a line feed cannot be told to a script")
        }
        do {
            // A generation has one script that is of use; another one of the same process shares its seat.
            let session = "script-\(file.upload)"
            try await target.pool.enter(session)
            defer { gate?.left(session) }
            let command: SSHCommand
            do throws(SFTPError) {
                command = try await SSHCommand.start(
                    MergeScriptProgram.command,
                    greeting: MergeScriptProgram.greeting,
                    configuration,
                    logger: logger
                )
                await gate?.opened(session)
            } catch {
                // That it does not begin looks the same where the connection was lost: another try may do.
                if case .execRefused = error { throw TargetError(.interrupted, error.description) }
                await gate?.failed(session, error)
                throw error
            }
            do {
                for line in MergeScriptProgram.lines + [name, directory, target.options.flushes ? "1" : "0"] {
                    try command.write(line)
                }
                try await place(parts, of: file, by: command, reached: reached)
                await command.close()
            } catch {
                await command.close()
                throw error
            }
        } catch {
            throw TargetError(any: error)
        }
    }

    private func place(
        _ parts: [Part],
        of file: PartFile,
        by command: SSHCommand,
        reached: AssemblyWatch
    ) async throws {
        let begun = try await answer(of: command, about: file, within: Self.patience(0))
        try await reached(.opened)
        let record = AssemblyRecord(next: begun.next ?? 0, size: begun.size ?? 0)
        let start = record.start(of: parts, fileSize: begun.length ?? 0)
        var told = start
        for index in start..<parts.count {
            while told < min(parts.count, index + Self.ahead) {
                let part = parts[told]
                let name = PartsDirectory.name(of: part)
                try command.write("part \(told) \(part.offset) \(part.size) \(name) \(part.end)")
                told += 1
            }
            let done = try await answer(of: command, about: file, within: Self.patience(parts[index].size))
            guard done.next == index + 1, done.size == parts[index].end else {
                throw TargetError(.protocolViolation, "the merge script answers with another part's end")
            }
            try await reached(.recorded(index))
        }
        try await reached(.written)
    }

    private func answer(of command: SSHCommand, about file: PartFile, within limit: Duration) async throws -> Answer {
        let line = try await command.readLine(within: limit)
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(line.utf8)) else {
            throw TargetError(.protocolViolation, "the merge script answers \(line.prefix(100))")
        }
        guard let error = answer.error else { return answer }
        let detail = "the merge script of \(file.name): \(error) \(answer.detail ?? "")"
        switch error {
        case "lost": throw TargetError(.partFileLost, detail)
        case "full": throw TargetError(.diskFull, detail)
        case "quota": throw TargetError(.quotaExceeded, detail)
        case "busy": throw TargetError(.interrupted, detail)
        default: throw TargetError(.failed, detail)
        }
    }
}
