// The steps of an upload's life, for tests that begin somewhere in the middle of it.

import Core
import CoreTesting
import Testing

func target(_ name: String = "web-1") -> TargetID { wellFormed(TargetID(name)) }

/// A constant of a test.
private func wellFormed<Value>(_ value: Value?) -> Value {
    guard let value else { preconditionFailure("a test's constant is malformed") }
    return value
}

func part(_ offset: Int64, _ size: Int64 = 10, seed: UInt8 = 1) -> Part {
    Part(offset: offset, size: size, digest: digest(seed &+ UInt8(truncatingIfNeeded: offset)))
}

func digest(_ seed: UInt8) -> SHA256Digest {
    wellFormed(SHA256Digest(bytes: (0..<32).map { seed &+ $0 &* 7 }))
}

func uploadID() -> UploadID { UploadID(high: .random(in: 0...UInt64.max), low: .random(in: 0...UInt64.max)) }

/// What an applied change answers.
func applied<Refusal>(
    _ change: Change<Refusal>,
    _ location: SourceLocation = #_sourceLocation
) throws -> (upload: Upload, entries: [OutboxEntry]) {
    guard case .applied(let upload, let entries) = change else {
        Issue.record("not applied: \(change)", sourceLocation: location)
        throw NotApplied()
    }
    return (upload, entries)
}

struct NotApplied: Error {}

/// Why a change was refused; nil if it was not.
func refusal<Refusal>(_ change: Change<Refusal>) -> Refusal? {
    guard case .refused(let refusal) = change else { return nil }
    return refusal
}

extension Timestamp {
    /// Whether two times are as close as the clocks of a test and a server on one machine.
    func isNear(_ other: Timestamp) -> Bool { abs(microseconds - other.microseconds) < 2_000_000 }
}

extension IndexUnderTest {
    func record(
        id: UploadID = uploadID(),
        owner: String = "alice",
        target name: String = "web-1",
        path: String? = nil,
        _ uploadProtocol: UploadProtocol = .native,
        size: Int64? = 30,
        digest: SHA256Digest? = nil,
        key: String? = nil,
        metadata: [String: String] = [:],
        createdAt: Timestamp? = nil,
        lifetime: Duration = .seconds(3_600)
    ) throws -> UploadRecord {
        let createdAt = createdAt ?? now()
        return UploadRecord(
            id: id,
            owner: try #require(Owner(owner)),
            target: target(name),
            path: try TargetPath(path ?? "files/\(id)"),
            uploadProtocol: uploadProtocol,
            size: size,
            partSize: 10,
            digest: digest,
            metadata: metadata,
            idempotencyKey: key,
            createdAt: createdAt,
            expiresAt: createdAt + lifetime
        )
    }

    @discardableResult
    func created(_ record: UploadRecord) async throws -> Upload {
        guard case .created(let upload) = try await store.create(record) else { throw NotApplied() }
        return upload
    }

    /// An upload whose parts are in staging.
    func received(_ record: UploadRecord, _ parts: [Part]) async throws -> Upload {
        var upload = try await created(record)
        for part in parts { upload = try applied(try await store.receive(part, of: record.id)).upload }
        return upload
    }

    /// A new upload of three parts, all in staging.
    func received() async throws -> Upload {
        try await received(try record(), [part(0), part(10), part(20)])
    }

    /// A new upload of three parts that was asked to end.
    func completed() async throws -> Upload {
        let upload = try await received()
        return try applied(try await store.complete(upload.id, size: 30, digest: nil)).upload
    }

    @discardableResult
    func begun(
        _ id: UploadID,
        replacing previous: Generation? = nil,
        by strategy: MergeStrategy = .inPlace
    ) async throws -> Generation {
        let next = try #require(try await store.nextGeneration(of: id))
        _ = try applied(
            try await store.startGeneration(next.generation, of: id, replacing: previous, by: strategy)
        )
        return next.generation
    }

    func ship(_ id: UploadID, _ offsets: [Int64], in generation: Generation) async throws -> Upload? {
        var upload: Upload?
        for offset in offsets {
            let change = try await store.shipped(offset: offset, of: id, in: generation, verification: .digest)
            upload = try applied(change).upload
        }
        return upload
    }

    /// A new upload of three parts that waits for its merge.
    func merging(by strategy: MergeStrategy = .inPlace) async throws -> Upload {
        let upload = try await completed()
        let generation = try await begun(upload.id, by: strategy)
        return try #require(try await ship(upload.id, [0, 10, 20], in: generation))
    }

    func claimed(_ id: UploadID, by holder: String = "w1", for duration: Duration = .seconds(60)) async throws -> Fence
    {
        let claim = try applied(try await store.claim(id, holder: holder, for: duration))
        return try #require(claim.upload.fence)
    }

    /// A new upload whose rename may have happened.
    func committing() async throws -> (upload: Upload, fence: Fence) {
        let upload = try await merging()
        let fence = try await claimed(upload.id)
        let change = try await store.beginCommit(
            upload.id,
            fence: fence,
            generation: try #require(upload.generation),
            finalFile: finalFile
        )
        return (try applied(change).upload, fence)
    }

    var finalFile: FinalFile { FinalFile(size: 30, digest: nil, modified: 1_790_000_000) }

    func done() async throws -> Upload {
        let (upload, fence) = try await committing()
        return try applied(try await store.finish(upload.id, fence: fence, atomic: true)).upload
    }

    func failed(_ reason: FailureReason = .permissionDenied) async throws -> Upload {
        let upload = try await received()
        let failure = Failure(reason, "no")
        return try applied(try await store.fail(upload.id, fence: nil, failure: failure)).upload
    }
}
