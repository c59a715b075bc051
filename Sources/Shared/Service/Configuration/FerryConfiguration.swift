// FerryConfiguration: the whole of ferry.yaml with the environment over it.

internal import Foundation

/// The configuration of all of Ferry's programs.
public struct FerryConfiguration: Sendable, Equatable {
    /// Where the API listens.
    public var listen = ListenConfiguration()
    /// Where acknowledged parts are kept.
    public var staging = StagingConfiguration()
    /// How Redis is reached.
    public var redis: ServerConfiguration
    /// How RabbitMQ is reached.
    public var amqp: ServerConfiguration
    /// The HTTP server's limits.
    public var http = HTTPConfiguration()
    /// How transient failures are tried again.
    public var retry = RetryConfiguration()
    /// Who may use the API.
    public var auth = AuthConfiguration()
    /// Limits of uploads.
    public var uploads = UploadsConfiguration()
    /// What a worker does.
    public var worker = WorkerConfiguration()
    /// The targets in the order of the file. Ids are unique.
    public var targets: [TargetConfiguration]
    /// What is allowed but probably not meant, in words for the log.
    public var warnings: [String] = []

    static var redisKind: ValueKind<ServerURL> {
        .url("redis", "rediss", example: "redis://127.0.0.1:6379/0") { path in
            guard let path else { return true }
            return Int(path).map { (0...65_535).contains($0) } ?? false
        }
    }

    static var amqpKind: ValueKind<ServerURL> {
        .url("amqp", "amqps", example: "amqp://ferry@127.0.0.1:5672/ferry") { _ in true }
    }

    /// The configuration of an empty file, but for its targets.
    public init(redis: ServerConfiguration, amqp: ServerConfiguration, targets: [TargetConfiguration]) {
        self.redis = redis
        self.amqp = amqp
        self.targets = targets
    }

    /// The target of that id.
    public func target(_ id: String) -> TargetConfiguration? {
        targets.first { $0.id == id }
    }

    /// Reads the file at `path`, or else the one that `FERRY_CONFIG` names, with the environment over it.
    ///
    /// - Parameters:
    ///   - path: the file; takes precedence over `FERRY_CONFIG`.
    ///   - environment: variables by name; `nil` for those of the process.
    /// - Throws: `ConfigurationError` with all problems of file and environment.
    public static func load(
        path: String? = nil,
        environment: [String: String]? = nil
    ) throws(ConfigurationError) -> Self {
        let environment = environment ?? ProcessInfo.processInfo.environment
        guard let path = path ?? environment["FERRY_CONFIG"], !path.isEmpty else {
            throw ConfigurationError(
                file: "ferry.yaml",
                "expected the configuration file's path by --config or FERRY_CONFIG, found neither"
            )
        }
        let (bytes, _) = try readFile(path, limit: YAMLDocument.maximumBytes, expecting: "a configuration file")
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(file: path, "expected YAML in UTF-8, found other bytes")
        }
        return try parse(yaml: text, file: path, environment: environment)
    }

    /// Reads a configuration from text.
    ///
    /// - Parameter file: the name by which messages call the text.
    /// - Throws: `ConfigurationError` with all problems of text and environment.
    public static func parse(
        yaml: String,
        file: String = "ferry.yaml",
        environment: [String: String] = [:]
    ) throws(ConfigurationError) -> Self {
        let reader = YAMLReader(file: file, environment: environment)
        let node = try YAMLDocument.compose(yaml, file: file)
        let root = YAMLSection(node, path: "", line: nil, variablePrefix: "FERRY_", reader: reader)
        let configuration = read(from: root)
        try reader.finish()
        guard var configuration else {
            throw ConfigurationError(file: file, "expected a usable configuration")
        }
        configuration.warnings += EnvironmentVariables.warnings(of: environment, known: reader.knownVariables)
        return configuration
    }
}

/// The variables whose names begin with FERRY_.
enum EnvironmentVariables {
    /// Those that are not overrides of the configuration: the client's, and logging's.
    private static let others: Set<String> = [
        "FERRY_URL", "FERRY_TOKEN", "FERRY_CONFIG", "FERRY_LOG_LEVEL", "FERRY_LOG_FORMAT",
    ]

    /// One sentence for each variable that looks like an override and is none. Values are not shown.
    static func warnings(of environment: [String: String], known: Set<String>) -> [String] {
        let unknown = environment.keys.filter { name in
            name.hasPrefix("FERRY_") && !known.contains(name) && !others.contains(name)
                && !name.hasPrefix("FERRY_TOKEN_")
        }
        return unknown.sorted().map { name in
            let hint = closest(to: name, among: known.union(others).sorted()).map { "; did you mean \($0)?" } ?? ""
            return "environment variable \(quoted(name)) overrides no key of the configuration and is ignored\(hint)"
        }
    }
}
