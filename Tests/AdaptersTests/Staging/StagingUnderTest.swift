// The two stagings that the conformance suite runs on, and what a test may do to them from outside.

import Adapters
import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import Testing

/// Which implementation.
enum StagingKind: String, CaseIterable, Sendable {
    case memory
    case disk
}

/// A staging with the hands of a saboteur.
struct StagingUnderTest: Sendable {
    enum Place: Sendable {
        case memory(InMemoryStaging)
        case disk(TemporaryDirectory, DiskStaging.Options)
    }

    let staging: any Staging
    let place: Place

    init(_ kind: StagingKind, limit: Int64 = .max) async throws {
        switch kind {
        case .memory:
            let memory = InMemoryStaging(limit: limit, digest: { digest(Bytes($0)) })
            staging = memory
            place = .memory(memory)
        case .disk:
            var options = DiskStaging.Options()
            options.maximumBytes = limit
            options.threads = 4
            let directory = try TemporaryDirectory("staging")
            staging = try await DiskStaging.open(directory.path, options: options)
            place = .disk(directory, options)
        }
    }

    /// What a new process sees: the same disk, opened anew. Memory has only itself.
    func reopened() async throws -> any Staging {
        switch place {
        case .memory: staging
        case .disk(let directory, let options): try await DiskStaging.open(directory.path, options: options)
        }
    }

    /// The time by its clock.
    func now() -> Timestamp {
        switch place {
        case .memory: Timestamp(microseconds: 0)
        case .disk: Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6))
        }
    }

    /// Flips a bit of a staged part.
    func damage(_ part: Part, of id: UploadID) throws {
        switch place {
        case .memory(let memory): #expect(memory.damage(part, of: id))
        case .disk(let directory, _):
            let path = directory.path(DiskLayout.part(part, of: id))
            var content = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            content[content.count / 2] ^= 1
            try Data(content).write(to: URL(fileURLWithPath: path))
        }
    }

    /// Replaces an upload's record by one of the future.
    func makeNewer(_ id: UploadID) throws {
        switch place {
        case .memory(let memory): memory.makeUnreadable(id, "version 2")
        case .disk(let directory, _):
            try Data(#"{"v":2}"#.utf8).write(
                to: URL(fileURLWithPath: directory.path(DiskLayout.upload(id) + "/upload.json"))
            )
        }
    }

    /// How many unfinished things there are.
    func leftovers() -> Int {
        switch place {
        case .memory(let memory): memory.unfinishedParts
        case .disk(let directory, _):
            DiskLayout.tree(directory).count { path in
                let components = path.split(separator: "/")
                return components.first == "trash" && components.count > 1 || components.contains { $0.hasPrefix(".") }
                    || components.count > 3 && components[2] == "tmp"
            }
        }
    }
}

/// Where things lie on disk, written down a second time from the design.
enum DiskLayout {
    static func upload(_ id: UploadID) -> String { "\(id.description.prefix(2))/\(id)" }

    static func part(_ part: Part, of id: UploadID) -> String {
        let offset = String(part.offset, radix: 16)
        return upload(id) + "/parts/" + String(repeating: "0", count: 16 - offset.count) + offset
            + "/\(part.size)-\(part.digest)"
    }

    /// All paths below a directory.
    static func tree(_ directory: TemporaryDirectory) -> [String] {
        (FileManager.default.enumerator(atPath: directory.path)?.compactMap { $0 as? String } ?? []).sorted()
    }

    /// Descriptors of this process that lead below a directory.
    static func openDescriptors(below directory: TemporaryDirectory) -> [CInt: String] {
        let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        let places = numbers.compactMap { text -> (CInt, String)? in
            let link = "/proc/self/fd/" + text
            guard let number = CInt(text), let place = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
            else { return nil }
            return place.hasPrefix(directory.path) ? (number, place) : nil
        }
        return Dictionary(uniqueKeysWithValues: places)
    }

    /// Puts a device that is full in the place of an open file: whatever is written to it from now on meets `ENOSPC`.
    static func fillDisk(under name: String, below directory: TemporaryDirectory) throws {
        let open = openDescriptors(below: directory).first { $0.value.hasSuffix("/" + name) }
        let number = try #require(open?.key, "\(name) is not open")
        let full = Glibc.open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(full) }
        guard full >= 0, dup2(full, number) == number else { throw HarnessError("fill \(name): \(errno)") }
    }
}

/// Values for tests.
enum Sample {
    static func id(_ number: UInt64) -> UploadID { UploadID(high: number, low: 0xfe22) }

    /// One of each kind.
    static let markers: [Marker] = [
        .complete(size: 100, digest: nil, at: Timestamp(microseconds: 1)),
        .cancelled(by: "alice", at: Timestamp(microseconds: 2)),
        .expired(at: Timestamp(microseconds: 3)),
        .done(FinalFile(size: 100, digest: nil, modified: 9), at: Timestamp(microseconds: 4)),
    ]

    static func record(_ id: UploadID, size: Int64? = 1_000_000) throws -> UploadRecord {
        UploadRecord(
            id: id,
            owner: try #require(Owner("alice")),
            target: try #require(TargetID("web-eu-1")),
            path: try TargetPath("films/été.mov"),
            size: size,
            partSize: 4_096,
            createdAt: Timestamp(microseconds: 1_763_900_000_123_456),
            expiresAt: Timestamp(microseconds: 1_764_900_000_123_456)
        )
    }
}

extension Staging {
    /// Stores a part the way a client's request does, in chunks.
    func put(_ bytes: Bytes, at offset: Int64, of id: UploadID, chunk: Int = 10_000) async throws -> PublishResult {
        let writer = try await beginPart(of: id, offset: offset, size: Int64(bytes.count))
        do {
            for start in stride(from: 0, to: bytes.count, by: chunk) {
                try await writer.write(Bytes(bytes.array[start..<min(start + chunk, bytes.count)]))
            }
            _ = try await writer.seal()
            let result = try await writer.publish()
            await writer.discard()
            return result
        } catch {
            await writer.discard()
            throw error
        }
    }

    /// All bytes of a part.
    func content(_ part: Part, of id: UploadID, piece: Int = 7_777) async throws -> Bytes {
        let reader = try await openPart(part, of: id)
        var bytes: [UInt8] = []
        while bytes.count < Int(part.size) {
            let chunk = try await reader.read(at: Int64(bytes.count), count: piece)
            guard chunk.count > 0 else { break }
            bytes += Bytes(copying: chunk).array
        }
        await reader.close()
        return Bytes(bytes)
    }

    /// A part's bytes compared with its digest.
    func isIntact(_ part: Part, of id: UploadID) async throws -> Bool {
        let reader = try await openPart(part, of: id)
        let isIntact = try await reader.isIntact()
        await reader.close()
        return isIntact
    }
}

func part(_ bytes: Bytes, at offset: Int64) -> Part {
    Part(offset: offset, size: Int64(bytes.count), digest: digest(bytes))
}

/// OpenSSL's digest: the one in plain Swift is slow in debug builds. `StagingPiecesTests` holds them against each other.
func digest(_ bytes: Bytes) -> SHA256Digest { (try? SHA256Hasher.digest(of: bytes)) ?? SHA256.digest(bytes.array) }
