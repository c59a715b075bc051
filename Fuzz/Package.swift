// swift-tools-version: 6.2
import PackageDescription

// The fuzz targets: one program over the parsers of outside bytes, built by scripts/fuzz. It is a package of its own,
// over links to the sources, so that it needs neither the servers' dependencies nor flags that no user's build has.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
// Optimised, with what traps in a debug build still trapping; internal declarations stay visible to the targets.
let instrumented: SwiftSetting = .unsafeFlags(["-O", "-enable-testing", "-sanitize=fuzzer,address"])

func module(_ name: String, _ dependencies: [Target.Dependency], sources: [String]? = nil) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Modules/\(name)",
        sources: sources,
        swiftSettings: strict + [instrumented]
    )
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")

let package = Package(
    name: "fuzz",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    ],
    targets: [
        .systemLibrary(name: "CHiredis", path: "Modules/CHiredis", pkgConfig: "hiredis"),
        .systemLibrary(name: "CLibFuzzer", path: "Modules/CLibFuzzer"),
        module("Core", [], sources: ["Domain", "Ports", "UseCases"]),
        module("SFTP", [nioCore], sources: ["Codec", "FileAttributes.swift", "SFTPError.swift"]),
        module(
            "Redis",
            ["CHiredis", nioCore],
            sources: [
                "RESPBuilder.swift", "RESPDecoder.swift", "RESPEncoder.swift", "RESPValue.swift", "RedisArgument.swift",
                "RedisConfiguration.swift", "RedisError.swift", "RedisURL.swift",
            ]
        ),
        module(
            "Adapters",
            ["Core"],
            sources: [
                "AMQP/EventMessage.swift", "AMQP/JobMessage.swift", "AMQP/MessageJSON.swift", "Staging/EntryName.swift",
            ]
        ),
        module("Service", [], sources: ["Configuration/Glob.swift", "Configuration/Units.swift"]),
        module("CLI", [nioCore], sources: ["Client/EventStreamParser.swift"]),
        module("API", ["Core", httpTypes]),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "API", "Adapters", "CLI", "CLibFuzzer", "Core", "Redis", "SFTP", "Service", nioCore, httpTypes,
            ],
            path: "Sources",
            swiftSettings: strict + [instrumented, .unsafeFlags(["-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]
        ),
    ],
    swiftLanguageModes: [.v6]
)
