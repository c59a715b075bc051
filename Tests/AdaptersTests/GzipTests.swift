// Compression, against the program of that name.

import Adapters
import CoreTesting
import Foundation
import Harness
import Testing

@Suite("Gzip")
struct GzipTests {
    @Test("What it makes, gzip reads", arguments: [0, 1, 1_000, 300_000])
    func isRead(count: Int) async throws {
        // Half of it repeats, so that there is something to gain.
        let bytes = Bytes.seeded(7, count: count / 2).array + [UInt8](repeating: 65, count: count - count / 2)
        let compressed = try #require(Gzip.compress(bytes))
        let directory = try TemporaryDirectory("gzip")
        try Data(compressed).write(to: URL(fileURLWithPath: directory.path("file.gz")))
        let report = try await ChildProcess.run("gzip", ["-d", directory.path("file.gz")])
        #expect(report.isSuccess, "\(report.errors)")
        #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: directory.path("file")))) == bytes)
        #expect(count < 1_000 || compressed.count < count * 2 / 3)
    }
}
