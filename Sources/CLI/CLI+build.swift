// The command line's composition: the checks that connect to servers and targets themselves. The only file here that
// opens them.

internal import Adapters
internal import Assembly
internal import Core
internal import Logging
internal import NIOCore
internal import Service

/// Connects to every configured target from here.
func probeTargets(_ configuration: FerryConfiguration) async throws -> TargetsView {
    var targets: [TargetsView.Target] = []
    for configured in configuration.targets {
        let target = SFTPTarget(configured, logger: quiet)
        var view = TargetsView.Target(id: configured.id, reachable: true, facts: [:], error: nil, seenAt: nil)
        do throws(TargetError) {
            view.facts = try await target.inspect()
        } catch {
            view.reachable = false
            view.error = error.detail
        }
        await target.shutdown()
        targets.append(view)
    }
    return TargetsView(targets: targets)
}

/// Looks at everything that Ferry needs.
func examine(_ configuration: FerryConfiguration) async throws -> [Finding] {
    var findings = [
        Finding(
            subject: "configuration",
            ok: true,
            detail: "\(configuration.targets.count) \(configuration.targets.count == 1 ? "target" : "targets")"
                + configuration.warnings.map { "; \($0)" }.joined()
        )
    ]
    let options: Backend.Options
    do { options = try configuration.backend(name: doctor) } catch {
        findings[0] = Finding(subject: "configuration", ok: false, detail: words(for: error))
        return findings + (try await targetFindings(configuration))
    }
    let backend: Backend
    do throws(StagingError) {
        backend = try await Backend.open(options, logger: quiet)
        let space = try await backend.staging.space()
        findings.append(
            Finding(
                subject: "staging",
                ok: true,
                detail:
                    "\(configuration.staging.path): \(Units.bytes(space.used)) used, \(Units.bytes(space.free)) free"
            )
        )
    } catch {
        findings.append(Finding(subject: "staging", ok: false, detail: "\(configuration.staging.path): \(error)"))
        return findings + (try await targetFindings(configuration))
    }
    let running = Task { try await backend.run() }
    findings.append(await redisFinding(backend))
    findings.append(await brokerFinding(backend))
    findings += await strandedFinding(backend, configuration)
    running.cancel()
    _ = await running.result
    return findings + (try await targetFindings(configuration))
}

/// Reads all of staging into the index, in turn with any other process that is at it.
func rebuildIndex(_ configuration: FerryConfiguration) async -> Finding {
    do {
        let backend = try await Backend.open(try configuration.backend(name: doctor), logger: quiet)
        let running = Task { try await backend.run() }
        defer { running.cancel() }
        let count = try await backend.rebuildIndex(within: .seconds(600))
        return Finding(subject: "index", ok: true, detail: "read from staging: \(count) uploads")
    } catch {
        return Finding(subject: "index", ok: false, detail: "not read from staging: \(words(for: error))")
    }
}

/// What it calls itself towards the servers.
private let doctor = "ferry-doctor"

private func redisFinding(_ backend: Backend) async -> Finding {
    do throws(StoreError) {
        return Finding(subject: "redis", ok: true, detail: "Redis \(try await backend.indexVersion())")
    } catch {
        return Finding(subject: "redis", ok: false, detail: "\(error)")
    }
}

private func brokerFinding(_ backend: Backend) async -> Finding {
    do {
        try await backend.queue.waitUntilConnected(within: .seconds(10))
        return Finding(subject: "rabbitmq", ok: true, detail: "connected, queues declared")
    } catch {
        return Finding(subject: "rabbitmq", ok: false, detail: words(for: error))
    }
}

/// Uploads that stand because their target is not in the configuration any more; nothing where there are none.
private func strandedFinding(_ backend: Backend, _ configuration: FerryConfiguration) async -> [Finding] {
    let configured = Set(configuration.targets.map(\.id))
    var stranded: [String: Int] = [:]
    for var query in UploadQuery.unended(limit: 1_000) {
        for _ in 0..<100 {
            let page: UploadPage
            do { page = try await backend.store.uploads(query) } catch {
                return [Finding(subject: "uploads", ok: false, detail: "cannot be listed: \(error)")]
            }
            for upload in page.uploads where !configured.contains(upload.record.target.description) {
                stranded[upload.record.target.description, default: 0] += 1
            }
            query.cursor = page.next
            if page.next == nil { break }
        }
    }
    guard !stranded.isEmpty else { return [] }
    let counts = stranded.sorted { $0.key < $1.key }.map { "\($0.value) to \($0.key)" }.joined(separator: ", ")
    let detail = "\(counts): not in the configuration; add the target again, or discard them"
    return [Finding(subject: "uploads", ok: false, detail: detail)]
}

private func targetFindings(_ configuration: FerryConfiguration) async throws -> [Finding] {
    try await probeTargets(configuration).targets.map { target in
        let server = target.facts["server"] ?? "unknown server"
        let free = target.facts["freeBytes"].flatMap { Int64($0) }.map { ", \(Units.bytes($0)) free" } ?? ""
        return Finding(
            subject: "target \(target.id)",
            ok: target.reachable == true,
            detail: target.error
                ?? "\(server), merge \(target.facts["merge"] ?? "?"), verify \(target.facts["verify"] ?? "?")\(free)"
        )
    }
}

/// What goes wrong is a finding; nothing of it belongs on the terminal twice.
private let quiet = Logger(label: "ferry.doctor") { _ in SwiftLogNoOpLogHandler() }

// MARK: Digests

/// The SHA-256 of what is read from a file, piece by piece. One value belongs to one task at a time.
final class FileDigest {
    private let hasher: SHA256Hasher

    init() throws { hasher = try SHA256Hasher() }

    func take(_ piece: ByteBuffer) throws { try piece.withUnsafeReadableBytes { try hasher.update($0) } }

    func finish() throws -> SHA256Digest { try hasher.finish() }

    static func of(_ text: String) throws -> SHA256Digest {
        let digest = try FileDigest()
        try digest.take(ByteBuffer(string: text))
        return try digest.finish()
    }
}
