// ferry upload: each part goes with its digest, and the whole file's where another run began.

import Foundation
import Harness
import Synchronization
import Testing

@Suite("ferry upload", .timeLimit(.minutes(1)))
struct UploadTests {
    private static let id = String(repeating: "a", count: 32)

    /// An upload of so many bytes, as the API shows it.
    private static func upload(
        _ state: String,
        size: Int,
        partSize: Int,
        received: Int = 0,
        digest: String? = nil
    ) -> String {
        let parts = received > 0 ? "1" : ""
        let digest = digest.map { #""digest":{"sha-256":"\#($0)"},"# } ?? ""
        return """
            {"id":"\(id)","owner":"o","target":"t","path":"a","state":"\(state)","size":\(size),"partSize":\(partSize),
            \(digest)"receivedBytes":\(received),"shippedBytes":0,"receivedParts":"\(parts)","shippedParts":"",
            "attempts":0,"error":null,"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}
            """
    }

    /// A file of text, and its SHA-256 in hexadecimal digits by the system's own program.
    private func file(_ count: Int) async throws -> (directory: TemporaryDirectory, path: String, sha256: String) {
        let directory = try TemporaryDirectory("upload")
        let path = directory.path("file")
        try Data((0..<count).map { UInt8(97 + $0 % 26) }).write(to: URL(fileURLWithPath: path))
        let report = try await ChildProcess.run("sha256sum", [path])
        return (directory, path, String(report.output.prefix(64)))
    }

    private func ferry(_ arguments: [String], url: String) async throws -> ChildProcess.Report {
        let environment: [String: String?] = ["FERRY_URL": url, "FERRY_TOKEN": "secret", "FERRY_CONFIG": nil]
        return try await ChildProcess.run(BuiltPrograms.path("ferry"), ["upload"] + arguments, environment: environment)
    }

    /// Hexadecimal digits as RFC 9530 has them.
    private func field(_ hex: String) -> String {
        let digits = Array(hex)
        let bytes = stride(from: 0, to: 64, by: 2).map { UInt8(String(digits[$0...($0 + 1)]), radix: 16) ?? 0 }
        return "sha-256=:\(Data(bytes).base64EncodedString()):"
    }

    @Test(
        "Each part goes with the digest of its bytes, whether it is held meanwhile or read again",
        arguments: [1, 64]
    )
    func partDigests(parallel: Int) async throws {
        // Two parts of 2 MiB: 64 of them at once are not held.
        let (size, partSize) = (4 << 20, 2 << 20)
        let (directory, path, sha256) = try await file(size)
        let server = try await AnsweringServer { line in
            switch line {
            case "POST /v1/uploads":
                PlannedAnswer(status: 201, body: Self.upload("receiving", size: size, partSize: partSize))
            case "GET /v1/uploads/\(Self.id)":
                PlannedAnswer(body: Self.upload("receiving", size: size, partSize: partSize))
            default: PlannedAnswer(body: Self.upload("done", size: size, partSize: partSize, received: size))
            }
        }
        let report = try await ferry([path, "t:a", "--detach", "--parallel", "\(parallel)"], url: server.url)
        #expect(report.isSuccess, "\(report.errors)")
        var whole = ""
        for number in 1...2 {
            let part = try #require(server.received.first { $0.line == "PUT /v1/uploads/\(Self.id)/parts/\(number)" })
            #expect(part.body.utf8.count == partSize)
            let place = directory.path("part")
            try Data(part.body.utf8).write(to: URL(fileURLWithPath: place))
            let digest = try await ChildProcess.run("sha256sum", [place]).output.prefix(64)
            #expect(part.contentDigest == field(String(digest)))
            whole += part.body
        }
        #expect(whole.utf8.elementsEqual(try Data(contentsOf: URL(fileURLWithPath: path))))
        let complete = try #require(server.received.first { $0.line == "POST /v1/uploads/\(Self.id)/complete" })
        #expect(!complete.body.contains(sha256), "nothing was there before")
    }

    @Test(
        "A part that was changed on its way is sent again, but not for ever",
        arguments: [(1, 2, Int32(0)), (99, 5, 1)]
    )
    func changedOnTheWay(refusals: Int, puts: Int, code: Int32) async throws {
        let (directory, path, _) = try await file(3)
        let left = Mutex(refusals)
        let server = try await AnsweringServer { line in
            if line.hasPrefix("PUT") {
                let isRefused = left.withLock { left in
                    left -= 1
                    return left >= 0
                }
                if isRefused { return .problem(400, "digest-mismatch", "other bytes came") }
            }
            let state = line.hasSuffix("/complete") ? "shipping" : "receiving"
            return PlannedAnswer(
                status: line == "POST /v1/uploads" ? 201 : 200,
                body: Self.upload(state, size: 3, partSize: 4_096)
            )
        }
        let report = try await ferry([path, "t:a", "--detach"], url: server.url)
        #expect(report.exit == .status(code), "\(report.errors)")
        if code != 0 { #expect(report.errors == "ferry: other bytes came\n") }
        #expect(server.received.filter { $0.line.hasPrefix("PUT") }.count == puts)
        withExtendedLifetime(directory) {}
    }

    @Test("What another run has begun is declared whole; where its end was asked for without a digest, without")
    func resumed() async throws {
        let (directory, path, sha256) = try await file(3)
        let isEnded = Mutex(false)
        let completions = Mutex(0)
        let server = try await AnsweringServer { line in
            let ended = isEnded.withLock { $0 }
            guard line.hasSuffix("/complete") else {
                return PlannedAnswer(body: Self.upload("receiving", size: 3, partSize: 4_096, received: 3))
            }
            let isFirst = completions.withLock { completions in
                completions += 1
                return completions == 1
            }
            if ended, isFirst { return .problem(409, "different-content", "it is of other content") }
            return PlannedAnswer(status: 202, body: Self.upload("shipping", size: 3, partSize: 4_096, received: 3))
        }
        var report = try await ferry([path, "t:a", "--detach"], url: server.url)
        #expect(report.isSuccess, "\(report.errors)")
        var bodies = server.received.filter { $0.line.hasSuffix("/complete") }.map(\.body)
        #expect(bodies.count == 1 && bodies[0].contains(sha256), "\(bodies)")

        isEnded.withLock { $0 = true }
        completions.withLock { $0 = 0 }
        report = try await ferry([path, "t:a", "--detach"], url: server.url)
        #expect(report.isSuccess, "\(report.errors)")
        bodies = server.received.filter { $0.line.hasSuffix("/complete") }.map(\.body)
        #expect(bodies.count == 3 && bodies[1].contains(sha256) && !bodies[2].contains(sha256), "\(bodies)")

        completions.withLock { $0 = 0 }
        report = try await ferry([path, "t:a", "--detach", "--digest"], url: server.url)
        #expect(report.exit == .status(4) && report.errors.contains("without --digest it goes on"), "\(report.errors)")
        withExtendedLifetime(directory) {}
    }

    @Test("Another conflict is told as it is, with a digest as well")
    func partsMissing() async throws {
        let (directory, path, _) = try await file(3)
        let server = try await AnsweringServer { line in
            if line.hasSuffix("/complete") { return .problem(409, "parts-missing", "part 1 is missing") }
            return PlannedAnswer(body: Self.upload("receiving", size: 3, partSize: 4_096))
        }
        let report = try await ferry([path, "t:a", "--detach", "--digest"], url: server.url)
        #expect(report.exit == .status(4) && report.errors == "ferry: part 1 is missing\n", "\(report.errors)")
        withExtendedLifetime(directory) {}
    }

    @Test("An upload that has another digest is not this file's")
    func otherContent() async throws {
        let (directory, path, _) = try await file(3)
        let other = String(repeating: "0", count: 64)
        let server = try await AnsweringServer { line in
            if line.hasSuffix("/complete") { return .problem(409, "different-content", "it is of other content") }
            return PlannedAnswer(body: Self.upload("shipping", size: 3, partSize: 4_096, received: 3, digest: other))
        }
        let report = try await ferry([path, "t:a", "--detach"], url: server.url)
        #expect(report.exit == .status(4) && report.errors == "ferry: it is of other content\n", "\(report.errors)")
        withExtendedLifetime(directory) {}
    }
}
