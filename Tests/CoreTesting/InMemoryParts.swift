// Parts of the in-memory staging on their way in and out.

internal import Core
internal import Synchronization

/// Collects a part's bytes.
final class InMemoryPartWriter: PartWriter {
    private struct State: Sendable {
        var bytes: [UInt8] = []
        var sealed: Part?
        var isEnded = false
    }

    private let staging: InMemoryStaging
    private let id: UploadID
    private let offset: Int64
    private let size: Int64
    private let state = Mutex(State())

    init(_ staging: InMemoryStaging, _ id: UploadID, offset: Int64, size: Int64) {
        self.staging = staging
        self.id = id
        self.offset = offset
        self.size = size
    }

    func write(_ chunk: some ByteChunk) async throws(StagingError) {
        try await staging.faults.perform(.write) { () throws(StagingError) in
            let total = state.withLock { state in
                if Int64(state.bytes.count + chunk.count) <= size {
                    chunk.withUnsafeBytes { state.bytes.append(contentsOf: $0) }
                    return size
                }
                return Int64(state.bytes.count + chunk.count)
            }
            guard total == size else { throw .wrongLength(expected: size, received: total) }
        }
    }

    func seal() async throws(StagingError) -> Part {
        try await staging.faults.perform(.seal) { () throws(StagingError) in
            let bytes = state.withLock { $0.bytes }
            guard Int64(bytes.count) == size else {
                throw .wrongLength(expected: size, received: Int64(bytes.count))
            }
            let part = Part(offset: offset, size: size, digest: staging.digest(of: bytes))
            state.withLock { $0.sealed = part }
            return part
        }
    }

    func publish() async throws(StagingError) -> PublishResult {
        let result = try await staging.faults.perform(.publish) { () throws(StagingError) in
            let (sealed, bytes, isEnded) = state.withLock { ($0.sealed, $0.bytes, $0.isEnded) }
            guard let part = sealed, !isEnded else { throw .failed("publish a part that is not sealed") }
            return try staging.publish(.init(part: part, bytes: bytes), of: id)
        }
        await discard()
        return result
    }

    func discard() async {
        let isFirst = state.withLock { state in
            defer { state.isEnded = true }
            return !state.isEnded
        }
        if isFirst { staging.end(id, size: size) }
    }
}

/// Reads a part as it was when it was opened.
final class InMemoryPartReader: PartReader {
    private let staging: InMemoryStaging
    private let stored: InMemoryStaging.StoredPart

    init(_ staging: InMemoryStaging, _ stored: InMemoryStaging.StoredPart) {
        self.staging = staging
        self.stored = stored
    }

    var part: Part { stored.part }

    func read(at position: Int64, count: Int) async throws(StagingError) -> any ByteChunk {
        try await staging.faults.perform(.readPart) { () throws(StagingError) in
            guard position >= 0, position <= part.size, count >= 0 else {
                throw .failed("read \(count) bytes at \(position): outside the part")
            }
            return Bytes(stored.bytes.dropFirst(Int(position)).prefix(count))
        }
    }

    func isIntact() async throws(StagingError) -> Bool {
        try await staging.faults.perform(.isIntact) { staging.isIntact(stored) }
    }

    func close() async {}
}
