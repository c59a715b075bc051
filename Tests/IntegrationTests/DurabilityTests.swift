// The order of one PUT, as the kernel sees it: bytes and names are on disk before the answer leaves.

import Foundation
import Harness
import NIOCore
import Testing

@Suite("Durability", .serialized)
struct DurabilityTests {
    @Test("A part's bytes, its name and its directory are flushed before the 2xx")
    func order() async throws {
        try await Stack.with { stack in
            let client = APIClient(stack)
            let bytes = testBytes(100_000, seed: 11)
            let id = try await client.create(stack, "traced", size: bytes.count, partSize: 100_000)
            let directory = try TemporaryDirectory("strace")
            let strace = try ChildProcess(
                "/usr/bin/strace",
                [
                    "-f", "-y", "-ttt", "-s", "64", "-e",
                    "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg,pwrite64", "-p",
                    "\(try stack.pid(of: "api-1"))", "-o", directory.path("trace"),
                ],
                output: directory.path("out"),
                errors: directory.path("err")
            )
            try await eventually("strace is attached") { strace.errors.contains("attached") }
            #expect(try await client.put(1, of: id, ByteBuffer(bytes: bytes)).status == 201)
            try await eventually("the answer is in the trace") {
                try String(contentsOfFile: directory.path("trace"), encoding: .utf8).contains("HTTP/1.1 201")
            }
            _ = await strace.stop()
            let lines = try String(contentsOfFile: directory.path("trace"), encoding: .utf8).split(separator: "\n")
            func first(_ what: String, after start: Int = 0, _ match: (Substring) -> Bool) throws -> Int {
                let index = lines[start...].firstIndex(where: match)
                return try #require(index, "\(what) is missing")
            }
            let isFlush = { (line: Substring) in line.contains("fsync(") || line.contains("fdatasync(") }
            let parts = "/\(id)/parts"
            let written = try first("pwrite") { $0.contains("pwrite64(") && $0.contains(id) }
            let flushed = try first("fsync of the bytes", after: written) { isFlush($0) && $0.contains("/\(id)/") }
            let renamed = try first("rename", after: flushed) {
                $0.contains("rename") && $0.contains("0000000000000000")
            }
            let named = try first("fsync of the directory", after: renamed) { isFlush($0) && $0.contains(parts) }
            let script = try first("script", after: named) { $0.contains("EVALSHA") || $0.contains("EVAL") }
            let answered = try first("answer") { $0.contains("HTTP/1.1 201") }
            #expect(script < answered, "\(lines.joined(separator: "\n"))")
        }
    }
}
