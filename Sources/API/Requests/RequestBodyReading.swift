// Reading of request bodies: lengths, encodings, JSON up to a bound, and bytes streamed into a part.

import Core
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import NIOHTTP1

/// Bytes of a body as the domain takes them: a window on NIO's buffer, nothing copied.
struct BodyChunk: ByteChunk {
    let buffer: ByteBuffer

    var count: Int { buffer.readableBytes }

    func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try buffer.withUnsafeReadableBytes(body)
    }
}

extension Request {
    /// The length that the request announces, at most `limit` bytes.
    func announcedLength(limit: Int64) throws(Problem) -> Int64 {
        let values = headers[values: .contentLength]
        guard let text = values.first else {
            throw Problem(.lengthRequired, "send Content-Length; the body's bytes are staged as they come")
        }
        guard values.count == 1, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), !text.isEmpty else {
            throw Problem(.malformedRequest, "Content-Length is not a number")
        }
        guard let length = Int64(text), length <= limit else {
            throw Problem(.tooLarge, "at most \(limit) bytes are accepted here", fields: ["limit": .number(limit)])
        }
        return length
    }

    /// Refuses bodies that would have to be decoded first: what is staged is what was sent.
    func refuseContentEncoding() throws(Problem) {
        for value in headers[values: .contentEncoding] where value.lowercased() != "identity" {
            throw Problem(.unsupportedEncoding, "send the bytes as they are, without Content-Encoding")
        }
    }

    /// A body of at most 256 KiB, held whole: a document, or a form without a file.
    func smallBody(_ scope: RequestScope) async throws(Problem) -> ByteBuffer {
        try refuseContentEncoding()
        let limit = JSON.maximumBody
        if headers[values: .contentLength].first != nil { _ = try announcedLength(limit: Int64(limit)) }
        scope.expectBody(of: self)
        do {
            return try await body.collect(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw Problem(
                .tooLarge,
                "at most \(limit) bytes are accepted here",
                fields: ["limit": .number(Int64(limit))]
            )
        } catch {
            throw Self.bodyProblem(error)
        }
    }

    /// A body of an announced length, held whole.
    func collect(_ length: Int64, _ scope: RequestScope) async throws(Problem) -> ByteBuffer {
        scope.expectBody(of: self)
        do {
            let bytes = try await body.collect(upTo: Int(length))
            scope.record.received(bytes: bytes.readableBytes)
            return bytes
        } catch {
            throw Self.bodyProblem(error)
        }
    }

    /// Streams the body into a part, chunk by chunk; the connection is read on only as fast as chunks are taken. When
    /// anything goes wrong, the client's leaving included, nothing of the part stays.
    func stream(into part: PartIntake, _ scope: RequestScope) async throws(Problem) -> PartIntake.Outcome {
        scope.expectBody(of: self)
        do {
            for try await buffer in body {
                scope.record.received(bytes: buffer.readableBytes)
                try await part.write(BodyChunk(buffer: buffer))
            }
        } catch {
            await part.abandon()
            if let error = error as? IntakeError { throw Problem(error) }
            throw Self.bodyProblem(error)
        }
        do { return try await part.finish() } catch { throw Problem(error) }
    }

    /// Why a body ended before its time.
    static func bodyProblem(_ error: any Error) -> Problem {
        if error is BodyTooSlow {
            return Problem(.requestTimeout, "the body came slower than the configured least rate")
        }
        return Problem(.bodyIncomplete, "the body ended before its announced length")
    }
}
