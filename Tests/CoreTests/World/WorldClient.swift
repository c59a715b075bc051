// A client of a world: sends files as a real one does, again and again until it is told yes or no.

import Core
import CoreTesting
import Testing

/// Sends files through one API process.
struct WorldClient: Sendable {
    let world: World
    let api: WorldProcess
    var principal = World.owner
    /// What the files that it creates are to have.
    var attributes = FinalAttributes()

    /// Creates an upload.
    func create(
        _ text: String,
        size: Int64?,
        digest: SHA256Digest? = nil,
        overwrite: Overwrite = .never,
        fingerprint: String? = nil,
        key: String? = nil,
        probes: Bool = false
    ) async throws(IntakeError) -> Creation {
        try await api.intake.create(
            CreateRequest(
                target: "t",
                path: text,
                size: size,
                partSize: 4_096,
                digest: digest,
                overwrite: overwrite,
                fingerprint: fingerprint,
                attributes: attributes,
                idempotencyKey: key,
                probes: probes
            ),
            for: principal
        )
    }

    /// Sends a small file with the request that creates its upload; nil where something is in the way.
    func submit(
        _ file: [UInt8],
        to text: String,
        digest: SHA256Digest? = nil,
        overwrite: Overwrite = .never,
        key: String? = nil
    ) async throws(IntakeError) -> Upload? {
        try await api.intake.submit(
            CreateRequest(
                target: "t",
                path: text,
                size: Int64(file.count),
                partSize: 4_096,
                digest: digest,
                overwrite: overwrite,
                attributes: attributes,
                idempotencyKey: key,
                probes: false,
                isWhole: true
            ),
            Bytes(file),
            for: principal
        )
    }

    /// Sends one part.
    @discardableResult
    func put(
        _ number: Int64,
        of id: UploadID,
        _ bytes: some Collection<UInt8>,
        digest: SHA256Digest? = nil
    ) async throws(IntakeError) -> PartIntake.Outcome {
        let place = try await api.intake.place(
            number,
            of: id,
            length: Int64(bytes.count),
            digest: digest,
            for: principal
        )
        // As the API does, with another bound: some come whole, most piece by piece.
        if bytes.count < 2_048 { return try await api.intake.storePart(Bytes(bytes), at: place) }
        let part = try await api.intake.beginPart(at: place)
        try await part.write(Bytes(bytes))
        return try await part.finish()
    }

    /// Does something again until it is not merely unavailable.
    func insist<Value>(_ request: () async throws(IntakeError) -> Value) async throws -> Value {
        for _ in 0..<100 {
            do throws(IntakeError) { return try await request() } catch {
                guard case .unavailable(_, let pause) = error else { throw error }
                try await world.clock.sleep(pause)
            }
        }
        throw WorldError.stuck("a client waited too long")
    }

    /// The parts of a file, numbered from 1.
    static func parts(of file: [UInt8]) -> [(number: Int64, bytes: ArraySlice<UInt8>)] {
        stride(from: 0, to: file.count, by: 4_096).enumerated().map { index, start in
            (Int64(index + 1), file[start..<min(start + 4_096, file.count)])
        }
    }

    /// Sends a whole file; `between` is awaited before each request.
    @discardableResult
    func send(
        _ file: [UInt8],
        to text: String,
        overwrite: Overwrite = .never,
        declares: Bool = true,
        isSized: Bool = true,
        between: (Int) async throws -> Void = { _ in }
    ) async throws -> UploadID {
        try await between(0)
        let id = try await insist { () throws(IntakeError) in
            try await create(
                text,
                size: isSized ? Int64(file.count) : nil,
                digest: declares ? World.digest(file) : nil,
                overwrite: overwrite,
                key: "send \(text)"
            )
        }.upload.id
        let parts = Self.parts(of: file)
        for (number, bytes) in parts {
            try await between(Int(number))
            _ = try await insist { () throws(IntakeError) in try await put(number, of: id, bytes) }
        }
        try await between(parts.count + 1)
        _ = try await insist { () throws(IntakeError) in
            try await api.intake.complete(id, digest: nil, for: principal)
        }
        return id
    }
}

extension World {
    /// A client at a new API process.
    func client(_ principal: Principal = World.owner) async throws -> WorldClient {
        WorldClient(world: self, api: try await process("api"), principal: principal)
    }

    /// Lets a janitor look for what was made late: a merge that streams begins a file, and may do so after the end.
    func sweep() async throws {
        startJanitor()
        try await clock.sleep(.seconds(130))
    }

    /// Holds that a file has what its client asked for.
    func expectAttributes(
        _ attributes: FinalAttributes,
        at text: String,
        _ comment: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let file = target.files[path(text)]
        #expect(file?.mode == attributes.mode ?? .standard, "\(comment)", sourceLocation: sourceLocation)
        if let time = attributes.modifiedAt {
            #expect(file?.modified == time.seconds, "\(comment)", sourceLocation: sourceLocation)
        }
    }

    /// Holds that an upload has arrived whole, in one rename, and left nothing.
    func expectArrived(
        _ id: UploadID,
        _ file: [UInt8],
        at text: String,
        _ comment: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let upload = server.index.uploads.first { $0.id == id }
        let isWhole = target.files[path(text)]?.bytes == file
        let renames = target.renames.count { $0 == path(text) }
        let left = try await leftovers()
        #expect(upload?.state == .done, "\(comment)", sourceLocation: sourceLocation)
        #expect(isWhole, "\(comment): the file is not whole", sourceLocation: sourceLocation)
        #expect(renames == 1, "\(comment)", sourceLocation: sourceLocation)
        #expect(left == [], "\(comment)", sourceLocation: sourceLocation)
    }
}
