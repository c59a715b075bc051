// Ships one file over one SFTP session and prints the rate; its peer is `sftp put`.

import Glibc
import Logging
import NIOCore
import SFTP

struct Usage: Error {}

func option(_ name: String) throws -> String {
    guard let index = CommandLine.arguments.firstIndex(of: "--\(name)"), index + 1 < CommandLine.arguments.count else {
        print("missing --\(name)")
        throw Usage()
    }
    return CommandLine.arguments[index + 1]
}

/// Reads a local file piece by piece. Not Sendable: one task uses it.
final class LocalFile {
    private let descriptor: CInt
    init(_ path: String) throws {
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Usage() }
    }
    deinit { Glibc.close(descriptor) }

    func next(_ length: Int) -> ByteBuffer? {
        var buffer = ByteBuffer()
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { room in
            max(0, Glibc.read(descriptor, room.baseAddress, length))
        }
        return count > 0 ? buffer : nil
    }
}

var configuration = SSHConfiguration(
    host: "127.0.0.1",
    port: Int(try option("port")) ?? 22,
    user: try option("user"),
    credentials: .key(file: try option("key")),
    hostKeys: [try option("host-key")]
)
configuration.ciphers = ["aes128-ctr"]
configuration.macs = ["hmac-sha2-256"]

let source = try LocalFile(try option("source"))
let clock = ContinuousClock()
let begin = clock.now
let session = try await SFTPSession.connect(configuration, logger: Logger(label: "ship"))
let file = try await session.open(try option("path"), [.write, .create, .truncate], permissions: 0o600)
let length = session.writeLength
let count = try await file.write(at: 0) { source.next(length) }
try await file.close()
await session.close()
let elapsed = begin.duration(to: clock.now)
let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
print("\(Int(Double(count) / seconds / 1e6)) MB/s")
