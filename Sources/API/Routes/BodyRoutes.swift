// BodyRoutes: the two routes that take a file's bytes: one part, or a small file in one request.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore

/// `PUT` of parts and of whole files.
struct BodyRoutes {
    let services: APIServices
    let principal: Principal

    private var intake: UploadIntake { services.intake }

    func putPart(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let id = try scope.uploadID()
        // One name for each part: no sign, no leading zero.
        guard let text = scope.parameters.get("number"), let number = Int64(text), String(number) == text else {
            throw Problem.invalid("number", "is no part number")
        }
        try request.refuseContentEncoding()
        let length = try request.announcedLength(limit: PartLayout.partSizes.upperBound)
        let digest = try ContentDigest.sha256(in: request.headers)
        let place = try await intake.place(number, of: id, length: length, digest: digest, for: principal)
        switch try await send(request, to: place, scope) {
        case .stored(let part): return try JSON.response(PartDocument(part, number: number), status: .created)
        case .alreadyStored(let part): return try JSON.response(PartDocument(part, number: number), status: .ok)
        }
    }

    /// The body of a part; a small one is held until it is there, unless the client waits to hear that there is room.
    private func send(
        _ request: Request,
        to place: PartPlace,
        _ scope: RequestScope
    ) async throws -> PartIntake.Outcome {
        guard place.length <= PartPlace.small, request.headers[.expect] == nil else {
            return try await request.stream(into: try await intake.beginPart(at: place), scope)
        }
        let bytes = BodyChunk(buffer: try await request.collect(place.length, scope))
        return try await intake.storePart(bytes, at: place)
    }

    func putFile(_ request: Request, _ scope: RequestScope) async throws -> Response {
        try request.refuseContentEncoding()
        let length = try request.announcedLength(limit: PartLayout.partSizes.upperBound)
        let digest = try ContentDigest.sha256(in: request.headers)
        let (target, path) = try Self.place(request.uri.path)
        if length == 0, let digest, let empty = services.authenticator.sha256([]), digest != empty {
            throw Problem(IntakeError.digestMismatch(declared: digest, received: empty))
        }
        let wanted = CreateRequest(
            target: target,
            path: path,
            size: length,
            partSize: max(PartLayout.partSizes.lowerBound, length),
            digest: digest,
            overwrite: try Self.overwrite(request.headers),
            attributes: try FinalAttributes(
                mode: (request.headers[values: .mode].first, "Mode"),
                modifiedAt: (request.headers[values: .modifiedAt].first, "Modified-At")
            ),
            idempotencyKey: request.headers[values: .idempotencyKey].first,
            probes: false,
            isWhole: true
        )
        guard 1...MergeUpload.largestWhole ~= length else {
            return try await putFile(wanted, length, digest) { part in try await request.stream(into: part, scope) }
        }
        let bytes = BodyChunk(buffer: try await request.collect(length, scope))
        let (intake, principal) = (intake, principal)
        let taken = try await Task { () async throws(IntakeError) in
            try await intake.submit(wanted, bytes, for: principal)
        }.value
        if let taken { return try Self.accepted(taken) }
        return try await putFile(wanted, length, digest) { part in
            do throws(IntakeError) { try await part.write(bytes) } catch {
                await part.abandon()
                throw Problem(error)
            }
            return try await part.finish()
        }
    }

    /// Takes a file in the steps that any other takes; `send` gives its bytes.
    private func putFile(
        _ wanted: CreateRequest,
        _ length: Int64,
        _ digest: SHA256Digest?,
        _ send: (PartIntake) async throws -> PartIntake.Outcome
    ) async throws -> Response {
        let creation = try await intake.create(wanted, for: principal)
        var upload = creation.upload
        if upload.state == .receiving {
            // Begun part by part; it is finished that way, or cancelled first.
            guard upload.record.layout.count ?? 0 <= 1 else {
                throw Problem(IntakeError.differentContent(upload.id))
            }
            do {
                upload = try await fill(upload, length, digest, send)
            } catch {
                if case .created = creation { await takeBack(upload) }
                throw error
            }
        }
        return try Self.accepted(upload)
    }

    /// Whoever is told yes has a file on its way, or there.
    private static func accepted(_ upload: Upload) throws -> Response {
        if upload.state == .cancelled || upload.state == .expired { throw Problem(IntakeError.gone(upload.state)) }
        return try JSON.response(UploadDocument(upload), status: .accepted, headers: [.location: upload.location])
    }

    private func fill(
        _ upload: Upload,
        _ length: Int64,
        _ digest: SHA256Digest?,
        _ send: (PartIntake) async throws -> PartIntake.Outcome
    ) async throws -> Upload {
        if length > 0 {
            let part = try await intake.beginPart(1, of: upload.id, length: length, digest: digest, for: principal)
            _ = try await send(part)
        }
        return try await intake.complete(upload.id, digest: digest, for: principal)
    }

    /// Takes an upload back that nobody was told of, even when the request's own task is being cancelled. One that
    /// another request for the same file has sent anything for stays. Where it does not work, the upload expires.
    private func takeBack(_ upload: Upload) async {
        let (intake, principal) = (intake, principal)
        await Task { _ = try? await intake.takeBack(upload, for: principal) }.value
    }

    /// Target and path of `/v1/files/{target}/{path…}`, from the path as it was sent: the router joins slashes, and a
    /// path with an empty component must be seen, not mended.
    static func place(_ path: String) throws(Problem) -> (target: String, path: String) {
        let prefix = "/v1/files/"
        guard path.hasPrefix(prefix) else { throw Problem(.routeUnknown, "see /openapi.yaml for what there is") }
        let rest = path.dropFirst(prefix.count)
        guard let slash = rest.utf8.firstIndex(of: UInt8(ascii: "/")) else {
            throw Problem(.routeUnknown, "see /openapi.yaml for what there is")
        }
        let target = try PercentDecoding.decode(rest[..<slash], field: "target")
        let remainder = Substring(rest.utf8[rest.utf8.index(after: slash)...])
        return (target, try PercentDecoding.decode(remainder, field: "path"))
    }

    private static func overwrite(_ fields: HTTPFields) throws(Problem) -> Overwrite {
        guard let text = fields[values: .overwrite].first else { return .never }
        guard let value = Overwrite(rawValue: text) else { throw .invalid("Overwrite", "must be never or replace") }
        return value
    }
}
