// ChunkReception: a chunk's form, taken apart while it comes; the chunk's bytes go straight into staging.

import Core
import Hummingbird
import HummingbirdCore
import NIOCore

/// Receives one form of `file_chunk_upload`: the fields, then `file_info` as the last part. Whoever begins one ends it by
/// `finish` or `abandon`.
struct ChunkReception {
    /// The chunk that is on its way into staging.
    private struct Chunk {
        let intake: PartIntake
        let upload: UploadID
        let file: FileAddress
        let binding: CompatibilityRoutes.Binding
        let number: Int64
        let length: Int64
        var received: Int64 = 0
    }

    private let routes: CompatibilityRoutes
    private let query: FormFields
    private let bodyLength: Int64
    private var parser: MultipartParser
    private var collector: FieldCollector
    private var chunk: Chunk?

    init(_ routes: CompatibilityRoutes, query: FormFields, boundary: [UInt8], bodyLength: Int64) {
        self.routes = routes
        self.query = query
        self.bodyLength = bodyLength
        parser = MultipartParser(boundary: boundary)
        collector = FieldCollector(delimiter: parser.delimiter)
    }

    /// What the request said up to now.
    var fields: FormFields {
        var fields = collector.fields
        // Contradictions are told of before the chunk is begun.
        try? fields.merge(query)
        return fields
    }

    /// Takes the next piece of the body.
    mutating func take(_ piece: ByteBuffer) async throws {
        let events = try piece.withUnsafeReadableBytes { bytes throws(FormError) in try parser.take(bytes) }
        for event in events {
            switch event {
            case .part(let header, let offset):
                // How long the chunk is, is known by what follows it: nothing but the last boundary.
                guard chunk == nil else {
                    throw Problem.invalid("file_info", "must be the form's last part; put the fields before it")
                }
                if header.name.elementsEqual("file_info".utf8) {
                    chunk = try await begin(length: bodyLength - offset - parser.tailLength)
                } else {
                    collector.begin(header.name)
                }
            case .held(let count) where chunk != nil:
                try await write(ByteBuffer(bytes: parser.delimiter.prefix(count)))
            case .content(let range) where chunk != nil:
                guard let slice = piece.getSlice(at: piece.readerIndex + range.lowerBound, length: range.count) else {
                    throw IntakeError.internal("a piece of a form is shorter than it was")
                }
                try await write(slice)
            case .held, .content, .endOfPart, .end:
                try collector.take(event, in: piece)
            }
        }
    }

    /// Makes the chunk durable; answers its file, number, and whether the same bytes were there before.
    mutating func finish() async throws -> (file: FileAddress, number: Int64, isNew: Bool) {
        try parser.finish()
        guard let chunk else { throw Problem.invalid("file_info", "is required") }
        guard chunk.received == chunk.length else { throw Self.tail }
        let outcome: PartIntake.Outcome
        do throws(IntakeError) {
            outcome = try await chunk.intake.finish()
        } catch {
            throw await ended(chunk, error)
        }
        let isNew = if case .stored = outcome { true } else { false }
        return (chunk.file, chunk.number, isNew)
    }

    /// Removes every trace of a chunk that did not come whole. Harmless after `finish`.
    func abandon() async { await chunk?.intake.abandon() }

    private mutating func write(_ bytes: ByteBuffer) async throws {
        guard let begun = chunk else { return }
        let received = begun.received + Int64(bytes.readableBytes)
        guard received <= begun.length else { throw Self.tail }
        chunk?.received = received
        try await begun.intake.write(BodyChunk(buffer: bytes))
    }

    private static var tail: FormError {
        .malformed("the form does not end with its last boundary, two hyphens and CR LF right after file_info")
    }

    /// Finds the upload, and begins the part.
    private func begin(length: Int64) async throws -> Chunk {
        var fields = collector.fields
        try fields.merge(query)
        let form = CompatibilityForm(fields: fields)
        let file = try routes.address(form)
        guard let number = try form.number("chunk_num", in: 1...PartLayout.maximumParts) else {
            throw Problem.invalid("chunk_num", "is required")
        }
        guard length > 0 else {
            throw Problem.invalid("file_info", "is empty; an empty file has no chunks, and is merged with chunk_num 0")
        }
        let binding = try routes.binding(form, file)
        let deadline = ContinuousClock.now + routes.services.chunks.patience
        // So many looks at an upload that others change at the same time; waiting has a bound of its own.
        var changes = 0
        while changes < 16 {
            let upload = try await routes.own(file, binding)
            if upload.state.isEnded { throw IntakeError.gone(upload.state) }
            switch ChunkPlacement(number: number, length: length, in: upload) {
            case .resize:
                _ = try await routes.resize(upload, length)
                changes += 1
                continue
            case .wait where ContinuousClock.now < deadline:
                try await Task.sleep(for: .milliseconds(50))
                continue
            case .wait, .store: break
            }
            do throws(IntakeError) {
                let part = try await routes.intake.beginPart(
                    number,
                    of: upload.id,
                    length: length,
                    digest: nil,
                    for: routes.principal
                )
                return Chunk(
                    intake: part,
                    upload: upload.id,
                    file: file,
                    binding: binding,
                    number: number,
                    length: length
                )
            } catch {
                // Created anew meanwhile, with the size that another chunk told: look again.
                guard error == .notFound || error == .gone(.cancelled) else { throw error }
                changes += 1
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        throw IntakeError.unavailable("the upload keeps changing", retryAfter: .seconds(1))
    }

    /// What to tell about a chunk whose upload ended while it came: if another of the same content takes its place, that is
    /// where it belongs.
    private func ended(_ chunk: Chunk, _ error: IntakeError) async -> any Error {
        guard error == .gone(.cancelled) || error == .notFound else { return error }
        do {
            let now = try await routes.own(chunk.file, chunk.binding)
            if now.id == chunk.upload { return error }
        } catch {
            guard case IntakeError.unavailable = error else { return IntakeError.gone(.cancelled) }
        }
        return IntakeError.unavailable("the upload was created anew meanwhile", retryAfter: .seconds(1))
    }
}

extension CompatibilityRoutes {
    /// Stores a chunk: multipart/form-data, with `Content-Length`.
    func fileChunkUpload(_ request: Request, _ scope: RequestScope) async throws -> Response {
        let query = try CompatibilityForm.query(of: request)
        var reception: ChunkReception
        do {
            try request.refuseContentEncoding()
            let media = try CompatibilityForm.mediaType(of: request)
            guard media?.value == "multipart/form-data" else {
                throw Problem(.unsupportedMediaType, "send multipart/form-data: the fields, then file_info")
            }
            // What a form has beside its file is bounded too.
            let length = try request.announcedLength(limit: PartLayout.partSizes.upperBound + (1 << 20))
            let boundary = try CompatibilityForm.boundary(media)
            reception = ChunkReception(self, query: query, boundary: boundary, bodyLength: length)
        } catch {
            throw CompatibilityRefusal(cause: error, data: query["full_path"] ?? "")
        }
        scope.expectBody(of: request)
        do {
            for try await piece in request.body {
                scope.record.received(bytes: piece.readableBytes)
                try await reception.take(piece)
            }
            let (file, number, isNew) = try await reception.finish()
            return try JSON.response(
                CompatibilityDocument(
                    code: .done,
                    data: file.fullPath,
                    msg: isNew ? "the chunk is stored" : "the chunk was stored already",
                    chunkNumber: number
                )
            )
        } catch {
            await reception.abandon()
            let cause: any Error =
                switch error {
                case is Problem, is IntakeError, is FormError: error
                default: Request.bodyProblem(error)
                }
            let isTarget = if case IntakeError.targetUnknown = error { true } else { false }
            throw CompatibilityRefusal(
                cause: cause,
                data: reception.fields[isTarget ? "host_id" : "full_path"] ?? ""
            )
        }
    }
}
