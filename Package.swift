// swift-tools-version: 6.2
import PackageDescription

// One settings block for every target. Warnings are errors where CI says so, so that a newer
// compiler's new warning never stops a user's build.
let strict: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])

func shared(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Sources/Shared/\(name)",
        resources: resources,
        swiftSettings: strict
    )
}

func library(_ name: String, pkgConfig: String) -> Target {
    .systemLibrary(name: name, path: "Sources/Shared/\(name)", pkgConfig: pkgConfig)
}

func program(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        path: "Sources/\(name)",
        resources: resources,
        swiftSettings: strict
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}

extension Target.Dependency {
    static let nioCore = Self.product(name: "NIOCore", package: "swift-nio")
    static let nioPosix = Self.product(name: "NIOPosix", package: "swift-nio")
    static let nioConcurrency = Self.product(name: "NIOConcurrencyHelpers", package: "swift-nio")
    static let nioEmbedded = Self.product(name: "NIOEmbedded", package: "swift-nio")
    static let nioSSL = Self.product(name: "NIOSSL", package: "swift-nio-ssl")
    static let nioHTTP1 = Self.product(name: "NIOHTTP1", package: "swift-nio")
    static let nioFoundation = Self.product(name: "NIOFoundationCompat", package: "swift-nio")
    static let nioHTTPTypes = Self.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
    static let nioHTTPTypesHTTP1 = Self.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
    static let httpTypes = Self.product(name: "HTTPTypes", package: "swift-http-types")
    static let collections = Self.product(name: "DequeModule", package: "swift-collections")
    static let logging = Self.product(name: "Logging", package: "swift-log")
    static let metrics = Self.product(name: "Metrics", package: "swift-metrics")
    static let coreMetrics = Self.product(name: "CoreMetrics", package: "swift-metrics")
    static let lifecycle = Self.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
    static let unixSignals = Self.product(name: "UnixSignals", package: "swift-service-lifecycle")
    static let yams = Self.product(name: "Yams", package: "Yams")
    static let hummingbird = Self.product(name: "Hummingbird", package: "hummingbird")
    static let hummingbirdCore = Self.product(name: "HummingbirdCore", package: "hummingbird")
    static let hummingbirdTLS = Self.product(name: "HummingbirdTLS", package: "hummingbird")
    static let httpClient = Self.product(name: "AsyncHTTPClient", package: "async-http-client")
    static let arguments = Self.product(name: "ArgumentParser", package: "swift-argument-parser")
}

let package = Package(
    name: "ferry",
    products: [
        .executable(name: "ferry-api", targets: ["API"]),
        .executable(name: "ferry-worker", targets: ["Worker"]),
        .executable(name: "ferry", targets: ["CLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        library("CHiredis", pkgConfig: "hiredis"),
        library("CRabbitMQ", pkgConfig: "librabbitmq"),
        library("CLibSSH2", pkgConfig: "libssh2"),
        library("COpenSSL", pkgConfig: "libcrypto"),
        library("CZlib", pkgConfig: "zlib"),
        // Ours, not the system's: an OpenSSL provider can only be written in C.
        .target(
            name: "CReadAheadCTR",
            dependencies: ["COpenSSL"],
            path: "Sources/Shared/CReadAheadCTR",
            linkerSettings: [.linkedLibrary("crypto")]
        ),

        shared("Core", []),
        shared("Redis", ["CHiredis", .nioCore, .nioPosix, .nioSSL, .logging, .collections]),
        shared("AMQP", ["CRabbitMQ", .logging, .collections]),
        .target(name: "CChildProcess", path: "Sources/Shared/CChildProcess"),
        shared("SFTP", ["CLibSSH2", "CReadAheadCTR", "CChildProcess", .nioCore, .logging, .collections]),
        shared(
            "Adapters",
            [
                "Core", "Redis", "AMQP", "SFTP", "COpenSSL", "CZlib", .nioCore, .nioPosix, .logging, .collections,
            ],
            resources: [.embedInCode("Scripts"), .embedInCode("Programs")]
        ),
        shared("Service", [.yams, .logging, .coreMetrics, .lifecycle, .unixSignals]),
        shared("Assembly", ["Core", "Redis", "AMQP", "SFTP", "Adapters", "Service", .logging]),

        program(
            "API",
            [
                "Core", "Adapters", "Assembly", "Service", .hummingbird, .hummingbirdCore, .hummingbirdTLS, .lifecycle,
                .logging, .metrics, .arguments, .nioCore, .nioHTTP1, .nioSSL, .nioHTTPTypes, .nioHTTPTypesHTTP1,
                .httpTypes,
            ],
            resources: [.embedInCode("Resources/openapi.yaml"), .embedInCode("Resources/Page")]
        ),
        program("Worker", ["Core", "Adapters", "Assembly", "Service", .lifecycle, .logging, .metrics, .arguments]),
        program(
            "CLI",
            [
                "Core", "Adapters", "Assembly", "Service", .httpClient, .arguments, .nioCore, .nioPosix, .nioHTTP1,
                .nioFoundation, .logging,
            ]
        ),

        .executableTarget(
            name: "ShipFile",
            dependencies: ["SFTP", .nioCore, .logging],
            path: "Benchmarks/ShipFile",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "EmptyJobs",
            dependencies: ["Core", "Redis", "AMQP", "Adapters", "Assembly", "Service", .nioPosix, .logging],
            path: "Benchmarks/EmptyJobs",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "BareConsumer",
            dependencies: ["CRabbitMQ"],
            path: "Benchmarks/BareConsumer",
            linkerSettings: [.linkedLibrary("rabbitmq")]
        ),

        .target(name: "Harness", dependencies: [], path: "Tests/Harness", swiftSettings: strict),
        .target(name: "CoreTesting", dependencies: ["Core"], path: "Tests/CoreTesting", swiftSettings: strict),
        // Lets the thread sanitizer understand the standard library's mutex; empty in every other build.
        .target(name: "Sanitizing", path: "Tests/Sanitizing", exclude: ["leaks.txt", "races.txt"]),
        tests("HarnessTests", ["Harness", "Sanitizing"]),
        tests("CoreTests", ["Core", "CoreTesting"]),
        tests("RedisTests", ["Redis", "Harness", .nioCore, .nioPosix, .logging]),
        tests("AMQPTests", ["AMQP", "Harness", .logging]),
        tests("SFTPTests", ["SFTP", "CLibSSH2", "Harness", "COpenSSL", .nioCore, .logging]),
        tests("ServiceTests", ["Service", .logging, .coreMetrics, .lifecycle]),
        tests(
            "AdaptersTests",
            ["Adapters", "AMQP", "Core", "CoreTesting", "Harness", "Redis", "SFTP", .nioCore, .nioPosix, .logging]
        ),
        tests(
            "APITests",
            [
                "API", "Adapters", "CoreTesting", "Harness", .hummingbird, .nioCore, .nioEmbedded, .nioHTTPTypes,
                .httpTypes,
                .lifecycle, .yams, .logging,
            ]
        ),
        tests("WorkerTests", ["Core", "CoreTesting", "Harness", "Worker", .logging]),
        tests("CLITests", ["CLI", "Harness", .nioCore, .nioPosix, .nioHTTP1]),
        tests("IntegrationTests", ["Harness", .httpClient, .nioCore, .nioHTTP1]),

        .executableTarget(
            name: "Chaos",
            dependencies: ["COpenSSL", "Harness", .httpClient, .nioCore, .nioHTTP1],
            path: "Tests/Chaos",
            swiftSettings: strict
        ),
        tests("ChaosTests", ["Adapters", "Chaos", "Harness", "Redis"]),
    ],
    swiftLanguageModes: [.v6]
)
