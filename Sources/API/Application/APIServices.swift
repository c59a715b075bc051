// APIServices: everything that the routes work with, handed in from outside, so that tests run on fakes.

import Core

/// The dependencies of the HTTP interface.
struct APIServices: Sendable {
    /// The use cases.
    var intake: UploadIntake
    /// The index, for questions that are no use cases.
    var store: any UploadStore
    /// Staging, for readiness.
    var staging: any Staging
    /// The broker, for depths and readiness.
    var queue: any JobQueue
    /// The configured targets, in the configuration's order.
    var targets: [TargetID]
    /// Where each target's root lies on it, for the interfaces that name files by absolute paths.
    var roots: [TargetID: TargetRoot]
    /// What is assumed of their chunks.
    var chunks = ChunkAssumptions()
    /// Who asks.
    var authenticator: Authenticator
    /// Origins whose pages may use the interface with tokens.
    var allowedOrigins: Set<String> = []
    /// What makes a file smaller for its way (gzip, RFC 1952); nil where it cannot.
    var compress: @Sendable ([UInt8]) -> [UInt8]?
    /// The events.
    var hub: EventHub
    /// What is counted.
    var metrics: RequestMetrics
    /// All metrics of the process in Prometheus' text format.
    var renderMetrics: @Sendable () -> String
}
