// Logs: chooses level and format of all logs from the environment, once.

internal import Foundation
public import Logging
internal import Synchronization

/// The logs of a program.
public struct Logs: Sendable, Equatable {
    /// How lines look.
    public enum Format: String, Sendable, CaseIterable {
        /// One JSON object a line.
        case json
        /// Plain lines.
        case text
    }

    /// Least level that is logged.
    public var level: Logger.Level
    /// How lines look.
    public var format: Format

    /// Reads `FERRY_LOG_LEVEL` (trace to critical, default info) and `FERRY_LOG_FORMAT` (json or text; by default text
    /// on a terminal and json elsewhere).
    ///
    /// - Throws: `ConfigurationError` naming each variable with another value.
    public init(environment: [String: String], isTerminal: Bool) throws(ConfigurationError) {
        var problems: [ConfigurationError.Problem] = []
        func choice<Choice: RawRepresentable & CaseIterable>(
            _ name: String,
            default standard: Choice
        ) -> Choice where Choice.RawValue == String {
            guard let text = environment[name], !text.isEmpty else { return standard }
            if let value = Choice(rawValue: text.lowercased()) { return value }
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            let message = "expected one of \(names), found \(quoted(text))"
            problems.append(.init(place: .environment(name), key: "", message: message))
            return standard
        }
        level = choice("FERRY_LOG_LEVEL", default: .info)
        format = choice("FERRY_LOG_FORMAT", default: isTerminal ? .text : .json)
        guard problems.isEmpty else { throw ConfigurationError(problems) }
    }

    /// Sets up all loggers of the process by the environment, to standard error. Further calls change nothing: swift-log
    /// takes a set-up only once.
    ///
    /// - Parameter environment: variables by name; `nil` for those of the process.
    /// - Throws: `ConfigurationError` where a variable is wrong; then nothing is set up.
    public static func bootstrap(environment: [String: String]? = nil) throws(ConfigurationError) {
        let environment = environment ?? ProcessInfo.processInfo.environment
        let logs = try Logs(environment: environment, isTerminal: isatty(STDERR_FILENO) == 1)
        let isFirst = isDone.withLock { done in
            defer { done = true }
            return !done
        }
        guard isFirst else { return }
        LoggingSystem.bootstrap({ logs.handler(label: $0, provider: $1) }, metadataProvider: nil)
    }

    private static let isDone = Mutex(false)

    func handler(label: String, provider: Logger.MetadataProvider?) -> any LogHandler {
        switch format {
        case .json:
            var handler = JSONLogHandler(label: label, metadataProvider: provider)
            handler.logLevel = level
            return handler
        case .text:
            var handler = TextLogHandler(label: label, metadataProvider: provider)
            handler.logLevel = level
            return handler
        }
    }
}
